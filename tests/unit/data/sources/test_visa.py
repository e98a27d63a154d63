"""VisA's official layout: class-index masks, upper-case JPG, the one-class split; both ways in."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gtrans_core.data.fetching import published
from gtrans_core.data.layout import scan_category
from gtrans_core.data.sources import visa
from gtrans_core.data.sources.visa import plan_visa
from gtrans_core.errors import DataError, StorageError

HEADER = "object,split,label,image,mask\n"


def jpeg(number: int) -> bytes:
    rng = np.random.default_rng(number)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (16, 24, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def class_mask(number: int) -> bytes:
    """Kinds of defect 1 and 2 (and so nearly black), a different place each."""
    classes = np.zeros((16, 24), np.uint8)
    classes[2:5, number : number + 3] = 1
    classes[8:12, 4:9] = 2
    buffer = io.BytesIO()
    Image.fromarray(classes).save(buffer, "PNG")
    return buffer.getvalue()


def visa_files(*categories: str) -> dict[str, bytes]:
    files, lines = {}, []
    for salt, category in enumerate(categories):
        images = f"{category}/Data/Images"
        for n in range(15):
            name = f"{images}/Normal/{n:04}.JPG"
            files[name] = jpeg(1000 * salt + n)
            lines.append(f"{category},{'train' if n < 12 else 'test'},normal,{name},")
        for n in range(3):
            name, mask = f"{images}/Anomaly/{n:03}.JPG", f"{category}/Data/Masks/Anomaly/{n:03}.png"
            files |= {name: jpeg(1000 * salt + 500 + n), mask: class_mask(n)}
            lines.append(f"{category},test,anomaly,{name},{mask}")
        files[f"{category}/image_anno.csv"] = b"image,label,mask\n"
    files["split_csv/1cls.csv"] = (HEADER + "\n".join(reversed(lines)) + "\n").encode()
    return files


@pytest.fixture
def root(tmp_path: Path, write) -> Path:
    write(tmp_path / "VisA", visa_files("candle", "pcb1"))
    return tmp_path / "VisA"


def replace_in_split(root: Path, old: str, new: str) -> None:
    table = root / visa.SPLIT
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new))


def test_own_folder(user, root: Path) -> None:
    folder = user.fetch(str(root), "candle")
    assert folder.is_relative_to(user.store / "datasets")
    train, test = scan_category(folder, "candle", "VisA")
    assert train.counts() == {"good": 12}
    assert test.counts() == {"bad": 3, "good": 3}
    assert test.has_masks
    normal = root / "candle" / "Data" / "Images" / "Normal"
    for sample in train.samples:
        assert (folder / sample.path).samefile(normal / Path(sample.path).name), "not linked"
    with Image.open(folder / "ground_truth" / "bad" / "001_mask.png") as mask:
        found = np.asarray(mask)
    with Image.open(root / "candle" / "Data" / "Masks" / "Anomaly" / "001.png") as mask:
        assert np.array_equal(found, 255 * (np.asarray(mask) > 0))
    assert any("CC BY 4.0" in line for line in user.lines)
    assert user.progress[-1] == ("files arranged", 21, 21)


def test_own_folder_is_arranged_once_and_again_when_a_file_changes(user, root: Path) -> None:
    folder = user.fetch(str(root), "candle")
    user.progress.clear()
    assert user.fetch(str(root), "candle") == folder
    assert user.fetch(str(root / "candle"), "candle") == folder, "the category's own folder"
    assert user.progress == []
    mask = root / "candle" / "Data" / "Masks" / "Anomaly" / "000.png"
    mask.write_bytes(class_mask(9))
    os.utime(mask, (1, 1))
    mended = user.fetch(str(root), "candle")
    assert mended != folder
    assert (mended / "ground_truth/bad/000_mask.png").read_bytes() != (
        folder / "ground_truth/bad/000_mask.png"
    ).read_bytes()


def test_links_that_cannot_be_made_are_copies(
    user, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    folder = user.fetch(str(root), "candle")
    copy = folder / "train" / "good" / "0000.JPG"
    original = root / "candle" / "Data" / "Images" / "Normal" / "0000.JPG"
    assert copy.read_bytes() == original.read_bytes()
    assert not copy.samefile(original)


def test_folder_of_links(user, root: Path, tmp_path: Path) -> None:
    """A tree of symbolic links is arranged as the files they lead to."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            link = tmp_path / "links" / path.relative_to(root)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    folder = user.fetch(str(tmp_path / "links"), "candle")
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    scan_category(folder, "candle", "VisA")


