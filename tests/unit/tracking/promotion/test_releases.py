"""One release folder a promotion: written once, found again, and checked when it is fetched."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from gtrans_core.errors import ModelError, StorageError, TrackingError
from gtrans_core.evaluation.defect_result import DefectResult
from gtrans_core.evaluation.gate import Gate
from gtrans_core.tracking.promotion import releases
from gtrans_core.tracking.promotion.ledger import LEDGER_PREFIX
from gtrans_core.tracking.promotion.promotion import promote, rollback
from gtrans_core.tracking.promotion.releases import ensure_release, fetch_release
from gtrans_core.tracking.registry.signing import sign_version
from gtrans_core.trust.keys import SigningKey, make_key_pair
from gtrans_core.trust.policy import TrustPolicy
from tests.support.records import evaluation_record

UNSIGNED = TrustPolicy(unsigned="allow")
GATE = Gate(
    floors={"image_auroc": 0.9},
    minimum_gain={},
    maximum_loss_per_defect={},
    minimum_test_images=20,
    same_data_as_champion=True,
    as_many_test_images_as_champion=True,
)


@pytest.fixture
def evaluated(shelf):
    """The shelf, its run with what register logs of an evaluation."""
    defect = DefectResult(defect="dent", images=50, caught=45, image_auroc=0.9, au_pro_30=0.8)
    record = evaluation_record(
        category=shelf.category,
        per_defect=(defect,),
        config={"image.size": 256, "image.crop": None},
        lineage={"git_sha": "abc"},
    )
    shelf.run.log_artifact_bytes("record.json", record.model_dump_json().encode())
    shelf.run.log_artifact_bytes("report.html", b"<html>")
    return shelf


def promoted(shelf, content: str = "one", why: str = "") -> None:
    shelf.register(content)
    promote(shelf.client, shelf.category, GATE, why=why)


def ensure(shelf, key=None):
    return ensure_release(shelf.client, shelf.category, key)


def fetch(shelf, folder: Path, version=None, trust=UNSIGNED) -> Path:
    fetch_release(shelf.client, shelf.category, version, folder, trust)
    return folder


def artifact(shelf, name: str) -> Path:
    uri = shelf.client.get_run(shelf.run.run_id).info.artifact_uri
    return Path(uri.removeprefix("file://")) / name


def test_what_is_fetched_tells_the_promotion(evaluated, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    promoted(evaluated, why="new lamp")
    made = ensure(evaluated)
    assert (made.version, made.run_id, made.path) == (1, evaluated.run.run_id, "release/1")
    folder = fetch(evaluated, tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == made.files.keys()
    approval = json.loads((folder / "approval.json").read_text())
    assert (approval["who"], approval["why"], approval["previous"]) == ("ada", "new lamp", None)
    assert approval["gate"]["verdict"] == "passed"
    assert "image_auroc 0.9900: expected at least 0.9000 (the floor)" in approval["gate"]["checks"]
    lineage = json.loads((folder / "lineage.json").read_text())
    assert lineage["files"].keys() == {"detector.json", "trans.safetensors"}
    assert f"# gtrans-{evaluated.category}, version 1" in (folder / "MODEL_CARD.md").read_text()
    assert (folder / "report.html").read_bytes() == b"<html>"


def test_it_is_written_once(evaluated, monkeypatch):
    promoted(evaluated)
    made = ensure(evaluated)
    monkeypatch.setattr(releases, "write_release", lambda *a: pytest.fail("written again"))
    assert ensure(evaluated) == made


def test_a_crash_after_the_move_or_during_the_upload_is_made_up_for(evaluated, tmp_path):
    promoted(evaluated)  # and died here
    half = artifact(evaluated, "release/1")
    half.mkdir(parents=True)
    (half / "lineage.json").write_text("{")
    with pytest.raises(ModelError, match=r"the champion of .* has no release folder"):
        fetch(evaluated, tmp_path / "none")
    ensure(evaluated)
    assert json.loads((fetch(evaluated, tmp_path / "out") / "lineage.json").read_text())


def test_each_promotion_of_a_version_has_its_own(evaluated, tmp_path):
    promoted(evaluated, "one")
    ensure(evaluated)
    promoted(evaluated, "two")
    ensure(evaluated)
    rollback(evaluated.client, evaluated.category)
    assert ensure(evaluated).path == "release/1"
    promote(evaluated.client, evaluated.category, GATE, 2, again=True, why="it was the lamp")
    made = ensure(evaluated)
    assert (made.version, made.path) == (2, "release/4")
    assert "it was the lamp" in (fetch(evaluated, tmp_path / "a") / "MODEL_CARD.md").read_text()
    first = fetch(evaluated, tmp_path / "b", version=1)
    assert json.loads((first / "approval.json").read_text())["version"] == 1
    with pytest.raises(ModelError, match="version 9 has no release folder"):
        fetch(evaluated, tmp_path / "c", version=9)


def test_signed_with_the_promoters_key_and_with_the_models_signature_inside(evaluated, tmp_path):
    private, public = make_key_pair(tmp_path / "keys")
    key, trust = SigningKey(private), TrustPolicy(public)
    evaluated.register()
    sign_version(evaluated.client, evaluated.category, 1, key)
    promote(evaluated.client, evaluated.category, GATE, trust=trust)
    ensure(evaluated, key)
    folder = fetch(evaluated, tmp_path / "out", trust=trust)
    model = evaluated.stored(1).parents[1] / "model.sig"
    assert (folder / "detector.sig").read_bytes() == model.read_bytes()
    _, others = make_key_pair(tmp_path / "others")
    with pytest.raises(ModelError, match="signed with another key"):
        fetch(evaluated, tmp_path / "no", trust=TrustPolicy(others))


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        (lambda f: (f / "approval.json").write_text("{}"), "approval.json"),
        (lambda f: (f / "MODEL_CARD.md").unlink(), "MODEL_CARD.md"),
        (lambda f: (f / "more.txt").touch(), "more.txt"),
    ],
)
def test_a_file_that_is_not_as_written_is_named(evaluated, tmp_path, damage, file):
    promoted(evaluated)
    damage(artifact(evaluated, ensure(evaluated).path))
    with pytest.raises(ModelError, match=rf"release/1: file {file} is missing, extra or was"):
        fetch(evaluated, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_left_alone(evaluated, tmp_path):
    promoted(evaluated)
    ensure(evaluated)
    with pytest.raises(StorageError, match="File exists"):
        fetch(evaluated, tmp_path)


def test_a_run_without_an_evaluation_is_told_and_the_champion_stays(shelf):
    promoted(shelf)
    with pytest.raises(TrackingError, match=r"has no file record\.json; was it deleted"):
        ensure(shelf)
    assert shelf.alias("champion") == 1


@pytest.mark.parametrize("path", ["..", "release/1/../../figures", "/etc", "release/2"])
def test_a_folder_that_somebody_wrote_into_the_ledger_is_not_fetched(evaluated, tmp_path, path):
    promoted(evaluated)
    said = {**asdict(ensure(evaluated)), "path": path}
    ledger = f"{LEDGER_PREFIX}{evaluated.category}"
    evaluated.client.set_model_version_tag(ledger, "1", releases.RELEASE_TAG, json.dumps(said))
    with pytest.raises(ModelError, match=r"is said to be .*: expected release/1; refused"):
        fetch(evaluated, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_champion_that_nobody_promoted_has_none(shelf):
    shelf.register()
    assert ensure(shelf) is None
