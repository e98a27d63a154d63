"""What a run takes beyond the work of its steps, and how long a command takes to start."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.speed.clock import side_by_side
from gtrans_core.progress import ENVIRONMENT_VARIABLE

COMMANDS = {
    "gtrans --help": ["-m", "gtrans.cli.main", "--help"],
    "import gtrans_core": ["-c", "import gtrans_core"],
    "python": ["-c", "pass"],
}
_STEP = re.compile(r"^\[(\w+)\] (?:done|reused) in ([\d.]+) s$", re.MULTILINE)


def measure(store: Path) -> dict[str, Any]:
    """Seconds of a demo run of one epoch, and CPU milliseconds of commands."""
    del store
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        command = ["-m", "gtrans.cli.main", "run", "--category", "demo"]
        options = ["--set", "training.epochs=1", "--store", folder]
        said = _python([*command, *options], capture=True)
        wall = time.monotonic() - started
    steps = {step: float(seconds) for step, seconds in _STEP.findall(said)}
    if len(steps) != 5:
        raise RuntimeError(f"expected the times of five steps, found {steps} in:\n{said}")
    tasks = {name: (lambda arguments=a: _child_seconds(arguments)) for name, a in COMMANDS.items()}
    return {
        "wall_s": round(wall, 1),
        "steps_s": steps,
        "overhead_s": round(wall - sum(steps.values()), 1),
        "start_cpu_ms": side_by_side(tasks, repeats=7, warm_up=1),
    }


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found["steps_s"].items())
    limits = {"gtrans --help": "under 500", "import gtrans_core": "under 300"}
    return "\n".join(
        [
            "| what | found | asked |",
            "|---|---|---|",
            f"| `gtrans run` of the demo, one epoch, wall s | {found['wall_s']:.1f} | |",
            f"| its steps, wall s | {steps} | |",
            f"| the rest: overhead, wall s | {found['overhead_s']:.1f} | under 6 |",
            *(
                f"| `{name}`, CPU-ms | {ms:.0f} | {limits.get(name, '')} |"
                for name, ms in found["start_cpu_ms"].items()
            ),
        ]
    )


def _child_seconds(arguments: list[str]) -> float:
    """CPU seconds of a Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _python(arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _python(arguments: list[str], *, capture: bool = False) -> str:
    environment = {k: v for k, v in os.environ.items() if k != ENVIRONMENT_VARIABLE}
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE if capture else subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return done.stdout or ""
