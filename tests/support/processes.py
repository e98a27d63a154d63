"""Real processes of this project: Python with its code, and servers that are ended for sure."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gtrans_core
from infra.stack.ports import free_port
from infra.stack.service import answers
from tests.support import databases

SOURCES = Path(gtrans_core.__file__).parents[1]


def gtrans(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``gtrans ARGUMENTS`` in a folder, as somebody calls it who has no record of MLflow's."""
    return subprocess.run(
        [sys.executable, "-m", "gtrans.cli.main", *map(str, arguments)],
        cwd=cwd,
        env=outside_of_runs() | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def outside_of_runs() -> dict[str, str]:
    """The environment of such a person, and where this project's code is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**kept, "PYTHONPATH": str(SOURCES)}


def cpu_seconds(*arguments: str) -> float:
    """What ``python ARGUMENTS`` costs, from its start to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Processes:
    """Starts Python processes, and servers of their own process group."""

    def python(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """``python ARGUMENTS`` with this project's code and the virtual environment's commands."""
        environment = os.environ | {
            "PYTHONPATH": str(SOURCES),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        return subprocess.Popen([sys.executable, *arguments], env=environment, **options)

    def free_port(self) -> int:
        """A port that nobody listens on."""
        return free_port()

    @contextmanager
    def mlflow_server(
        self, folder: Path, port: int, database: str = "", artifacts: str = ""
    ) -> Iterator[str]:
        """An MLflow server that keeps its data in ``folder``; gives its address.

        ``database``: a SQLAlchemy address instead; ``artifacts``: another place for these.
        """
        if not database:
            databases.set_up(folder / "mlflow.db")
            database = f"sqlite:///{folder}/mlflow.db"
        command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--backend-store-uri", database, "--workers", "1"]
        command += ["--artifacts-destination", artifacts or str(folder / "artifacts")]
        health = f"http://127.0.0.1:{port}/health"
        with self.server(*command, folder=folder, health=health):
            yield f"http://127.0.0.1:{port}"

    @contextmanager
    def server(self, *arguments: str, folder: Path, health: str) -> Iterator[None]:
        """``python ARGUMENTS`` as a server that answers at ``health``."""
        with (folder / "server.log").open("ab") as log:
            process = self.python(
                *arguments,
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )
        with self.serving(process, folder, health):
            yield

    @contextmanager
    def serving(
        self, process: subprocess.Popen[bytes], folder: Path, health: str
    ) -> Iterator[None]:
        """Wait for a server that logs to ``folder/server.log``; it and its children are ended."""
        try:
            deadline = time.monotonic() + 120
            while not answers(health):
                assert process.poll() is None, (folder / "server.log").read_text()
                assert time.monotonic() < deadline, (folder / "server.log").read_text()
                time.sleep(0.2)
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
