"""A batch into a table with a real, tiny detector: its rows, resuming, stopping, refusing."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gtrans_core.batch import parts as parts_module
from gtrans_core.batch.images import ImageRef, find_images
from gtrans_core.batch.parts import parts_folder
from gtrans_core.batch.rows import COLUMNS, ScoringModel
from gtrans_core.batch.run import BatchSummary, score_to_table
from gtrans_core.batch.scoring import score_image
from gtrans_core.detector.detector import Detector, Verdict
from gtrans_core.detector.files import detector_digest
from gtrans_core.errors import ModelError, PreemptedError, StorageError
from gtrans_core.storage import open_store


@pytest.fixture(scope="module")
def detector(tiny_detector: Path) -> Detector:
    return Detector.load(tiny_detector)


@pytest.fixture(scope="module")
def model(tiny_detector: Path, detector: Detector) -> ScoringModel:
    return ScoringModel("part", 3, detector_digest(tiny_detector), detector.info.threshold)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "ROWS_A_PART", 2)
    monkeypatch.setattr(parts_module, "_PARTS_A_ROW_GROUP", 2)


@pytest.fixture
def folder(make_photos, tmp_path: Path) -> Path:
    make_photos(tmp_path / "photos", 7)
    return tmp_path / "photos"


class Batch:
    """Scores a folder into ``out``; ``finished`` gets what was handed to ``on_finished``."""

    def __init__(self, detector: Detector, model: ScoringModel, out: Path) -> None:
        self.detector = detector
        self.model = model
        self.out = out
        self.finished: list[tuple[str, int]] = []
        self.scored: list[str] = []

    def __call__(self, images: list[ImageRef], stop_after: int = 10**9, **options: Any):
        def on_finished(run_id: str, scores: Any) -> None:
            self.finished.append((run_id, len(list(scores))))

        seen: list[int] = []
        options = {"heat_maps": None, "on_finished": on_finished, **options}
        counted = [replace(image, read=self._counting(image)) for image in images]
        return score_to_table(
            self.detector,
            self.model,
            counted,
            self.out,
            options.pop("heat_maps"),
            on_progress=lambda done, total: seen.append(done),
            stop_requested=lambda: len(seen) >= stop_after,
            **options,
        )

    def _counting(self, image: ImageRef) -> Callable[[], bytes]:
        def read() -> bytes:
            self.scored.append(Path(image.path).name)
            return image.read()

        return read


@pytest.fixture
def batch(detector: Detector, model: ScoringModel, tmp_path: Path) -> Batch:
    return Batch(detector, model, tmp_path / "results.parquet")


def rows(table: Path) -> list[dict[str, Any]]:
    """Without the one column that time changes."""
    return pq.read_table(table).drop_columns(["scored_at"]).to_pylist()


def test_no_heat_map_is_made_that_is_not_drawn(folder: Path, tmp_path: Path):
    class Blind:
        """A detector that can say its verdict and nothing else."""

        def view(self, data: bytes, name: str) -> bytes:
            return data

        def judge_view(self, view: bytes) -> Verdict:
            return Verdict(0.5, True)

    image = find_images([str(folder)])[0]
    row = score_image(Blind(), image, image.read(), None)
    assert (row.score, row.is_anomalous, row.error) == (0.5, True, None)
    with pytest.raises(AttributeError, match="predict_view"):
        score_image(Blind(), image, image.read(), tmp_path / "drawing.png")


def test_a_row_says_all_there_is_to_know(batch: Batch, folder: Path):
    (folder / "text.png").write_text("not an image")
    images = find_images([str(folder), str(folder / "gone.png")])
    before = datetime.now(UTC)
    summary = batch(images)
    table = pq.read_table(batch.out)
    assert table.schema == COLUMNS
    assert table["path"].to_pylist() == [image.path for image in images]
    *good, text, gone = table.to_pylist()
    for row, image in zip(good, images, strict=False):
        data = Path(image.path).read_bytes()
        [alone] = batch.detector.predict_bytes([data])
        assert row["image_sha256"] == hashlib.sha256(data).hexdigest()
        assert (row["score"], row["is_anomalous"]) == (alone.score, alone.is_anomalous)
        assert row["error"] is None
    for row in table.to_pylist():
        assert (row["category"], row["model_version"]) == ("part", 3)
        assert row["model_digest"] == batch.model.digest
        assert row["threshold"] == batch.model.threshold
        assert abs((row["scored_at"] - before).total_seconds()) < 60
    assert text["error"].startswith(f"{folder}/text.png: not a ")
    assert text["image_sha256"] == hashlib.sha256(b"not an image").hexdigest()
    assert gone["error"] == f"{folder}/gone.png: cannot be read (No such file or directory)"
    assert [text["score"], gone["score"], gone["is_anomalous"], gone["image_sha256"]] == [None] * 4
    flagged = sum(row["is_anomalous"] for row in good)
    assert summary == BatchSummary(9, flagged, [text["error"], gone["error"]], 0, 0)


def test_rows_lie_in_groups_and_no_part_is_left(batch: Batch, folder: Path):
    batch(find_images([str(folder)]))
    metadata = pq.ParquetFile(batch.out).metadata
    groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert groups == [4, 3]
    assert sorted(path.name for path in batch.out.parent.iterdir()) == ["photos", "results.parquet"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_the_suffix_says_how_the_table_is_written(
    batch: Batch, folder: Path, tmp_path: Path, suffix: str
):
    (folder / "text.png").write_text("not an image")
    images = find_images([str(folder)])
    summary = batch(images)
    text = Batch(batch.detector, batch.model, tmp_path / f"results{suffix}")
    text(images, stop_after=10)
    assert not list(tmp_path.glob("*.parts"))
    if suffix == ".csv":
        with text.out.open(newline="", encoding="utf-8") as file:
            found = list(csv.DictReader(file))
        assert [row["score"] for row in found if not row["score"]] == [""]
        scores = [float(row["score"]) if row["score"] else None for row in found]
    else:
        found = [json.loads(line) for line in text.out.read_text("utf-8").splitlines()]
        scores = [row["score"] for row in found]
        assert datetime.fromisoformat(found[0]["scored_at"]).tzinfo is not None
    assert list(found[0]) == COLUMNS.names
    expected = rows(batch.out)
    assert scores == [row["score"] for row in expected]
    assert [row["path"] for row in found] == [row["path"] for row in expected]
    assert summary.images == len(found)
    with pytest.raises(StorageError, match="is there already"):
        text(images)


def test_a_csv_that_was_interrupted_goes_on_to_the_same_rows(
    batch: Batch, folder: Path, tmp_path: Path
):
    images = find_images([str(folder)])
    half = Batch(batch.detector, batch.model, tmp_path / "results.csv")
    with pytest.raises(PreemptedError):
        half(images, stop_after=5)
    assert not half.out.exists()
    summary = half(images)
    assert summary.kept == 5
    assert len(half.out.read_text("utf-8").splitlines()) == 1 + len(images)


def test_a_version_is_null_for_a_model_that_is_not_registered(batch: Batch, folder: Path):
    batch.model = replace(batch.model, version=None)
    batch(find_images([str(folder)]))
    assert pq.read_table(batch.out)["model_version"].null_count == 7


def test_an_empty_version_column_keeps_its_type(batch: Batch, folder: Path):
    batch.model = replace(batch.model, version=None)
    batch(find_images([str(folder)]))
    assert pq.read_table(batch.out).schema.field("model_version").type == pa.int64()


@pytest.mark.parametrize("stops", [(1,), (2, 5), (3, 1, 2)])
def test_stopped_and_given_again_it_ends_in_the_same_table(
    batch: Batch, folder: Path, tmp_path: Path, stops: tuple[int, ...]
):
    (folder / "002b.png").write_text("not an image")
    images = find_images([str(folder)])
    whole = Batch(batch.detector, batch.model, tmp_path / "whole.parquet")
    whole(images)
    for stop_after in stops:
        with pytest.raises(PreemptedError, match="of 8 images; they are kept"):
            batch(images, stop_after=stop_after)
        assert not batch.out.exists()
    summary = batch(images)
    assert rows(batch.out) == rows(whole.out)
    assert summary.kept == sum(stops)
    assert [count for _, count in batch.finished] == [7]


def test_an_image_that_is_kept_is_not_even_read_again(batch: Batch, folder: Path):
    images = find_images([str(folder)])
    with pytest.raises(PreemptedError):
        batch(images, stop_after=5)
    batch.scored.clear()
    batch(images)
    assert batch.scored == ["005.png", "006.png"]


def test_a_touched_image_is_kept_and_a_changed_one_is_scored_again(
    batch: Batch, folder: Path, tmp_path: Path
):
    with pytest.raises(PreemptedError):
        batch(find_images([str(folder)]), stop_after=5)
    (folder / "001.png").touch()
    (folder / "002.png").write_bytes((folder / "006.png").read_bytes())
    (folder / "003.png").unlink()
    images = find_images([str(folder)])
    summary = batch(images)
    assert (summary.images, summary.kept, summary.changed) == (6, 3, 1)
    whole = Batch(batch.detector, batch.model, tmp_path / "whole.parquet")
    whole(images)
    by_path = {row["path"]: row for row in rows(batch.out)}
    assert by_path == {row["path"]: row for row in rows(whole.out)}


def test_an_image_that_could_not_be_read_is_tried_again(batch: Batch, folder: Path):
    late = folder / "0000.png"
    arguments = [str(late), str(folder)]
    with pytest.raises(PreemptedError):
        batch(find_images(arguments), stop_after=3)
    late.write_bytes((folder / "006.png").read_bytes())
    assert batch(find_images(arguments)).errors == []


def test_parts_of_another_model_are_not_mixed_in(batch: Batch, folder: Path):
    images = find_images([str(folder)])
    with pytest.raises(PreemptedError):
        batch(images, stop_after=3)
    batch.model = replace(batch.model, digest="f" * 64)
    with pytest.raises(ModelError, match="holds rows of another model"):
        batch(images)


def test_a_finished_table_is_not_overwritten(batch: Batch, folder: Path):
    images = find_images([str(folder)])
    batch(images)
    before = batch.out.read_bytes()
    with pytest.raises(StorageError, match="is there already"):
        batch(images)
    assert batch.out.read_bytes() == before


def test_killed_between_table_and_tidying_up_it_is_finished_not_refused(batch: Batch, folder: Path):
    images = find_images([str(folder)])

    def killed(run_id: str, scores: Any) -> None:
        batch.finished.append((run_id, 0))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch(images, on_finished=killed)
    before = batch.out.read_bytes()
    batch.scored.clear()
    batch(images)
    assert batch.out.read_bytes() == before
    assert batch.scored == []
    (first, _), (second, count) = batch.finished
    assert (first, count) == (second, 7)  # the same name: counted once
    assert not parts_folder(batch.out).exists()


def test_killed_before_tidying_up_new_and_changed_images_are_scored(batch: Batch, folder: Path):
    def killed(run_id: str, scores: Any) -> None:
        raise KeyboardInterrupt

    images = find_images([str(folder)])
    with pytest.raises(KeyboardInterrupt):
        batch(images, on_finished=killed)
    changed, new = Path(images[0].path), folder / "zz-new.png"
    new.write_bytes(changed.read_bytes())
    changed.write_bytes(Path(images[1].path).read_bytes())
    batch.scored.clear()
    batch(find_images([str(folder)]))
    paths = pq.read_table(batch.out)["path"].to_pylist()
    assert sorted(paths) == sorted({*(i.path for i in images), str(new)})
    assert len(batch.scored) == 2


def test_a_damaged_part_is_named_and_the_rest_survives_its_removal(batch: Batch, folder: Path):
    images = find_images([str(folder)])
    with pytest.raises(PreemptedError):
        batch(images, stop_after=6)
    [part] = parts_folder(batch.out).glob("part-000001-*.parquet")
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(StorageError, match=r"part-000001-\w+\.parquet: damaged \(\d+ bytes that"):
        batch(images)
    part.unlink()
    summary = batch(images)
    assert (summary.images, summary.kept) == (7, 4)


def test_parts_of_an_earlier_version_have_no_digest_and_are_taken(batch: Batch, folder: Path):
    images = find_images([str(folder)])
    with pytest.raises(PreemptedError):
        batch(images, stop_after=6)
    for part in parts_folder(batch.out).glob("part-*.parquet"):
        part.rename(part.with_name(f"{part.name[:11]}.parquet"))
    assert batch(images).kept == 6


def test_heat_maps_are_drawn_on_request(batch: Batch, folder: Path, tmp_path: Path):
    batch(find_images([str(folder)]), heat_maps=tmp_path / "maps")
    drawn = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert drawn == [f"{number:03}.png" for number in range(7)]


def test_a_prefix_of_a_bucket(batch: Batch, folder: Path, bucket: str):
    store = open_store(f"s3://{bucket}/line")
    for path in sorted(folder.iterdir()):
        store.write(path.name, path.read_bytes())
    images = find_images([f"s3://{bucket}/line/"])
    with pytest.raises(PreemptedError):
        batch(images, stop_after=2)
    summary = batch(images)
    assert (summary.images, summary.kept) == (7, 2)
    found = {Path(row["path"]).name: row["image_sha256"] for row in rows(batch.out)}
    assert found == {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_a_key_that_is_no_name_is_a_row_with_its_reason(batch: Batch, folder: Path, bucket: str):
    data = (folder / "000.png").read_bytes()
    for key in ("odd/a.png", "odd//b.png"):
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=data)
    summary = batch(find_images([f"s3://{bucket}/odd"]), heat_maps=folder / "maps")
    assert summary.images == 2
    errors = {row["path"]: row["error"] for row in rows(batch.out)}
    assert errors.pop(f"s3://{bucket}/odd/a.png") is None
    [(path, error)] = errors.items()
    assert path == f"s3://{bucket}/odd//b.png"
    assert "not a name inside a store" in error


def test_a_store_that_fails_ends_the_run_and_what_is_done_is_kept(batch: Batch, folder: Path):
    images = find_images([str(folder)])

    def fail() -> bytes:
        raise StorageError("s3://line/005.png at http://x: the server answered 503")

    broken = [*images[:5], replace(images[5], read=fail), images[6]]
    with pytest.raises(StorageError, match="503"):
        batch(broken)
    assert batch(images).kept == 5
