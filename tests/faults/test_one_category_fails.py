"""Row 22: one of three categories fails; the others are registered, the run fails and names it.

The real command, the compiled fan-out in kfp.local, real steps on a tiny guide, a real record.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gtrans_core.errors import CategoriesError
from gtrans_core.tracking.client import connect
from tests.support.forks import gtrans
from tests.support.images import photo
from tests.support.tiny import TINY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CATEGORIES = ("bolt", "nut", "washer")
BROKEN = "nut"
SMALL = (*TINY, "training.epochs=1", "evaluation.false_alarm_rate=0.2", "scoring.engine=torch")


def write_category(folder: Path, seed: int) -> None:
    """Twenty good photos to learn from, four good and four defective ones to judge."""
    for part, start, count in (("train/good", 0, 20), ("test/good", 20, 4), ("test/dent", 24, 4)):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            path = folder / part / f"{number:03}.png"
            path.write_bytes(photo(1000 * seed + start + number))


def gtrans_run(root: Path) -> subprocess.CompletedProcess[str]:
    place = ("--profile", root / "two.toml", "--data", root / "data")
    knobs = (f"--set={knob}" for knob in SMALL)
    return gtrans("run", "--category", *CATEGORIES, *place, *knobs, cwd=root)


def newest_run(root: Path) -> Path:
    return max((root / "store" / "runs").iterdir())


def summary_of(run: Path) -> dict[str, Any]:
    [path] = (path for path in run.glob("artifacts/**/ranking") if path.is_file())
    return json.loads(path.read_text())


def finished(run: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What each step of each category reported."""
    lines = (run / "progress.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return {(e["category"], e["step"]): e["results"] for e in events if e["kind"] == "finished"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plant")
    for seed, category in enumerate(CATEGORIES):
        write_category(root / "data" / category, seed)
    (root / "two.toml").write_text('store = "store"\nunsigned_models = "allow"\nat_once = 2\n')
    return root


def test_the_others_are_registered_and_a_rerun_does_only_the_failed_one(root: Path):
    torn = root / "data" / BROKEN / "train" / "good" / "007.png"
    whole = torn.read_bytes()
    torn.write_bytes(whole[: len(whole) // 2])

    failed = gtrans_run(root)

    assert failed.returncode == CategoriesError.exit_code, failed.stdout + failed.stderr
    assert f"error: {BROKEN}: " in failed.stderr
    assert "007.png" in failed.stderr
    assert "1 of 3 categories failed" in failed.stderr
    summary = summary_of(newest_run(root))
    assert [row["category"] for row in summary["failed"]] == [BROKEN]
    others = [row["category"] for row in summary["ranking"]]
    assert sorted(others) == ["bolt", "washer"]
    scores = [row["metrics"]["image_auroc"] for row in summary["ranking"]]
    assert scores == sorted(scores, reverse=True)
    client = connect(f"sqlite:///{root}/store/mlflow.db")
    registered = {model.name for model in client.search_registered_models()}
    assert registered == {"gtrans-bolt", "gtrans-washer"}

    torn.write_bytes(whole)
    mended = gtrans_run(root)

    assert mended.returncode == 0, mended.stdout + mended.stderr
    run = newest_run(root)
    results = finished(run)
    reused = {who: bool(results[who, "train"]["reused"]) for who in CATEGORIES}
    assert reused == {"bolt": True, "nut": False, "washer": True}
    versions = {who: results[who, "register"]["version"] for who in CATEGORIES}
    assert versions == dict.fromkeys(CATEGORIES, 1)  # the same detector is no second version
    assert summary_of(run)["failed"] == []

    experiment = client.get_experiment_by_name("gtrans").experiment_id
    found = client.search_runs([experiment], f"tags.`gtrans.run_key` = '{run.name}'")
    assert {r.data.tags["gtrans.category"] for r in found} == set(CATEGORIES)
    [heading] = client.search_runs([experiment], f"tags.`gtrans.sweep` = '{run.name}'")
    assert {r.data.tags["mlflow.parentRunId"] for r in found} == {heading.info.run_id}
    assert heading.data.metrics == {"categories": 3.0, "categories_failed": 0.0}
