"""Every parser of what users and others send: a result, or one line that says what is wrong."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from gtrans.pipelines.gates import load_gate
from gtrans.pipelines.profiles import load_profile
from gtrans.serving.app import create_app
from gtrans.serving.models import Models, ServedModel
from gtrans.serving.settings import ServeSettings
from gtrans_core.config import GTransConfig, load_config
from gtrans_core.data.fetching.archive import extract_archive
from gtrans_core.data.images import decode_image
from gtrans_core.data.masks import decode_class_mask, decode_mask
from gtrans_core.detector.detector import Detector
from gtrans_core.errors import GTransError
from tests.support.fuzzing import IMAGES, damaged, fuzz, spoiled

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


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
