"""What may stand in the place of a detector's files: links to files, but nothing without end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gtrans_core.detector.files import INFO_NAME, detector_digest, read_info, require_intact
from gtrans_core.errors import ModelError


@pytest.fixture
def folder(tiny_detector: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_detector, tmp_path / "detector")


def test_a_link_to_a_folder_or_a_file_is_what_it_points_to(folder: Path, tmp_path: Path):
    link = tmp_path / "current"
    link.symlink_to(folder)
    (folder / INFO_NAME).rename(tmp_path / "facts")
    (folder / INFO_NAME).symlink_to(tmp_path / "facts")
    assert require_intact(link) == read_info(folder)
    (tmp_path / "facts").write_text("{}")
    with pytest.raises(ModelError, match=INFO_NAME):
        require_intact(link)


@pytest.mark.parametrize("odd", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("read", [read_info, detector_digest, require_intact])
def test_facts_without_end_are_refused(
    odd: Callable[[Path], None], read: Callable[[Path], object], folder: Path
):
    (folder / INFO_NAME).unlink()
    odd(folder / INFO_NAME)
    with pytest.raises(ModelError, match=r"detector\.json: no plain file"):
        read(folder)


@pytest.mark.parametrize("odd", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_weights_without_end_are_refused(odd: Callable[[Path], None], folder: Path):
    (folder / "trans.safetensors").unlink()
    odd(folder / "trans.safetensors")
    with pytest.raises(ModelError, match=r"trans\.safetensors: no plain file"):
        require_intact(folder)


@pytest.mark.parametrize("odd", ["loop", "nothing"])
def test_a_link_that_leads_nowhere_is_refused(odd: str, folder: Path):
    (folder / "trans.safetensors").unlink()
    (folder / "trans.safetensors").symlink_to("trans.safetensors" if odd == "loop" else "nothing")
    with pytest.raises(ModelError, match=r"trans\.safetensors: cannot be read"):
        require_intact(folder)
