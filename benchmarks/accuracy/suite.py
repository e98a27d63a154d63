"""The default beside its parts: ``python -m benchmarks.accuracy.suite --data DIR ...``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.accuracy.ablate import SCORINGS
from benchmarks.accuracy.command import benchmark_command
from benchmarks.accuracy.gtrans import run_gtrans
from benchmarks.accuracy.measure import Row
from benchmarks.accuracy.splits import Category
from gtrans_core.config import GTransConfig

SHOWN = (
    "default",
    "default before",
    "default, without memory",
    "scene model and memory, without Trans",
)


def parts(category: Category, seed: int, store: Path) -> list[Row]:
    """One training, scored in few ways."""
    scorings = {name: SCORINGS[name] for name in SHOWN}
    return run_gtrans(category, GTransConfig(seed=seed), scorings, store)


if __name__ == "__main__":
    benchmark_command({"parts": parts}, "suite")
