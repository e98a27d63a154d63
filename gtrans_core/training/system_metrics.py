"""What a training takes of its machine, sampled while it runs, in the journal's format.

MLflow shows metrics whose names begin with ``system/`` on a tab of their own. Its own sampler needs
one more package, and would wait for a server that does not answer.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from gtrans_core.training.journal import SYSTEM_JOURNAL

INTERVAL_S = 10.0
_MEGA = 1 << 20


@contextmanager
def sampled(folder: Path, interval_s: float = INTERVAL_S) -> Iterator[None]:
    """Write a line into ``folder/system.jsonl`` every few seconds, and one at the end.

    The file begins anew. A disk that is full costs the samples, never the training.
    """
    path = folder / SYSTEM_JOURNAL
    done = threading.Event()
    meter = _Meter()

    def work() -> None:
        step = 0
        while not done.wait(interval_s):
            _append(path, step, meter.read())
            step += 1
        _append(path, step, meter.read())

    path.unlink(missing_ok=True)
    thread = threading.Thread(target=work, name="system-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class _Meter:
    """Use since the last reading, of this process and those it has waited for."""

    def __init__(self) -> None:
        self._cpu, self._wall = _cpu_seconds(), time.monotonic()

    def read(self) -> dict[str, float]:
        cpu, wall = _cpu_seconds(), time.monotonic()
        passed = max(wall - self._wall, 1e-9)
        used = 100 * (cpu - self._cpu) / passed / (os.cpu_count() or 1)
        self._cpu, self._wall = cpu, wall
        values = {
            "system/cpu_utilization_percentage": round(min(used, 100.0), 1),
            "system/process_memory_megabytes": round(_resident_bytes() / _MEGA, 1),
        }
        if torch.cuda.is_available():
            free, total = torch.cuda.mem_get_info()
            values["system/gpu_memory_usage_megabytes"] = round((total - free) / _MEGA, 1)
        return values


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _append(path: Path, step: int, values: dict[str, float]) -> None:
    line = json.dumps({"step": step, "time_ms": int(time.time() * 1000), "values": values})
    with suppress(OSError), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
