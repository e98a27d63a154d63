"""BTAD's official layout: ok and ko, bmp and png, masks in either; both ways in."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtrans_core.data.fetching import published
from gtrans_core.data.layout import scan_category
from gtrans_core.data.sources import btad
from gtrans_core.errors import StorageError

TOP = "BTech_Dataset_transformed"
# As published: images and masks of the three products.
FORMATS = {"01": ("bmp", "png"), "02": ("png", "png"), "03": ("bmp", "bmp")}


def encoded(pixels: np.ndarray, suffix: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, suffix.upper())
    return buffer.getvalue()


def btad_files(category: str, side: int = 16) -> dict[str, bytes]:
    """Images as noise, masks with one defect: numbers start anew in ``ok`` and ``ko``."""
    rng = np.random.default_rng(int(category))
    image, mask = FORMATS[category]

    def noise() -> bytes:
        return encoded(rng.integers(0, 256, (side, side, 3), np.uint8), image)

    files = {f"{category}/train/ok/{n:04}.{image}": noise() for n in range(12)}
    files |= {f"{category}/test/ok/{n:04}.{image}": noise() for n in range(3)}
    for n in range(3):
        marks = np.zeros((side, side), np.uint8)
        marks[4:7, n + 2 : n + 8] = 255
        files[f"{category}/test/ko/{n:04}.{image}"] = noise()
        files[f"{category}/ground_truth/ko/{n:04}.{mask}"] = encoded(marks, mask)
    files[f"{category}/Thumbs.db"] = files[f"{category}/test/ko/Thumbs.db"] = b"junk"
    return files


@pytest.fixture
def root(tmp_path: Path, write) -> Path:
    for category in btad.CATEGORIES:
        write(tmp_path / TOP, btad_files(category))
    return tmp_path / TOP


@pytest.mark.parametrize("category", btad.CATEGORIES)
def test_own_folder(user, root: Path, category: str) -> None:
    folder = user.fetch(str(root), category)
    train, test = scan_category(folder, category, "BTAD")
    assert train.counts() == {"good": 12}
    assert test.counts() == {"good": 3, "ko": 3}
    assert test.has_masks
    assert {Path(str(s.mask)).name for s in test.samples if s.mask} == {
        f"{n:04}_mask.png" for n in range(3)
    }
    assert any("BTAD itself is CC BY-SA 4.0" in line for line in user.lines)
    assert user.fetch(str(root / category), category) == folder


def test_grey_edges_of_a_mask_are_defective(user, root: Path) -> None:
    marks = np.zeros((16, 16), np.uint8)
    marks[4, 4:8] = (10, 255, 255, 200)
    (root / "01/ground_truth/ko/0000.png").write_bytes(encoded(marks, "png"))
    folder = user.fetch(str(root), "01")
    with Image.open(folder / "ground_truth" / "ko" / "0000_mask.png") as mask:
        assert np.array_equal(np.asarray(mask), 255 * (marks > 0))


def test_missing_mask(user, root: Path) -> None:
    (root / "03/ground_truth/ko/0001.bmp").unlink()
    text = user.refused(str(root), "03")
    assert text == (
        f"{root}/03/test/ko/0001.bmp: no mask, expected {root}/03/ground_truth/ko/0001.png or .bmp"
    )
    assert not user.store.exists()


def test_mask_in_both_formats(user, root: Path) -> None:
    mask = root / "01/ground_truth/ko/0001.png"
    mask.with_suffix(".bmp").write_bytes(mask.read_bytes())
    assert user.refused(str(root), "01").endswith(
        "0001.png: a second mask, beside 0001.bmp; remove one"
    )


def test_mask_without_image(user, root: Path) -> None:
    (root / "02/ground_truth/ko/0009.png").write_bytes(b"x")
    assert "0009.png: no image for this mask in test/ko" in user.refused(str(root), "02")


def test_without_masks_and_with_other_kinds_of_defect(user, root: Path) -> None:
    """A folder of one's own in this layout: ``ko`` need not be the only kind."""
    for path in (root / "02/ground_truth/ko").iterdir():
        path.unlink()
    (root / "02/ground_truth/ko").rmdir()
    (root / "02/test/ko").rename(root / "02/test/scratch")
    _, test = scan_category(user.fetch(str(root), "02"), "02", "own")
    assert test.counts() == {"good": 3, "scratch": 3}
    assert not test.has_masks


def test_unknown_category(user, root: Path) -> None:
    text = user.refused(str(root), "04")
    assert "has no category '04'" in text
    assert text.endswith("01, 02, 03")


@pytest.fixture
def archive(file_server, zipped, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """As published: below a folder of its own, with a loose file, deflated."""
    files = btad_files("01") | btad_files("03", side=400)
    data = zipped({f"{TOP}/{name}": data for name, data in files.items()} | {"README.txt": b"x"})
    monkeypatch.setenv("GTRANS_BTAD_URL", file_server.serve("btad.zip", data))
    monkeypatch.delenv("GTRANS_BTAD_SHA256", raising=False)
    return data


def test_archive(user, archive: bytes, file_server, root: Path, files_in) -> None:
    folder = user.fetch("btad", "01")
    assert files_in(folder) == files_in(user.fetch(str(root), "01"))
    _, test = scan_category(user.fetch("btad", "03"), "03", "btad")
    assert test.has_masks
    assert len(file_server.requests) == 1
    assert any("BTAD from http" in line and "(CC BY-SA 4.0)" in line for line in user.lines)


def test_black_bmp_masks_are_no_bomb(zipped) -> None:
    """They are what the archive's looser limit is for: more than 100-fold, less than 1,100."""
    mask = btad_files("03", side=400)["03/ground_truth/ko/0000.bmp"]
    assert 100 < len(mask) / (len(zipped({"x": mask})) - len(zipped({"x": b""}))) < 1100


def test_expired_link_tells_where_the_new_one_is(user, archive: bytes, file_server) -> None:
    file_server.files.clear()
    with pytest.raises(StorageError) as caught:
        user.fetch("btad", "01")
    assert "the server answered 404" in str(caught.value)
    assert f"{btad.PUBLICATION.page} and set GTRANS_BTAD_URL" in str(caught.value)


def test_official_link_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def record(url: str, path: Path, *, sha256: str, **_: object) -> str:
        asked.append((url, sha256))
        raise StorageError("stop here")

    monkeypatch.setattr(published, "download", record)
    for name in ("GTRANS_BTAD_URL", "GTRANS_BTAD_SHA256"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StorageError, match="stop here"):
        btad.fetch_btad("01", tmp_path, say=print, on_progress=print)
    assert asked == [(btad.ARCHIVE_URL, btad.ARCHIVE_SHA256)]
