"""One flipped bit in a file that we wrote: it is noticed, or it changes nothing that is read.

Files that carry their sha256 in their name are tested in tests/unit/storage/test_verified.py.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow import parquet

from gtrans_core.batch.parts import open_parts
from gtrans_core.batch.rows import ImageRow, ScoringModel
from gtrans_core.data.manifest import Manifest
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import INFO_NAME, read_info
from gtrans_core.errors import GTransError
from gtrans_core.evaluation.image_table import IMAGES, read_images, write_images
from gtrans_core.evaluation.record import RECORD, EvaluationRecord
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.network.build import build_trans
from gtrans_core.storage import write_atomic
from gtrans_core.storage.sealed import sealed
from gtrans_core.training.trained_model import (
    TrainedModel,
    load_trained,
    save_trained,
)
from gtrans_core.trust.seen import SeenApprovals
from gtrans_core.watch.feedback import FeedbackBook, Statement
from gtrans_core.watch.record import Watched, read_counts, record_all
from tests.support.evaluations import image_result
from tests.support.records import detector_info, evaluation_record, training_info
from tests.support.tiny import photos

MOST_TRIES = 300
DIGEST = "d" * 64

Read = Callable[[], Any]


def a_manifest(folder: Path) -> tuple[Path, Read]:
    path = folder / "train.json"
    photos(folder / "photos", 2).write(path)
    return path, lambda: Manifest.read(path)


def a_record(folder: Path) -> tuple[Path, Read]:
    evaluation_record(training_seconds=1.5, lineage={"run_key": "r"}).write(folder)
    return folder / RECORD, lambda: EvaluationRecord.read(folder)


def a_cache_reference(folder: Path) -> tuple[Path, Read]:
    path = folder / "reference.json"
    reference = FeatureCacheRef(folder="f", key="k", weights_sha256="0" * 64)
    write_atomic(path, sealed(reference.model_dump_json(indent=1)))
    return path, lambda: FeatureCacheRef.read(path)


def a_detectors_facts(folder: Path) -> tuple[Path, Read]:
    write_atomic(folder / INFO_NAME, sealed(detector_info().to_json()))
    return folder / INFO_NAME, lambda: read_info(folder)


def scores_for_drift(folder: Path) -> tuple[Path, Read]:
    record_all(folder, Watched("nut", 1, DIGEST), "w", [(date(2026, 1, 2), 0.5)] * 7)
    [path] = folder.rglob("*.json")
    return path, lambda: read_counts(folder, "nut", DIGEST)


def a_statement(folder: Path) -> tuple[Path, Read]:
    said = Statement(
        category="nut",
        version=3,
        digest=DIGEST,
        score=1.4,
        threshold=1.0,
        truth="good",
        name="p1.png",
        image_sha256=hashlib.sha256(b"image").hexdigest(),
        said_at=datetime(2026, 11, 28, tzinfo=UTC),
    )
    FeedbackBook(str(folder)).add(said, b"image")
    [path] = folder.rglob("*.json")
    return path, lambda: FeedbackBook(str(folder)).read("nut")


def approvals_seen(folder: Path) -> tuple[Path, Read]:
    seen = SeenApprovals(folder / "approvals.json")
    seen.remember("http://mlflow", "gtrans-nut", 7)
    return seen.path, lambda: seen.newest("http://mlflow", "gtrans-nut")


def images(folder: Path) -> tuple[Path, Read]:
    write_images(folder, [image_result(score=i / 10) for i in range(9)])
    return folder / IMAGES, lambda: read_images(folder / IMAGES)


MODEL = ScoringModel("nut", 3, DIGEST, 1.0)


def _rows(folder: Path) -> dict[str, Any]:
    with open_parts(folder / "out.parquet", MODEL) as parts:
        found = folder / "merged.parquet"
        parts.merge(found, parts.kept)
        return {"rows": parquet.read_table(found).to_pylist(), "run": parts.run_id}


def _batch(folder: Path) -> None:
    with open_parts(folder / "out.parquet", MODEL) as parts:
        for i in range(9):
            when = datetime(2026, 11, 28, tzinfo=UTC)
            parts.add(ImageRow(f"{i}.png", DIGEST, i / 10, i > 4, when, None, "tag"))
        parts.write()


def a_part_of_a_batch(folder: Path) -> tuple[Path, Read]:
    _batch(folder)
    [path] = folder.rglob("part-*.parquet")
    return path, lambda: _rows(folder)


def the_run_of_a_batch(folder: Path) -> tuple[Path, Read]:
    _batch(folder)
    return folder / "out.parquet.parts/run.json", lambda: _rows(folder)


FILES = [
    a_manifest,
    a_record,
    a_cache_reference,
    a_detectors_facts,
    scores_for_drift,
    a_statement,
    approvals_seen,
    images,
    a_part_of_a_batch,
    the_run_of_a_batch,
]


def flip_each(path: Path, read: Read, tries: int) -> None:
    data, right = path.read_bytes(), read()
    bits = 8 * len(data)
    for number in range(min(tries, bits)):
        bit = number * bits // tries if tries < bits else number
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with contextlib.suppress(GTransError):
            assert read() == right, f"bit {bit % 8} of byte {bit // 8} of {len(data)}"


@pytest.mark.parametrize("write", FILES, ids=lambda write: write.__name__)
def test_it_is_noticed_or_harmless(write: Callable[[Path], tuple[Path, Read]], tmp_path: Path):
    flip_each(*write(tmp_path), MOST_TRIES)


@pytest.mark.parametrize("name", ["training.json", "trans.safetensors"])
def test_so_it_is_in_what_training_hands_on(
    name: str, tiny_detector: Path, tiny_config: Callable, tmp_path: Path
):
    scorer = Detector.load(tiny_detector).scorer
    info = training_info(tiny_config())
    trans = build_trans(scorer.agn.spec, tiny_config())
    save_trained(tmp_path, TrainedModel(trans, scorer.scene, scorer.memory), info)

    def read() -> list[Any]:
        model, facts = load_trained(tmp_path)
        weights = torch.cat([one.flatten().float() for one in model.trans.state_dict().values()])
        return [facts, weights.numpy().tobytes()]

    flip_each(tmp_path / name, read, 20)