def test_missing_mask(user, root: Path) -> None:
    mask = root / "candle" / "Data" / "Masks" / "Anomaly" / "002.png"
    mask.unlink()
    text = user.refused(str(root), "candle")
    assert text.startswith(f"{mask}: no such file, but {root / visa.SPLIT} names it (1 of 21 files")
    assert not user.store.exists()
    user.fetch(str(root), "pcb1")


def test_row_naming_a_missing_image(user, root: Path) -> None:
    replace_in_split(root, "Normal/0003.JPG", "Normal/9999.JPG")
    text = user.refused(str(root), "candle")
    assert "Normal/9999.JPG: no such file" in text
    assert "unpack the official archive again" in text


def test_unknown_category(user, root: Path) -> None:
    text = user.refused(str(root), "spoon")
    assert "has no category 'spoon'" in text
    assert text.endswith("candle, pcb1")
    (root / "spoon" / "Data" / "Images").mkdir(parents=True)
    text = user.refused(str(root), "spoon")
    assert text.endswith("1cls.csv: no image of 'spoon'; categories in it: candle, pcb1")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (HEADER, "object,split,label,image\n", "expected the columns object, split, label, image,"),
        ("candle,test,anomaly", "candle,train,anomaly", "split 'train' with label 'anomaly'"),
        ("candle,test,anomaly", "candle,validation,anomaly", "split 'validation' with label"),
        ("candle/Data/Images/Normal/0000.JPG", "../../secret", "not a name inside a store"),
        ("candle/Data/Images/Normal/0000.JPG", "/etc/passwd", "not a name inside a store"),
        (",candle/Data/Masks/Anomaly/000.png", ",", "line"),
        (",candle/Data/Masks/Anomaly/000.png", "", "not a name inside a store"),
        ("Normal/0001.JPG", "Normal/0000.JPG", "expected one file for each"),
    ],
)
def test_bad_split(user, root: Path, old: str, new: str, problem: str) -> None:
    replace_in_split(root, old, new)
    text = user.refused(str(root), "candle")
    assert "1cls.csv" in text or "0000.JPG" in text
    assert problem in text


def test_no_split(user, root: Path) -> None:
    (root / visa.SPLIT).unlink()
    text = user.refused(str(root), "candle")
    assert "1cls.csv: no such file, expected VisA's official one-class split" in text
    assert visa.PUBLICATION.page in text
    (root / visa.SPLIT).write_bytes(b"\xff\xfe\x00")
    assert "cannot be read as a table" in user.refused(str(root), "candle")


def test_damaged_mask_is_named_and_nothing_is_left(user, root: Path) -> None:
    mask = root / "candle" / "Data" / "Masks" / "Anomaly" / "001.png"
    mask.write_bytes(mask.read_bytes()[:60])
    assert user.refused(str(root), "candle").startswith(f"{mask}: damaged or cut short")
    assert not list(user.store.rglob("*.JPG"))


@pytest.fixture
def archive(file_server, tarred, monkeypatch: pytest.MonkeyPatch) -> bytes:
    data = tarred(visa_files("candle", "pcb1"))
    monkeypatch.setenv("GTRANS_VISA_URL", file_server.serve("VisA.tar", data))
    monkeypatch.delenv("GTRANS_VISA_SHA256", raising=False)
    return data


