"""CPU time of work done side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

Task = Callable[[], float]
"""Does its work once and returns the CPU seconds that it took."""


def timed(work: Callable[[], object]) -> Task:
    """A task that does the work in this process."""

    def task() -> float:
        started = time.process_time()
        work()
        return time.process_time() - started

    return task


def side_by_side(tasks: Mapping[str, Task], repeats: int, warm_up: int = 3) -> dict[str, float]:
    """Median CPU milliseconds of each task.

    Tasks take turns, so that whatever else the machine does hits all of them alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(warm_up + repeats):
        for name, task in tasks.items():
            taken = task()
            if turn >= warm_up:
                seconds[name].append(taken)
    return {name: round(1000 * float(np.median(s)), 3) for name, s in seconds.items()}


def exponent(sizes: list[float], costs: list[float]) -> float:
    """b of the least-squares fit cost = a · size^b."""
    return round(float(np.polyfit(np.log(sizes), np.log(costs), 1)[0]), 2)
