"""Fault 21: a bad champion, and the one command that takes it back."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from gtrans_core.evaluation.gate import Gate
from gtrans_core.tracking.promotion import promote, read_history

pytestmark = pytest.mark.slow

LIMIT_S = 5.0
GATE = Gate(
    floors={},
    minimum_gain={},
    maximum_loss_per_defect={},
    minimum_test_images=1,
    same_data_as_champion=False,
    as_many_test_images_as_champion=False,
)
CONNECT = "import sys; from gtrans_core.tracking.client import connect; connect(sys.argv[1])"


def cpu_seconds(*arguments: str) -> tuple[float, str]:
    """What a Python process takes of a core, whatever else runs; and what it prints."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return spent() - before, done.stdout


def test_one_command_takes_a_bad_champion_back(shelf, tmp_path, monkeypatch) -> None:
    """Of its time nearly all is Python reading MLflow, which nothing of ours can shorten."""
    for content in ("good", "bad"):
        shelf.register(content)
        promote(shelf.client, shelf.category, GATE)
    assert shelf.alias("champion") == 2
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    profile = tmp_path / "place.toml"
    address = shelf.client.tracking_uri
    profile.write_text(
        f'store = "{tmp_path}"\ntracking_uri = "{address}"\nunsigned_models = "allow"\n'
    )
    mlflow_alone, _ = cpu_seconds("-c", CONNECT, address)
    command = ["-m", "gtrans_core.cli.main", "rollback", shelf.category]
    seconds, said = cpu_seconds(*command, "--profile", str(profile), "--why", "odd scores")
    assert f"{shelf.name} version 1 is the champion (was: version 2)" in said
    assert shelf.alias("champion") == 1
    move = read_history(shelf.client, shelf.category).moves[-1].move
    assert (move.kind, move.who, move.previous, move.champion, move.why) == (
        "rollback",
        "ada",
        2,
        1,
        "odd scores",
    )
    sys.stderr.write(f"gtrans rollback: {seconds:.1f} CPU s, MLflow: {mlflow_alone:.1f}\n")
    assert seconds < max(LIMIT_S, 1.5 * mlflow_alone)
