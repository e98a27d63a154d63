"""The processes of one run: ``python -m gtrans.pipelines.embedded.local_worker``.

It reads one line of JSON from its standard input and ends with the pipeline, or soon after the
other end of that pipe is gone. Once Kubeflow is imported it forks: the new process hosts kfp.local,
and this one goes on to load what the steps need and forks each of them (``step_server``), so that
nothing is imported twice in a run.
"""

import json
import os
import re
import shlex
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from gtrans.pipelines.embedded.step_server import StepServer
from gtrans_core.config import digest_of
from gtrans_core.errors import StorageError
from gtrans_core.lineage import code_digest
from gtrans_core.steps.names import ALL_STEPS
from gtrans_core.storage import write_atomic
from gtrans_core.system.shortcuts import (
    collect_again,
    kubeflow_client_left_out,
    leave,
    stop_collecting,
)
from gtrans_core.tracking.client import import_mlflow_for_database

_OTHERWISE = ["-m", "kfp.dsl.executor_main"]
_WORK = {"cache_features": "caching", "train": "learning", "evaluate": "judging"}
"""What a step imports where nothing is kept for it: torch, and all that draws."""
_PATIENCE_SECONDS = 1.0
"""How long a step may take to find what is kept, in a run that ran before."""


def main() -> None:
    """Run the requested pipeline; exits non-zero when one of its steps failed."""
    stop_collecting()  # until run_step begins, in a step
    # Steps get the group's SIGTERM too; this process outlives them, to read their last words.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    request = json.loads(sys.stdin.readline())
    with kubeflow_client_left_out():
        import kfp  # noqa: F401
    from kfp import components, dsl, local  # noqa: F401  # the host's
    from kfp.dsl import executor_main  # noqa: F401  # the steps'

    pipeline = Path(request["compiled"]).read_text(encoding="utf-8")
    server = StepServer()
    if server.fork_host():
        collect_again()
        _host(request, pipeline, shlex.join(server.command))
        return
    needed, worked_with = _needs(pipeline)
    mark = _mark_of(request["parameters"])
    if mark is not None and mark.exists():
        ending = server.serve(needed, worked_with, _PATIENCE_SECONDS)
    else:
        ending = server.serve([*needed, *worked_with])
    if isinstance(ending, int):
        leave(ending)
    _run_step(ending)


def _needs(pipeline: str) -> tuple[list[Callable[[], object]], list[Callable[[], object]]]:
    """What loads the modules that steps of the pipeline import, in their order.

    Returns:
        For all steps, and for those that find nothing kept.
    """
    steps = [step for step in ALL_STEPS if re.search(rf"gtrans_core\.steps\.{step}\b", pipeline)]
    if not steps:
        return [], []
    names = [*steps, *(_WORK[step] for step in steps if step in _WORK)]
    loads: list[Callable[[], object]] = [
        partial(import_module, f"gtrans_core.steps.{name}") for name in names
    ]
    return [*loads[: len(steps)], import_mlflow_for_database], loads[len(steps) :]


def _mark_of(parameters: Mapping[str, Any]) -> Path | None:
    """The file that says that this code ran with these very parameters, and ended well."""
    if "store" not in parameters:
        return None
    digest = digest_of({"code": code_digest(), "parameters": dict(parameters)})
    return Path(parameters["store"]) / "kept" / "runs" / digest


def _host(request: dict[str, Any], pipeline: str, client: str) -> None:
    from kfp import components, dsl, local

    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    threading.Thread(target=_stop_when_abandoned, daemon=True).start()
    # kfp.local puts the interpreter's path into a shell command as it is.
    sys.executable = client
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=request["artifacts"],
        # kfp.local deletes this folder at the end: a fresh one, never one of the user's.
        workspace_root=tempfile.mkdtemp(),
    )
    # kfp.local would fill in a random number that two runs may share.
    text = pipeline.replace(dsl.PIPELINE_JOB_ID_PLACEHOLDER, request["run_key"])
    try:
        components.load_component_from_text(text)(**request["parameters"])
    except RuntimeError as error:
        # A step failed: its own words, which are in the log already, say more than this stack.
        sys.exit(str(error))
    if mark := _mark_of(request["parameters"]):
        with suppress(StorageError):  # it only tells the next run what not to load
            write_atomic(mark, b"")


def _stop_when_abandoned() -> None:
    # Not sys.stdin.read(): a thread inside its lock makes the interpreter's exit fail.
    os.read(sys.stdin.fileno(), 1)
    while True:
        os.killpg(0, signal.SIGTERM)
        time.sleep(1)


def _run_step(arguments: list[str]) -> None:
    """Run the step that Kubeflow's arguments name; one that fails ends as any Python does."""
    from kfp.dsl.executor_main import executor_main

    if arguments[:2] != _OTHERWISE:
        sys.exit(f"expected {_OTHERWISE} and its arguments, not {arguments[:2]}")
    sys.argv[1:] = arguments[2:]
    executor_main()
    leave()


if __name__ == "__main__":
    main()