def test_archive_is_fetched_and_unpacked_once(user, archive: bytes, file_server) -> None:
    for category in ("candle", "pcb1", "candle"):
        train, test = scan_category(user.fetch("visa", category), category, "visa")
        assert (len(train.samples), len(test.samples), test.has_masks) == (12, 6, True)
    assert len(file_server.requests) == 1
    assert not list((user.store / "downloads").glob("[!.]*")), "no use once unpacked"
    said = "\n".join(user.lines)
    assert "VisA from http" in said
    assert "(CC BY 4.0)" in said
    assert "not pinned" in said


def test_broken_line_is_resumed(user, archive: bytes, file_server) -> None:
    file_server.cut(len(archive) // 2)
    user.fetch("visa", "candle")
    assert file_server.ranges_asked() == [None, f"bytes={len(archive) // 2}-"]


def test_not_the_pinned_archive(
    user, archive: bytes, file_server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GTRANS_VISA_SHA256", "0" * 64)
    assert f"expected {'0' * 64}" in user.refused("visa", "candle")
    assert not list(user.store.rglob("*.JPG"))


def test_archive_without_the_category(user, archive: bytes) -> None:
    text = user.refused("visa", "cashew")
    assert "has no category 'cashew' in the layout of VisA (CATEGORY/Data/Images)" in text
    assert text.endswith("categories there: candle, pcb1")


def test_archive_of_something_else_is_fetched_again(
    user, archive: bytes, file_server, tarred, official
) -> None:
    file_server.serve("VisA.tar", tarred(official("bottle")))
    text = user.refused("visa", "candle")
    assert "nothing in it has the layout of VisA" in text
    assert "GTRANS_VISA_URL" in text
    file_server.serve("VisA.tar", archive)
    assert user.fetch("visa", "candle").is_dir()


def test_official_link_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def record(url: str, path: Path, *, sha256: str, **_: object) -> str:
        asked.append((url, sha256))
        raise StorageError("stop here")

    monkeypatch.setattr(published, "download", record)
    for name in ("GTRANS_VISA_URL", "GTRANS_VISA_SHA256"):
        monkeypatch.delenv(name, raising=False)
    for category in visa.CATEGORIES:
        with pytest.raises(StorageError, match="stop here"):
            visa.fetch_visa(category, tmp_path, say=print, on_progress=print)
    assert set(asked) == {(visa.ARCHIVE_URL, visa.ARCHIVE_SHA256)}


@given(
    kinds=st.lists(
        st.sampled_from([("train", "normal"), ("test", "normal"), ("test", "anomaly")]),
        min_size=1,
        max_size=30,
    )
)
def test_every_row_has_its_place(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[str, str]]
) -> None:
    """Whatever the split: each image once, in the folder its row says, a mask for each defect."""
    root = tmp_path_factory.mktemp("visa")
    (root / "split_csv").mkdir()
    lines = []
    for n, (split, label) in enumerate(kinds):
        (root / f"{n}.JPG").touch()
        (root / f"{n}.png").touch()
        lines.append(f"candle,{split},{label},{n}.JPG,{f'{n}.png' if label == 'anomaly' else ''}")
    (root / visa.SPLIT).write_text("\ufeff" + HEADER + "\n".join(lines), encoding="utf-8")
    places = {one.place: one.source.name for one in plan_visa(root, "candle")}
    expected = {}
    for n, (split, label) in enumerate(kinds):
        if label == "normal":
            expected[f"{split}/good/{n}.JPG"] = f"{n}.JPG"
        else:
            expected[f"test/bad/{n}.JPG"] = f"{n}.JPG"
            expected[f"ground_truth/bad/{n}_mask.png"] = f"{n}.png"
    assert places == expected
    with pytest.raises(DataError, match="no image of 'pcb1'"):
        plan_visa(root, "pcb1")
