"""``gtrans`` as forks of one process that has loaded torch, MLflow and Kubeflow: seconds less each.

A fork is a process of its own, with its own environment, folder, streams and exit code, as a run's
steps are (``step_server``); so is the worker of a ``gtrans run``. Two things differ from a new
Python: what a verb forgets to import may be there, and no signal reaches it. Tests of imports or
signals start Python (``tests.support.processes``).
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

from tests.support.processes import SOURCES, outside_of_runs

_LOADED = (
    "gtrans_core.steps.ingest",
    "gtrans_core.steps.cache_features",
    "gtrans_core.steps.train",
    "gtrans_core.steps.evaluate",
    "gtrans_core.steps.register",
    "gtrans_core.steps.caching",
    "gtrans_core.steps.learning",
    "gtrans_core.steps.judging",
    "gtrans_core.steps.summarize",
    "gtrans_core.batch.run",
    "gtrans.cli.main",
    "gtrans.pipelines.embedded.category_run",
)


def gtrans(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``gtrans ARGUMENTS`` in a folder, as that of ``tests.support.processes``."""
    return subprocess.run(
        [*command(), *map(str, arguments)],
        cwd=cwd,
        env=outside_of_runs() | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def command() -> list[str]:
    """What starts ``gtrans`` as a fork, but for its arguments; no shell's quotes."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.forks"],
        cwd=SOURCES,
        env=outside_of_runs(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    atexit.register(server.wait)
    atexit.register(server.stdin.close)  # done first, and tells it to end
    return list(json.loads(server.stdout.readline()))


def main() -> None:
    """Fork a ``gtrans`` whenever one is asked for, until the standard input ends."""
    from gtrans.pipelines.embedded.step_server import StepServer
    from gtrans_core.system.shortcuts import collect_again, leave, stop_collecting

    stop_collecting()
    _load()
    tempfile.tempdir = tempfile.mkdtemp(prefix="gtrans-forks-")
    server = StepServer()
    if server.fork_host():
        sys.stdout.write(json.dumps(server.command) + "\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()
        os._exit(0)
    ending = server.serve([])
    if isinstance(ending, int):
        shutil.rmtree(tempfile.tempdir)
        leave(ending)
    collect_again()
    leave(_gtrans(ending))


def _load() -> None:
    """What a run imports, as its worker does it: without Kubeflow's client."""
    from gtrans_core.system.shortcuts import kubeflow_client_left_out
    from gtrans_core.tracking.client import import_mlflow_for_database
    from tests.support import databases

    with kubeflow_client_left_out():
        import kfp  # noqa: F401
    from kfp import components, dsl, local  # noqa: F401
    from kfp.dsl import executor_main  # noqa: F401

    import_mlflow_for_database()
    databases.copy_from_now_on()
    for name in _LOADED:
        import_module(name)


def _gtrans(arguments: list[str]) -> int:
    """Exit code of the command."""
    from gtrans.cli import main as cli
    from gtrans.pipelines.embedded import local

    tempfile.tempdir = None  # the environment says where
    sys.argv[:] = [cli.__file__, *arguments]
    local.subprocess = SimpleNamespace(  # type: ignore[attr-defined]
        Popen=ForkedWorker,
        PIPE=subprocess.PIPE,
        STDOUT=subprocess.STDOUT,
        TimeoutExpired=subprocess.TimeoutExpired,
    )
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


class ForkedWorker:
    """The process of a ``gtrans run`` that hosts kfp.local, with what ``local`` asks of a Popen."""

    def __init__(
        self,
        command: list[str],
        *,
        env: Mapping[str, str],
        stdin: int,
        stdout: BinaryIO,
        stderr: int,
        start_new_session: bool,
    ) -> None:
        assert command[1:] == ["-m", "gtrans.pipelines.embedded.local_worker"]
        assert (stdin, stderr, start_new_session) == (subprocess.PIPE, subprocess.STDOUT, True)
        orders, end_of_orders = os.pipe()
        self._process = multiprocessing.get_context("fork").Process(
            target=_become_worker, args=(env, orders, end_of_orders, stdout.fileno())
        )
        self._process.start()
        os.close(orders)
        self.pid = self._process.pid
        self.stdin = os.fdopen(end_of_orders, "wb")

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0)
        return self.returncode


def _become_worker(env: Mapping[str, str], orders: int, end_of_orders: int, log: int) -> None:
    from gtrans.pipelines.embedded import local_worker

    os.setsid()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]  # the command's folders
    os.close(end_of_orders)
    for number, stream in enumerate((orders, log, log)):
        os.dup2(stream, number)
    sys.stdin = os.fdopen(0)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    local_worker.main()


if __name__ == "__main__":
    main()
