"""A new threshold for a registered model: the version it makes, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from gtrans.cli.main import app
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import read_info
from gtrans_core.detector.thresholds import promised_threshold
from gtrans_core.errors import ConfigError, DataError
from gtrans_core.evaluation.image_table import read_images
from gtrans_core.tracking.client import connect
from gtrans_core.tracking.promotion.releases import fetch_release
from gtrans_core.tracking.registry.registry import fetch_model
from gtrans_core.trust.policy import TrustPolicy
from tests.support.runs import CATEGORY, TinyRun, category_runs_at, save, write_part

NAME = f"gtrans-{CATEGORY}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A registered version, which tests add others to."""
    root = tmp_path_factory.mktemp("plant")
    write_part(root, test=4)
    run = TinyRun(root, overrides=("evaluation.perturbed_images=1",))
    run.go()
    rng = np.random.default_rng(7)
    for number in range(6):
        save(root / f"fresh/{number}.png", rng.integers(40, 180, (64, 64, 3), dtype=np.uint8))
    (root / "open.toml").write_text(
        "minimum_test_images = 1\nas_many_test_images_as_champion = false\n"
        "[floors]\nimage_auroc = 0.0\n[minimum_gain]\nimage_auroc = 0.0\n"
        "[maximum_loss_per_defect]\ncaught = 1.0\nimage_auroc = 0.0\n"
    )
    return run


def gtrans(run: TinyRun, verb: str, *arguments: str) -> Result:
    store = ["--store", str(run.root / "store")]
    return CliRunner().invoke(app, [verb, CATEGORY, *arguments, *store], env={"COLUMNS": "200"})


def detector(run: TinyRun, version: int, folder: Path) -> Path:
    client = connect(run.settings.tracking_uri)
    return fetch_model(client, f"models:/{NAME}/{version}", folder / str(version))


def test_fresh_images_make_a_version_that_is_gated_promoted_and_released(
    trained: TinyRun, tmp_path: Path
):
    gate = ("--gate", str(trained.root / "open.toml"))
    assert gtrans(trained, "promote", *gate).exit_code == 0
    done = gtrans(trained, "recalibrate", "--good", str(trained.root / "fresh"), *gate)
    assert done.exit_code == 0, done.output
    client = connect(trained.settings.tracking_uri)
    version = client.get_model_version_by_alias(NAME, "challenger")
    before = detector(trained, 1, tmp_path)
    after = detector(trained, int(version.version), tmp_path)

    old, new = read_info(before), read_info(after)
    fresh = Detector.load(before).predict_bytes(
        [path.read_bytes() for path in sorted((trained.root / "fresh").iterdir())]
    )
    scores = [one.score for one in fresh]
    assert sorted(new.held_out_scores) == pytest.approx(sorted(scores))
    assert new.threshold == pytest.approx(promised_threshold(scores, 0.4)[0])
    assert new.threshold != old.threshold
    assert new.files == old.files, "the networks are the same, byte for byte"
    assert (new.training_key, new.data_digest) == (old.training_key, old.data_digest)

    tags = version.tags
    assert tags["gtrans.recalibrated_from"] == "1"
    assert tags["gtrans.gate"] == "passed"
    assert json.loads(tags["gtrans.gate.verdict"])["champion"] == "1"
    run = client.get_run(version.run_id)
    assert run.data.params["evaluation.false_alarm_rate"] == "0.4"
    assert run.data.metrics["threshold"] == pytest.approx(new.threshold)
    assert len(run.inputs.dataset_inputs) == 2
    files = {file.path for file in client.list_artifacts(version.run_id)}
    tables = {"images.parquet", "images.csv"}
    assert files == {"record.json", "report.html", "report-of-version-1.html", *tables}
    images = read_images(Path(client.download_artifacts(version.run_id, "images.parquet")))
    assert {image.threshold for image in images} == {new.threshold}
    record = json.loads(Path(client.download_artifacts(version.run_id, "record.json")).read_text())
    split = Detector.load(after).predict_bytes(
        [path.read_bytes() for path in (trained.root / "data/part/test/dent").iterdir()]
    )
    assert record["robustness"] is None, "it was counted at the earlier threshold"
    [dent] = record["per_defect"]
    assert dent["caught"] == sum(image.flagged for image in images if image.kind == "dent")
    assert dent["caught"] == sum(one.is_anomalous for one in split)
    assert "dent: caught" in done.output
    assert f"-> {dent['caught']} of 4" in done.output
    assert "Make it the champion:\n" in done.output
    assert f"gtrans promote {CATEGORY}" in done.output

    assert gtrans(trained, "promote", *gate).exit_code == 0
    fetch_release(client, CATEGORY, None, tmp_path / "release", TrustPolicy(unsigned="allow"))
    assert "recalibrated" in (tmp_path / "release/report.html").read_text()


def test_the_run_it_came_from_has_what_training_took_of_the_machine(trained: TinyRun):
    client = connect(trained.settings.tracking_uri)
    run = client.get_run(client.get_model_version(NAME, "1").run_id)
    assert run.data.metrics["system/process_memory_megabytes"] > 1


