"""Every parser of outside bytes: whatever comes in, a result or one line that says what is wrong.

Hypothesis shapes the input, random bytes drive it until the time is up: a minute for all together
(``GTRANS_FUZZ_SECONDS`` allows longer, ``GTRANS_FUZZ_SEED`` another start).
"""

from __future__ import annotations

import copy
import io
import json
import os
import random
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gtrans_core.cache import build_cache, load_cache
from gtrans_core.checkpoint import Checkpoint, newest_checkpoint
from gtrans_core.config import GTransConfig, load_config
from gtrans_core.data.archive import extract_archive
from gtrans_core.data.images import decode_class_mask, decode_image, decode_mask
from gtrans_core.data.manifest import Manifest
from gtrans_core.detector import Detector
from gtrans_core.errors import GTransError
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.history import History
from gtrans_core.network.build import build_trans
from gtrans_core.serving.app import create_app
from gtrans_core.serving.models import Models, ServedModel
from gtrans_core.serving.settings import ServeSettings
from gtrans_core.steps.cache_features import FeatureCacheRef
from gtrans_core.tracking.model_files import verify_model
from gtrans_core.trained_model import TrainedModel, TrainingInfo, load_trained, save_trained
from gtrans_core.verified import write_verified
from pipelines.gates import load_gate
from pipelines.profiles import load_profile

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SECONDS = float(os.environ.get("GTRANS_FUZZ_SECONDS", "60"))
SEED = int(os.environ.get("GTRANS_FUZZ_SEED", "0"))
PARSERS = 11
"""Tests below, which share the time."""
LEAST = 20
"""Inputs that each gets on however slow a machine."""


def fuzz(strategy: st.SearchStrategy[Any], parse: Callable[[Any], object]) -> None:
    """Hand ``parse`` what the strategy makes of random bytes, until its share of time is over."""

    @settings(database=None)
    @given(strategy)
    def once(value: Any) -> None:
        nonlocal tried
        tried += 1
        try:
            parse(value)
        except GTransError as error:
            check_one_line(error)

    tried = 0
    rng = random.Random(SEED)  # noqa: S311 (not for secrets)
    deadline = time.monotonic() + SECONDS / PARSERS
    while time.monotonic() < deadline or tried < LEAST:
        once.hypothesis.fuzz_one_input(rng.randbytes(4000))


def check_one_line(error: GTransError) -> None:
    assert str(error)
    assert "\n" not in str(error), f"more than a line: {error}"


@st.composite
def damaged(draw: st.DrawFn, *valid: bytes) -> bytes:
    """One of some valid files after a few blows, or noise behind its first bytes."""
    data = bytearray(draw(st.sampled_from(valid)))
    if draw(st.integers(0, 7)) == 0:
        return bytes(data[: draw(st.integers(0, 64))]) + draw(st.binary(max_size=300))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["set", "cut", "insert", "repeat", "zero"]))
        if kind == "set" and data:
            data[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 200))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=20))
        elif kind == "repeat":
            data[at:at] = data[at : at + 40]
        else:
            data[at : at + 8] = bytes(len(data[at : at + 8]))
    return bytes(data)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "../x", "/etc/passwd", "a\0b", "nan", "0" * 64]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@st.composite
def spoiled(draw: st.DrawFn, valid: bytes) -> bytes:
    """A JSON file in which some values are of another kind, missing, or new."""
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged(valid))
    whole = copy.deepcopy(json.loads(valid))
    for _ in range(draw(st.integers(1, 3))):
        place = whole
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            what = draw(st.sampled_from(["other", "gone", "new"]))
            if what == "other":
                place[key] = draw(ANYTHING)
            elif what == "gone":
                del place[key]
            elif isinstance(place, dict):
                place[draw(st.text(max_size=4))] = draw(ANYTHING)
            break
    return json.dumps(whole).encode()


RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (10, 12, 3), dtype=np.uint8)


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


IMAGES = (
    encoded(Image.fromarray(RGB), "PNG"),
    encoded(Image.fromarray(RGB), "JPEG"),
    encoded(Image.fromarray(RGB), "BMP"),
    encoded(Image.fromarray(RGB), "TIFF", compression="tiff_deflate"),
    encoded(Image.fromarray(RGB), "WEBP", lossless=True),
    encoded(Image.fromarray(RGB[:, :, 0] % 3, "P"), "PNG", transparency=1),
    encoded(Image.fromarray(RGB[:, :, 0].astype(np.uint16) * 257), "PNG"),
)


def test_images() -> None:
    def parse(data: bytes) -> None:
        for decode in (decode_mask, decode_class_mask):
            with suppress(GTransError):
                decode(data, "a")
        decoded = decode_image(data, "a")
        assert decoded.dtype == np.uint8
        assert decoded.shape[2:] == (3,)

    fuzz(damaged(*IMAGES), parse)


