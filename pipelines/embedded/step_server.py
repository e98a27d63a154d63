"""The process that a run's steps are forks of: what they all import is loaded once.

A step is a process as if it had been started anew: with its client's environment, working folder
and streams (``step_client``), no signal handled in a way of the server's, and no thread.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from gtrans.pipelines.embedded import step_client

_CAUGHT = (signal.SIGTERM, signal.SIGCHLD)
_SECONDS_BETWEEN_ORDERS = 1.0


class StepServer:
    """Forks this process once a step.

    Attributes:
        host: process of kfp.local, which starts the clients; the server ends with it.
        command: what starts a client, but for the step's own arguments; no shell's quotes.
    """

    host: int

    def __init__(self) -> None:
        path = Path(tempfile.mkdtemp()) / "steps"
        self.command = [sys.executable, "-I", "-S", step_client.__file__, str(path)]
        self._listener = socket.socket(socket.AF_UNIX)
        folder = os.open(path.parent, os.O_RDONLY)
        self._listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # as the client connects
        os.close(folder)
        self._listener.listen(64)
        self._steps: dict[int, socket.socket] = {}

    def fork_host(self) -> bool:
        """Fork the process of kfp.local.

        Returns:
            Whether this is it; the other one has to ``serve``.
        """
        self.host = _fork()
        return self.host == 0

    def serve(
        self,
        loads: Iterable[Callable[[], object]],
        later: Iterable[Callable[[], object]] = (),
        patience: float = 0.0,
    ) -> list[str] | int:
        """Load one thing after the other, as long as no step is asked for, and fork the steps.

        Args:
            loads: what all steps need.
            later: what only steps need that have work to do; loaded once a step has run for
                ``patience`` seconds.
            patience: see there.

        Returns:
            In a step: its arguments. In the server, once the host has ended: the host's exit code.

        Raises:
            RuntimeError: when something that was loaded has started a thread.
        """
        signals, woken = os.pipe()
        os.set_blocking(woken, False)
        for number in _CAUGHT:  # steps get the group's SIGTERM too; the server outlives them
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(signals, selectors.EVENT_READ)
            selector.register(self._listener, selectors.EVENT_READ)
            now, then = deque(loads), deque(later)
            while True:
                if now:
                    now.popleft()()
                waiting = patience if then and self._steps else None
                ready = selector.select(0 if now else waiting)
                if not (ready or now):
                    now, then = then, now
                for key, _ in ready:
                    if key.fileobj is self._listener:
                        step = self._fork_step()
                        if step is not None:
                            os.close(signals)
                            os.close(woken)
                            return step
                    else:
                        os.read(signals, 512)
                code = self._reap()
                if code is not None:
                    return code

    def _fork_step(self) -> list[str] | None:
        """The step's arguments, in the step."""
        connection, _ = self._listener.accept()
        _, streams, _, _ = socket.recv_fds(connection, 1, 3)
        with connection.makefile("rb") as stream:
            line = stream.readline()
        if len(streams) < 3 or not line.endswith(b"\n"):  # a client that was killed
            connection.close()
            for stream_number in streams:
                os.close(stream_number)
            return None
        if threading.active_count() > 1:
            raise RuntimeError(f"steps cannot be forked beside {threading.enumerate()[1:]}")
        step = _fork()
        if step == 0:
            self._listener.close()
            for other in (connection, *self._steps.values()):
                other.close()
            return _become(json.loads(line), streams)
        for number in streams:
            os.close(number)
        self._steps[step] = connection
        return None

    def _reap(self) -> int | None:
        """Tell the clients of ended steps; the exit code of the host, if that has ended."""
        for process, code in _ended():
            if process == self.host:
                self._end_steps()
                return code
            if connection := self._steps.pop(process, None):
                with suppress(OSError), connection:  # its client may have been killed
                    connection.sendall(f"{code}\n".encode())
        return None

    def _end_steps(self) -> None:
        """No step outlives the host, which waits for them unless it was killed."""
        while self._steps:
            for process in self._steps:
                os.kill(process, signal.SIGTERM)
            time.sleep(_SECONDS_BETWEEN_ORDERS)
            for process, _ in _ended():
                self._steps.pop(process, None)


def _ended() -> Iterator[tuple[int, int]]:
    """Children that have ended, each with its exit code, or minus a signal's number."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended[0], os.waitstatus_to_exitcode(ended[1])


def _fork() -> int:
    """``os.fork``; the new process handles signals as any Python does."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
    process = os.fork()
    if process == 0:
        signal.set_wakeup_fd(-1)
        for number in _CAUGHT:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process


def _become(request: dict[str, Any], streams: list[int]) -> list[str]:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    return list(request["arguments"])
