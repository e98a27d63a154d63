"""A program that runs in the background and is found again by the file that says who it is."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 120.0
STOP_SECONDS = 30.0
_POLL_SECONDS = 0.2
_LOG_TAIL = 1_500


class StackError(Exception):
    """One line for a person: what went wrong and what to do."""


@dataclass(frozen=True)
class Service:
    """How to start a program, and how to see that it is ready."""

    name: str
    folder: Path
    """Its log and its pid file; it is started there."""
    command: list[str]
    """Without secrets: every user of the machine can read it."""
    environment: Mapping[str, str]
    """All of it: nothing else is handed on but PATH."""
    ready: Callable[[], bool]
    stop_signal: signal.Signals = signal.SIGTERM
    user: str | None = None
    """The user it runs as, if not the caller; only root may set one."""

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """Its process and when that began: the number alone may be reused by another process."""
        return self.folder / f"{self.name}.pid"


def start(service: Service) -> bool:
    """Start it unless it runs, and wait until it is ready; whether it was started.

    Raises:
        StackError: it ended, or was not ready in time; it is stopped then.
    """
    if running(service.pid_file) is not None:
        return False
    with service.log.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            service.command,
            env={"PATH": os.environ["PATH"], **service.environment},
            cwd=service.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=service.user,
            group=service.user,
            extra_groups=None if service.user is None else [],
        )
    service.pid_file.write_text(f"{process.pid} {_started_at(process.pid)}\n")
    deadline = time.monotonic() + START_SECONDS
    while not service.ready():
        if process.poll() is not None or time.monotonic() > deadline:
            stop(service.pid_file, signal.SIGKILL)
            said = service.log.read_text(errors="replace")[-_LOG_TAIL:]
            raise StackError(f"{service.name} did not start; {service.log} ends with\n{said}")
        time.sleep(_POLL_SECONDS)
    return True


def stop(pid_file: Path, stop_signal: signal.Signals) -> bool:
    """End the process that the file names, with its children; whether there was one."""
    pid = running(pid_file)
    if pid is not None:
        _signal_group(pid, stop_signal)
        deadline = time.monotonic() + STOP_SECONDS
        while running(pid_file) is not None:
            if time.monotonic() > deadline:
                _signal_group(pid, signal.SIGKILL)
            time.sleep(_POLL_SECONDS)
    pid_file.unlink(missing_ok=True)
    return pid is not None


def running(pid_file: Path) -> int | None:
    """The process that the file names, if it still runs."""
    try:
        pid, started_at = pid_file.read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if _started_at(int(pid)) == started_at else None


def answers(url: str, statuses: tuple[int, ...] = (200,)) -> bool:
    """Whether a server answers a GET with one of these."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - ours, http
            return response.status in statuses
    except urllib.error.HTTPError as error:
        return error.code in statuses
    except OSError:
        return False


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


def _started_at(pid: int) -> str:
    """The kernel's word for when a process began; empty if it is no more."""
    try:
        # After the name, which may hold anything: state is field 3, the start field 22 (proc(5)).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # a child of ours that ended stays until somebody looks
    return "" if fields[0] == "Z" else fields[19]