@settings(database=None, max_examples=200, deadline=None)
@given(st.sampled_from(IMAGES), st.data())
def test_an_image_cut_short_never_gives_wrong_pixels(whole: bytes, data: st.DataObject) -> None:
    try:
        cut = decode_image(whole[: data.draw(st.integers(0, len(whole) - 1))], "a")
    except GTransError:
        return
    np.testing.assert_array_equal(cut, decode_image(whole, "a"))  # only a trailer was lost


def test_manifests_records_and_references(make_photos, tmp_path: Path) -> None:
    record = EvaluationRecord(
        category="part",
        data_digest="0" * 64,
        metrics={"image_auroc": 0.9, "pixel_auroc": None},
        per_defect=(),
        threshold=1.0,
        false_alarm_rate=0.1,
        held_out=9,
        good_images=9,
        good_flagged=1,
        training_seconds=None,
        config={"seed": 0},
        lineage={"run_key": "r"},
    )
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


def test_archives(tmp_path: Path) -> None:
    files = {"a/one.png": IMAGES[0], "a/b/two.png": IMAGES[1], "c": b""}
    valid = []
    for kind in ("w", "w:gz", "w:xz"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=kind) as archive:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        valid.append(buffer.getvalue())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    valid.append(buffer.getvalue())
    room = tmp_path / "room"
    room.mkdir()

    def parse(data: bytes) -> None:
        (room / "x").write_bytes(data)
        try:
            extract_archive(room / "x", room / "out", on_progress=lambda done, total: None)
        finally:
            shutil.rmtree(room / "out", ignore_errors=True)
            assert [path.name for path in room.iterdir()] == ["x"]
            assert [path.name for path in tmp_path.iterdir()] == ["room"]

    fuzz(damaged(*valid), parse)


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
        history = History(path)
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
    info = TrainingInfo(
        key="k",
        cache_key="c",
        config=tiny_config(),
        weights_sha256="0" * 64,
        held_out=("0" * 64,),
        trained_on=9,
        steps=3,
        seconds=1.0,
        resumed_at=None,
        history=[],
    )
    model = TrainedModel(build_trans(scorer.agn.spec, tiny_config()), scorer.scene)
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


def test_settings(tmp_path: Path) -> None:
    """Config, gate and profile files; config and gate as they come as JSON."""
    path = tmp_path / "file.toml"
    valid = {
        "config": b'seed = 1\n[image]\nsize = 64\n[agn]\nweights = "random:0"\ntaps = [4, 8, 16]\n',
        "gate": b"minimum_test_images = 5\n[floors]\nimage_auroc = 0.9\n",
        "profile": b'store = "x"\ntracking_uri = "http://host/"\nunsigned_models = "allow"\n',
    }
    readers: dict[str, Callable[[bytes], object]] = {
        "config": lambda data: load_config(path),
        "gate": lambda data: load_gate("", path),
        "profile": lambda data: load_profile(str(path)),
        "json": lambda data: GTransConfig.from_json(data.decode(errors="replace")),
    }

    def parse(one: tuple[str, bytes]) -> None:
        path.write_bytes(one[1])
        readers[one[0]](one[1])

    choices = [damaged(data).map(lambda d, k=kind: (k, d)) for kind, data in valid.items()]
    choices.append(spoiled(GTransConfig().to_json().encode()).map(lambda d: ("json", d)))
    fuzz(st.one_of(choices), parse)


def test_requests_to_the_service(tiny_detector: Path) -> None:
    detector = Detector.load(tiny_detector)

    class Source:
        category = "part"

        def changed(self, served: ServedModel) -> bool:
            return False

        def load(self) -> ServedModel:
            return ServedModel("part", 1, "0" * 64, detector)

    app = create_app(Models([Source()]), ServeSettings())
    head = b'Content-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    form = b"--b\r\n" + head + IMAGES[0] + b"\r\n--b--\r\n"
    bodies = damaged(*IMAGES[:2], form, b"{}")
    kinds = ["image/png", "multipart/form-data; boundary=b", "multipart/form-data", "text/x", ""]
    paths = ["/predict/part", "/predict?category=part", "/predict/x", "/predict/part?heat_map=?"]

    with TestClient(app, raise_server_exceptions=False) as client:

        def parse(request: tuple[bytes, str, str]) -> None:
            body, kind, path = request
            answer = client.post(path, content=body, headers={"Content-Type": kind})
            assert answer.status_code in (200, 400, 404, 413, 415, 422), answer.text
            assert answer.status_code == 200 or answer.json()["error"]

        fuzz(st.tuples(bodies, st.sampled_from(kinds), st.sampled_from(paths)), parse)


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
