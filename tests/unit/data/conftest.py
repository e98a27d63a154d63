"""A tiny category in the official layout, and a caller of ``fetch_category`` that listens."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from gtrans_core.data.sources.catalogue import fetch_category
from gtrans_core.errors import DataError


class Listener:
    """Fetches categories into a store, and keeps what was said."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.lines: list[str] = []
        self.progress: list[tuple[str, int, int]] = []

    def fetch(self, source: str, category: str) -> Path:
        return fetch_category(
            source,
            category,
            self.store,
            say=self.lines.append,
            on_progress=lambda *now: self.progress.append(now),
        )

    def refused(self, source: str, category: str) -> str:
        with pytest.raises(DataError) as caught:
            self.fetch(source, category)
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def user(tmp_path: Path) -> Listener:
    return Listener(tmp_path / "store")


@pytest.fixture
def picture():
    """``picture(number)``: a small PNG whose bytes depend on the number."""
    return make_picture


@pytest.fixture
def official():
    """``official(category)``: the files of a tiny category, with the official loose ones."""
    return make_official


@pytest.fixture
def files_in():
    """``files_in(folder)``: every file's bytes by its path from the folder's parent."""
    return read_files


@pytest.fixture
def write():
    """``write(folder, files)``: put files into a folder."""
    return write_files


@pytest.fixture
def tarred():
    """``tarred(files)``: a plain tar of files."""
    return make_tar


@pytest.fixture
def zipped():
    """``zipped(files)``: a deflated zip of files."""
    return make_zip


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def make_tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def make_zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def make_picture(number: int, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    noise = hashlib.shake_256(str(number).encode()).digest(16 * 16 * len(mode))
    image = Image.frombytes(mode, (16, 16), noise)
    if mode == "L":
        image = image.point(lambda value: 255 * (value > 127))
    image.save(buffer, "PNG")
    return buffer.getvalue()


def make_official(category: str) -> dict[str, bytes]:
    files = {f"train/good/{n:03}.png": make_picture(n) for n in range(12)}
    files |= {f"test/good/{n:03}.png": make_picture(100 + n) for n in range(3)}
    files |= {f"test/scratch/{n:03}.png": make_picture(200 + n) for n in range(3)}
    files |= {f"ground_truth/scratch/{n:03}_mask.png": make_picture(300 + n, "L") for n in range(3)}
    files |= {"license.txt": b"CC BY-NC-SA 4.0", "readme.txt": b"read me"}
    return {f"{category}/{name}": data for name, data in files.items()}


def read_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder.parent).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
