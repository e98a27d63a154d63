"""Twenty runs in a row with a random fault in each end in the registry of twenty clean ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_twenty_faulty_runs_end_as_twenty_clean_ones(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.soak", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    stories = json.loads(done.stdout.splitlines()[-1])
    clean, faults = stories["clean"], stories["faults"]
    trials = faults.pop("trials")
    assert set(clean.pop("trials")) == {"clean"}
    assert faults == clean, trials
    assert len(clean["runs"]) == 20
    assert len(clean["versions"]) == 4
    for runs in clean["runs"].values():
        assert runs == [["FINISHED", [1, 2, 3, 4], 1]], "one run each, each step in it once"
    assert trials.count("SIGKILL: killed") >= 3, trials
    assert "MLflow down: no MLflow" in trials
    assert "image: bad data" in trials
