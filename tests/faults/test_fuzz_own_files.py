"""Every parser of what a step or a run before left behind, and somebody may have changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import strategies as st

from gtrans_core.data.manifest import Manifest
from gtrans_core.detector.detector import Detector
from gtrans_core.errors import GTransError
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.features.cache import build_cache, load_cache
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.network.build import build_trans
from gtrans_core.storage.verified import write_verified
from gtrans_core.tracking.registry.model_files import verify_model
from gtrans_core.training.checkpoint import Checkpoint, newest_checkpoint
from gtrans_core.training.journal import TrainingJournal
from gtrans_core.training.trained_model import (
    TrainedModel,
    load_trained,
    save_trained,
)
from tests.support.fuzzing import check_one_line, damaged, fuzz, spoiled
from tests.support.records import evaluation_record, training_info

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_manifests_records_and_references(make_photos, tmp_path: Path) -> None:
    record = evaluation_record(training_seconds=1.5, lineage={"run_key": "r"})
    reference = FeatureCacheRef(folder="f", key="k", weights_sha256="0" * 64)
    valid = {
        Manifest: make_photos(tmp_path / "photos", 3).model_dump_json().encode(),
        EvaluationRecord: record.model_dump_json().encode(),
        FeatureCacheRef: reference.model_dump_json().encode(),
    }
    path = tmp_path / "record.json"

    def parse(one: tuple[type, bytes]) -> None:
        kind, data = one
        path.write_bytes(data)
        kind.read(tmp_path if kind is EvaluationRecord else path)

    choices = [spoiled(data).map(lambda d, k=kind: (k, d)) for kind, data in valid.items()]
    fuzz(st.one_of(choices), parse)


def test_checkpoints_under_a_right_digest(tmp_path: Path) -> None:
    header = {"checkpoint": json.dumps({"step": 3, "values": {"best_loss": 1.0}})}
    valid = safetensors.torch.save({"trans.weight": torch.ones(3, 4)}, header)

    def parse(data: bytes) -> None:
        folder = tmp_path / "checkpoints"
        shutil.rmtree(folder, ignore_errors=True)
        write_verified(folder, "checkpoint-00000003", "safetensors", data)
        found = newest_checkpoint(folder, lambda line: None)
        assert found is None or isinstance(found, Checkpoint)

    fuzz(damaged(valid), parse)


def test_training_journals(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    valid = b'{"step": 1, "time_ms": 5, "values": {"loss": 0.5}}\n' * 3

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        history = TrainingJournal(path)
        history.append(9, {"loss": 0.25})
        assert history.records()[-1]["step"] == 9

    fuzz(damaged(valid), parse)


def test_feature_caches(built) -> None:
    """An index that was changed, and shards that were changed and renamed to fit."""
    index = (built.folder / "cache.json").read_bytes()
    shard = built.shards()[1].read_bytes()

    def parse(one: tuple[str, bytes]) -> None:
        what, data = one
        if what == "index":
            (built.folder / "cache.json").write_bytes(data)
        else:
            built.shards()[1].unlink()
            write_verified(built.folder, "shard-00001", "safetensors", data)
        try:
            load_cache(built.folder)
        except GTransError as error:
            check_one_line(error)
        arguments = (built.root, built.identity, built.manifest, built.agn)
        build_cache(*arguments, lambda done, total: None)
        assert len(load_cache(built.folder).views) == 7
        for left in built.folder.glob("*.damaged"):
            left.unlink()

    kinds = spoiled(index).map(lambda d: ("index", d)), damaged(shard).map(lambda d: ("shard", d))
    fuzz(st.one_of(*kinds), parse)


def test_trained_models(tiny_config, tmp_path: Path, tiny_detector: Path) -> None:
    scorer = Detector.load(tiny_detector).scorer
    info = training_info(tiny_config())
    model = TrainedModel(build_trans(scorer.agn.spec, tiny_config()), scorer.scene, scorer.memory)
    save_trained(tmp_path, model, info)
    fuzz(files_of(tmp_path), with_one_file_changed(tmp_path, lambda: load_trained(tmp_path)))


def test_detectors(tiny_detector: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_detector, tmp_path / "detector")
    fuzz(files_of(folder), with_one_file_changed(folder, lambda: Detector.load(folder)))


def test_registered_models(tmp_path: Path) -> None:
    """MLmodel, which says what code MLflow runs."""
    loader = "mlflow.pyfunc.loaders.code_model"
    valid = (
        f"flavors:\n  python_function:\n    loader_module: {loader}\n"
        "    model_code_path: served_model.py\n    artifacts: {detector: {path: x}}\n"
    ).encode()
    path = tmp_path / "MLmodel"

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        verify_model("m", tmp_path, {}, "part")

    fuzz(damaged(valid), parse)


def files_of(folder: Path) -> st.SearchStrategy[tuple[str, bytes]]:
    """A file's name and its spoiled content."""
    choices = []
    for path in sorted(folder.iterdir()):
        make = spoiled if path.suffix == ".json" else damaged
        choices.append(make(path.read_bytes()).map(lambda data, name=path.name: (name, data)))
    return st.one_of(choices)


def with_one_file_changed(folder: Path, load: Callable[[], object]) -> Callable[[Any], None]:
    def parse(one: tuple[str, bytes]) -> None:
        path = folder / one[0]
        whole = path.read_bytes()
        path.write_bytes(one[1])
        try:
            load()
        finally:
            path.write_bytes(whole)

    return parse
