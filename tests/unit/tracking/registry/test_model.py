from __future__ import annotations

import hashlib

import pytest

from gtrans_core.errors import ModelError
from gtrans_core.tracking.registry.model import file_digests


def test_digests_of_all_files_below(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.json").write_bytes(b"a")
    (tmp_path / "sub/b.safetensors").write_bytes(b"b")
    assert file_digests(tmp_path) == {
        "a.json": hashlib.sha256(b"a").hexdigest(),
        "sub/b.safetensors": hashlib.sha256(b"b").hexdigest(),
    }


@pytest.mark.parametrize("name", ["x.pkl", "x.pt", "x.bin", "x.py", "x"])
def test_only_plain_files_are_taken(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=f"{name}: a detector holds safetensors, ONNX"):
        file_digests(tmp_path)


def test_links_are_refused(tmp_path):
    (tmp_path / "a.json").symlink_to(__file__)
    with pytest.raises(ModelError, match=r"a\.json"):
        file_digests(tmp_path)


@pytest.mark.parametrize("name", [".", "absent"])
def test_no_detector_at_all(tmp_path, name):
    with pytest.raises(ModelError, match="no detector there"):
        file_digests(tmp_path / name)