def test_the_same_again_is_the_same_version_and_run(trained: TinyRun):
    first = gtrans(trained, "recalibrate", "--version", "1", "--false-alarm-rate", "0.5")
    assert first.exit_code == 0, first.output
    runs = len(category_runs_at(trained.settings.tracking_uri))
    later = trained.root / "data/part/test/good/feedback-0.png"  # of no concern to version 1
    later.write_bytes((trained.root / "fresh/0.png").read_bytes())
    known = min((trained.root / "data/part/test/good").glob("[0-9]*.png"))
    copied = later.with_name("feedback-1.png")
    copied.write_bytes(known.read_bytes())
    again = gtrans(trained, "recalibrate", "--version", "1", "--false-alarm-rate", "0.5")
    later.unlink()
    copied.unlink()
    assert again.exit_code == 0, again.output
    assert "this very detector is" in again.output
    assert len(category_runs_at(trained.settings.tracking_uri)) == runs


def test_another_rate_needs_no_images_and_tells_what_it_cannot_promise(
    trained: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    scored = Mock(side_effect=AssertionError("the run has the scores"))
    monkeypatch.setattr("gtrans_core.evaluation.evaluation.score_split", scored)
    done = gtrans(trained, "recalibrate", "--version", "1", "--false-alarm-rate", "0.01")
    assert done.exit_code == 0, done.output
    version = connect(trained.settings.tracking_uri).get_model_version_by_alias(NAME, "challenger")
    old = read_info(detector(trained, 1, tmp_path))
    new = read_info(detector(trained, int(version.version), tmp_path))
    assert new.held_out_scores == old.held_out_scores
    assert new.threshold == max(old.held_out_scores)
    assert new.map_middle == old.map_middle
    assert new.config.evaluation.false_alarm_rate == 0.01
    assert new.promise is not None
    assert new.promise.falls_short
    [told] = re.findall(r"at best; 1 % needs 99: add images", done.output.replace("\n", " "))
    assert "for a false-alarm rate of" not in done.output, told
    assert "refused: " in done.output
    assert "gtrans promote" not in done.output, "the gate has said no"


def test_the_challenger_is_compared_with_the_champion_image_by_image(trained: TinyRun):
    client = connect(trained.settings.tracking_uri)
    challenger, champion = (
        client.get_model_version_by_alias(NAME, alias) for alias in ("challenger", "champion")
    )
    assert challenger.version != champion.version
    store = ["--store", str(trained.root / "store")]
    command = ["compare", "--category", CATEGORY, *store]
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)
    duel = found["challenger_against_champion"]
    assert duel["champion"] == int(champion.version)
    assert duel["challenger"] == int(challenger.version)
    images = {
        alias: read_images(Path(client.download_artifacts(version.run_id, "images.parquet")))
        for alias, version in (("old", champion), ("new", challenger))
    }
    verdicts = [{one.path: one.verdict for one in rows} for rows in images.values()]
    changed = {path for path in verdicts[0] if verdicts[0][path] != verdicts[1][path]}
    assert {row["path"] for row in duel["contest"]["changed"]} == changed
    for row in duel["contest"]["kinds"]:
        of_kind = [[one for one in rows if one.kind == row["kind"]] for rows in images.values()]
        wrong = [sum(one.is_wrong for one in rows) for rows in of_kind]
        assert [row["champion_wrong"], row["challenger_wrong"]] == wrong
        assert row["images"] == len(of_kind[0]) == 4
    shown = CliRunner().invoke(app, command, env={"COLUMNS": "100"}).output
    title = (
        f"Challenger (version {challenger.version}) against champion (version {champion.version})"
    )
    assert title in shown
    assert max(map(len, shown.partition("\nData ")[0].splitlines())) <= 100


def test_an_image_the_model_knows_is_refused(trained: TinyRun):
    for split in ("train", "test"):
        done = gtrans(
            trained, "recalibrate", "--good", str(trained.root / f"data/part/{split}/good")
        )
        assert isinstance(done.exception, DataError)
        assert f"is one of the {split} images" in str(done.exception)


def test_images_that_cannot_be_read_are_all_named(trained: TinyRun, tmp_path: Path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n broken" + name.encode())
    done = gtrans(trained, "recalibrate", "--good", str(tmp_path))
    assert isinstance(done.exception, DataError)
    assert "2 images cannot be read" in str(done.exception)
    assert "b.png" in str(done.exception)


def test_neither_images_nor_a_rate_and_a_rate_out_of_range_are_refused(trained: TinyRun):
    assert isinstance(gtrans(trained, "recalibrate").exception, ConfigError)
    done = gtrans(trained, "recalibrate", "--false-alarm-rate", "5")
    assert isinstance(done.exception, ConfigError)
    assert "expected a share between 0 and 1" in str(done.exception)


def test_test_images_that_changed_since_are_told(trained: TinyRun):
    image = trained.root / "data/part/test/good/000.png"
    kept = image.read_bytes()
    try:
        save(image, np.random.default_rng(9).integers(60, 160, (64, 64, 3), dtype=np.uint8))
        done = gtrans(trained, "recalibrate", "--good", str(trained.root / "fresh"))
        assert isinstance(done.exception, DataError)
        assert "changed since this version was judged" in str(done.exception)
        moved = trained.root / "data/part"
        moved.rename(trained.root / "data/elsewhere")
        done = gtrans(trained, "recalibrate", "--good", str(trained.root / "fresh"))
        assert "which is not on this machine" in str(done.exception)
        (trained.root / "data/elsewhere").rename(moved)
    finally:
        image.write_bytes(kept)
