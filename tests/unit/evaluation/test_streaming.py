"""Metrics of a split that is read image by image, and what memory scoring it takes."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from gtrans_core.config import ImageConfig, load_config
from gtrans_core.data.images import encode_png
from gtrans_core.data.manifest import Manifest, Sample
from gtrans_core.errors import StorageError
from gtrans_core.evaluation import evaluation as module
from gtrans_core.evaluation import planes
from gtrans_core.evaluation.evaluation import defect_results, score_split, split_metrics
from gtrans_core.evaluation.image_table import image_results
from gtrans_core.evaluation.metrics import au_pro, pixel_metrics, seg_f1

SIDE = 128
LEFT = "image.region=[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]"


class Brightness:
    """Scores an image by its pixels, and needs no network."""

    def score_view(self, view_3HW: np.ndarray) -> tuple[np.ndarray, float]:
        heat = view_3HW[0].astype(np.float32) / 255
        return heat, float(heat.max())


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """40 images, every other one with a mark; marks of the kind ``right`` lie right."""
    root, rng, samples = tmp_path_factory.mktemp("split"), np.random.default_rng(0), []
    for number in range(40):
        defect = ("good", "left", "good", "right")[number % 4]
        pixels = rng.integers(0, 200, (SIDE, SIDE, 3), np.uint8)
        mask = np.zeros((SIDE, SIDE, 3), np.uint8)
        column = 20 if defect == "left" else 90
        if defect != "good":
            mask[40:52, column : column + 12] = 255
            pixels |= mask
        files = {"": encode_png(pixels), "_mask": encode_png(mask)}
        for name, data in files.items():
            (root / f"{number}{name}.png").write_bytes(data)
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        marked = {"mask": f"{number}_mask.png", "mask_sha256": digests["_mask"]}
        samples.append(
            Sample(
                path=f"{number}.png",
                sha256=digests[""],
                defect=defect,
                width=SIDE,
                height=SIDE,
                **(marked if defect != "good" else {}),
            )
        )
    return Manifest(
        category="part", source="", split="test", root=str(root), samples=tuple(samples)
    )


def scored(split: Manifest, folder: Path, *overrides: str) -> module.Evaluation:
    image = load_config(overrides=[f"image.size={SIDE}", *overrides]).image
    return score_split(Brightness(), split, image, folder, lambda *_: None)


def test_in_parts_every_metric_is_the_same_to_the_last_bit(
    split: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scored(split, tmp_path)
    whole = split_metrics(found, 0.9), defect_results(found, 0.9)
    in_memory = np.array(found.masks), np.array(found.maps)
    assert whole[0]["seg_f1"] == seg_f1(*in_memory, 0.9)
    monkeypatch.setattr(planes, "PART", 3 * SIDE * SIDE)
    assert (split_metrics(found, 0.9), defect_results(found, 0.9)) == whole
    assert pixel_metrics(*in_memory).items() <= whole[0].items()
    some = [0, 3, 17, 30]
    assert au_pro(*in_memory, images=some) == au_pro(*(one[some] for one in in_memory))


def test_memory_does_not_grow_with_the_number_of_images(
    split: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the defective pixels, which a metric has to sort; here there are few."""
    monkeypatch.setattr(planes, "PART", 2 * SIDE * SIDE)
    few = split.model_copy(update={"samples": split.samples[:8]})

    def peak(manifest: Manifest, name: str) -> int:
        tracemalloc.start()
        try:
            found = scored(manifest, tmp_path / name)
            split_metrics(found, 0.9)
            defect_results(found, 0.9)
            image_results(found, 0.9, 0.9, ImageConfig(size=SIDE))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(few, "first")  # what is imported on first use
    assert peak(split, "all") < 1.5 * peak(few, "few"), "five times as many images"


def test_a_folder_without_room_is_refused_before_anything_is_scored(
    split: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def no_room(folder: Path, needed: int, what: str) -> None:
        asked.append(needed)
        raise StorageError(f"{folder}: {what}")

    monkeypatch.setattr(module, "require_free_space", no_room)
    with pytest.raises(StorageError, match="heat maps of 40 test images"):
        scored(split, tmp_path)
    assert asked == [SIDE * SIDE * (40 * 4 + 20)]


def test_views_are_decoded_again_as_they_were_scored(split: Manifest, tmp_path: Path) -> None:
    found = scored(split, tmp_path)
    heat, score = Brightness().score_view(found.views[5])
    assert (found.maps[5] == heat).all()
    assert found.scores[5] == score


def test_a_defect_where_nothing_is_judged_counts_for_nothing(
    split: Manifest, tmp_path: Path
) -> None:
    found = scored(split, tmp_path, LEFT)
    assert [sample.defect for sample in found.left_out] == ["right"] * 10
    assert found.defects == ["left"]
    assert len(found.maps) == len(found.scores) == 30
    assert found.masks is not None
    assert not found.masks[:, :, SIDE // 2 :].any()
    rows = image_results(found, 0.9, 0.9, load_config(overrides=[f"image.size={SIDE}", LEFT]).image)
    [share] = {row.defect_area for row in rows if row.kind == "left"}
    assert share == pytest.approx(144 / (SIDE * SIDE / 2), rel=0.02)
    assert {sample.defect for sample in scored(split, tmp_path / "all").samples} == {
        "good",
        "left",
        "right",
    }
