"""Fault 21: a bad champion, and the one command that takes it back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from gtrans_core.evaluation.gate import Gate
from gtrans_core.tracking.promotion.promotion import promote, read_history

pytestmark = pytest.mark.slow

LIMIT_S = 5.0
"""Where MLflow alone is there after ``REFERENCE_S``; a slower machine has longer in proportion."""
REFERENCE_S = 2.2
OWN_SHARE = 0.5
"""Of the CPU time that MLflow takes before; measured: 0.2 to 0.35."""
TRIES = 3
NOT_NEEDED = ("boto3", "kfp", "matplotlib", "onnxruntime", "sklearn", "timm", "torch")
GATE = Gate(
    floors={},
    minimum_gain={},
    maximum_loss_per_defect={},
    minimum_test_images=1,
    same_data_as_champion=False,
    as_many_test_images_as_champion=False,
)

# Both in one process, one right after the other: what else the machine does slows both alike.
MLFLOW_THEN_COMMAND = """
import json, sys, time
from mlflow import MlflowClient
address = sys.argv.pop(1)
MlflowClient(tracking_uri=address, registry_uri=address)
mlflow = time.process_time(), time.monotonic()
from gtrans.cli.main import main
try:
    main()
finally:
    print(json.dumps([*mlflow, time.process_time(), sorted(sys.modules)]), file=sys.stderr)
"""


@dataclass(frozen=True)
class Timed:
    """A command that connects to MLflow, and what of its time was MLflow's.

    Attributes:
        said: what it printed.
        modules: all that was imported.
        own_share: CPU seconds of the command itself, of those that MLflow took before.
        mlflow_wall_s: seconds until MLflow was there.
        wall_s: seconds in all.
    """

    said: str
    modules: set[str]
    own_share: float
    mlflow_wall_s: float
    wall_s: float

    @property
    def quick(self) -> bool:
        """Whether it kept to both limits."""
        slower = max(1.0, self.mlflow_wall_s / REFERENCE_S)
        return self.own_share < OWN_SHARE and self.wall_s < LIMIT_S * slower

    def __str__(self) -> str:
        walls = f"{self.wall_s:.1f} s, of them MLflow {self.mlflow_wall_s:.1f} s"
        return f"{walls}; own share {self.own_share:.2f}"


def timed(address: str, *command: str) -> Timed:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MLFLOW_THEN_COMMAND, address, *command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    wall_s = time.monotonic() - started
    assert done.returncode == 0, done.stderr[-2000:]
    mlflow, there, spent, modules = json.loads(done.stderr.splitlines()[-1])
    return Timed(done.stdout, set(modules), (spent - mlflow) / mlflow, there - started, wall_s)


@pytest.fixture
def profile(shelf, tmp_path: Path) -> Path:
    path = tmp_path / "place.toml"
    path.write_text(
        f'store = "{tmp_path}"\ntracking_uri = "{shelf.client.tracking_uri}"\n'
        'unsigned_models = "allow"\n'
    )
    return path


def test_one_command_takes_a_bad_champion_back(shelf, profile: Path, monkeypatch) -> None:
    """Nearly all its time is Python reading MLflow; one quick try of three is enough."""
    for content in ("good", "bad", "worse", "worst"):
        shelf.register(content)
        promote(shelf.client, shelf.category, GATE)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    command = ["rollback", shelf.category, "--profile", str(profile), "--why", "odd scores"]
    tries: list[Timed] = []
    while len(tries) < TRIES and not any(one.quick for one in tries):
        bad = shelf.alias("champion")
        tries.append(timed(shelf.client.tracking_uri, *command))
        assert f"{shelf.name} version {bad - 1} is the champion (was: version {bad})" in (
            tries[-1].said
        )
        assert shelf.alias("champion") == bad - 1
        move = read_history(shelf.client, shelf.category).moves[-1].move
        assert (move.kind, move.who, move.why) == ("rollback", "ada", "odd scores")
        assert (move.previous, move.champion) == (bad, bad - 1)
    assert not tries[0].modules & set(NOT_NEEDED)
    assert tries[-1].quick, "\n".join(map(str, tries))
