"""A row for every test image: what it says, and that it comes back from its file as it went in."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gtrans_core.config import ImageConfig
from gtrans_core.errors import ModelError
from gtrans_core.evaluation.evaluation import Evaluation
from gtrans_core.evaluation.image_table import (
    IMAGES,
    IMAGES_CSV,
    ImageResult,
    at_threshold,
    false_alarms,
    image_results,
    misses,
    read_images,
    write_images,
)
from gtrans_core.system.spreadsheet import as_it_was, without_formulas
from tests.support.evaluations import evaluation, image_result, masks_of

KINDS = ["good", "good", "dent", "dent", "crack"]
SCORES = [0.1, 0.6, 0.3, 0.9, 0.2]
CONFIG = ImageConfig(size=32)


def results(scored: Evaluation | None = None, config: ImageConfig = CONFIG) -> list[ImageResult]:
    scored = scored or evaluation(KINDS, SCORES, masks_of(2, 3, count=5))
    return image_results(scored, 0.5, 0.25, config)


def test_each_image_has_its_truth_and_its_verdict():
    rows = results()
    assert [(r.kind, r.label, r.verdict) for r in rows] == [
        ("good", "good", "ok"),
        ("good", "good", "flagged"),
        ("dent", "defective", "ok"),
        ("dent", "defective", "flagged"),
        ("crack", "defective", "ok"),
    ]
    assert [r.path for r in rows][:3] == ["test/good/0.png", "test/good/1.png", "test/dent/2.png"]
    assert {r.threshold for r in rows} == {0.5}
    assert [r.path for r in misses(rows)] == ["test/crack/4.png", "test/dent/2.png"]
    assert [r.path for r in false_alarms(rows)] == ["test/good/1.png"]


def test_a_score_at_the_threshold_is_ok():
    [row] = image_results(evaluation(["dent"], [0.5], None), 0.5, 0.25, CONFIG)
    assert row.is_missed


def test_regions_and_area_are_those_above_the_level():
    scored = evaluation(["dent"], [0.3], None)
    scored.maps[0, 4:6, 4] = 0.4
    scored.maps[0, 6, 5] = 0.4  # touches by a corner: the same region
    scored.maps[0, 0, 7] = 0.25  # at the level is not above it
    [row] = results(scored)
    assert (row.regions, row.area_above) == (2, 4 / 64)


def test_only_a_mask_says_how_large_a_defect_is():
    assert [row.defect_area for row in results()] == [None, None, 1 / 64, 1 / 64, 0.0]
    assert all(row.defect_area is None for row in results(evaluation(KINDS, SCORES, None)))


@pytest.mark.parametrize(
    ("config", "place"),
    [
        (ImageConfig(size=32), (20.5 / 32 * 640, 10.5 / 32 * 320)),
        (ImageConfig(size=64, crop=32), ((20.5 + 16) / 64 * 640, (10.5 + 16) / 64 * 320)),
        (ImageConfig(size=(32, 96)), (20.5 / 96 * 640, 10.5 / 32 * 320)),
    ],
    ids=["resized", "cropped", "wide"],
)
def test_the_peak_is_where_it_is_in_the_file(config: ImageConfig, place: tuple[float, float]):
    scored = evaluation(["dent"], [0.0], None)
    sample = scored.samples[0].model_copy(update={"width": 640, "height": 320})
    heat_map = np.zeros((1, *config.view_shape), np.float32)
    heat_map[0, 10, 20] = 1
    [row] = results(replace(scored, samples=(sample,), maps=heat_map), config)
    assert (row.peak_x, row.peak_y) == (int(place[0]), int(place[1]))


class TestFiles:
    def test_come_back_as_they_went_in_ordered_by_path(self, tmp_path: Path):
        rows = results()
        write_images(tmp_path, rows)
        assert read_images(tmp_path / IMAGES) == sorted(rows, key=lambda row: row.path)

    def test_the_csv_says_the_same(self, tmp_path: Path):
        [odd] = results(evaluation(['a "b", c'], [0.7], None))
        write_images(tmp_path, [odd])
        [row] = csv.DictReader((tmp_path / IMAGES_CSV).open(newline="", encoding="utf-8"))
        assert row["kind"] == 'a "b", c'
        assert (float(row["score"]), row["verdict"], row["defect_area"]) == (0.7, "flagged", "")

    def test_without_images_there_is_a_table_without_rows(self, tmp_path: Path):
        write_images(tmp_path, [])
        assert read_images(tmp_path / IMAGES) == []

    def test_a_column_of_a_later_version_is_passed_over(self, tmp_path: Path):
        rows = results()
        write_images(tmp_path, rows)
        table = pq.read_table(tmp_path / IMAGES)
        pq.write_table(table.append_column("later", pa.array([1] * 5)), tmp_path / IMAGES)
        assert len(read_images(tmp_path / IMAGES)) == 5

    @pytest.mark.parametrize("content", [None, b"", b"PAR1 and then not"])
    def test_what_is_no_such_table_is_refused_by_name(self, tmp_path: Path, content: bytes | None):
        if content is not None:
            (tmp_path / IMAGES).write_bytes(content)
        with pytest.raises(ModelError, match=r"images\.parquet: .*run the pipeline again"):
            read_images(tmp_path / IMAGES)

    @pytest.mark.parametrize(
        ("column", "odd"), [("score", "x"), ("verdict", ["ok"]), ("score", None), ("peak_x", 2**40)]
    )
    def test_another_type_is_refused(self, tmp_path: Path, column: str, odd: object):
        row = {**vars(results()[0]), column: odd}
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / IMAGES)
        with pytest.raises(ModelError, match=r"images\.parquet: .*run the pipeline again"):
            read_images(tmp_path / IMAGES)

    def test_a_small_file_of_very_many_rows_is_refused_unread(self, tmp_path: Path):
        same = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000_001, pa.int8()), pa.array([""]))
        pq.write_table(pa.table({"path": same}), tmp_path / IMAGES)
        with pytest.raises(ModelError, match="it has 2,000,001 rows"):
            read_images(tmp_path / IMAGES)

    def test_nothing_in_the_csv_is_a_formula(self, tmp_path: Path):
        write_images(tmp_path, [replace(results()[0], kind="=HYPERLINK(1)", path="-1+1")])
        text = (tmp_path / IMAGES_CSV).read_text()
        assert '"\'=HYPERLINK(1)"' in text
        assert '"\'-1+1"' in text
        assert read_images(tmp_path / IMAGES)[0].kind == "=HYPERLINK(1)"

    @pytest.mark.parametrize("sign", "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
    def test_whatever_a_formula_may_begin_with(self, sign: str):
        table = pa.table({"path": [f"{sign}1+1", f"a{sign}1"]})
        marked = without_formulas(table)["path"].to_pylist()
        assert marked == [f"'{sign}1+1", f"a{sign}1"]
        assert [as_it_was(cell) for cell in marked] == table["path"].to_pylist()

    def test_another_table_is_refused(self, tmp_path: Path):
        pq.write_table(pa.table({"path": ["a"]}), tmp_path / IMAGES)
        with pytest.raises(ModelError, match="sha256"):
            read_images(tmp_path / IMAGES)


def test_at_another_threshold_only_the_verdicts_are_others():
    rows = [image_result(score=score, threshold=1.0) for score in (0.5, 0.8, 2.0)]
    moved = at_threshold(rows, 0.8)
    assert [(one.threshold, one.verdict) for one in moved] == [
        (0.8, "ok"),
        (0.8, "ok"),
        (0.8, "flagged"),
    ]
    assert at_threshold(moved, 1.0) == at_threshold(rows, 1.0)
