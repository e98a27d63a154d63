"""A category's name, local folders and the demo; the others have tests of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from gtrans_core.data.layout import scan_category
from gtrans_core.data.sources import demo
from gtrans_core.data.sources.catalogue import categories_of
from gtrans_core.data.sources.known import KNOWN_SOURCES
from gtrans_core.errors import DataError, StorageError
from gtrans_core.storage import open_store

GENERATE = demo.generate_demo


def write_files(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


@pytest.mark.parametrize("source", [*KNOWN_SOURCES, ".", "s3://bucket/prefix"])
@pytest.mark.parametrize("category", ["", "..", ".hidden", "a/b", "../x", "/etc", "a\\b", "a b"])
def test_category_must_be_a_plain_name(user, source: str, category: str) -> None:
    assert "not a plain name" in user.refused(source, category)
    assert not user.store.exists()


@pytest.mark.parametrize(
    ("source", "lists"),
    [
        ("mvtec", "bottle, cable, capsule, carpet"),
        ("mvtec_ad_2", "can, fabric, fruit_jelly, rice"),
        ("mvtec_loco", "breakfast_box, juice_bottle"),
        ("visa", "candle, capsules, cashew, chewinggum"),
        ("btad", "01, 02, 03"),
        ("mpdd", "bracket_black, bracket_brown"),
        ("elpv", "mono, poly"),
    ],
)
def test_unknown_category_lists_the_known(user, source: str, lists: str) -> None:
    text = user.refused(source, "spoon")
    assert f"{source}: has no category 'spoon'" in text
    assert lists in text


def test_folder_is_used_where_it_is(user, tmp_path: Path, official) -> None:
    write_files(tmp_path / "data", official("bottle"))
    root = tmp_path / "data"
    assert user.fetch(str(root), "bottle") == root / "bottle"
    assert user.fetch(str(root / "bottle"), "bottle") == root / "bottle"
    assert not user.store.exists()


def test_a_folder_of_images_is_a_category_of_any_name(user, tmp_path: Path, picture) -> None:
    flat = tmp_path / "photos" / "flange"
    write_files(flat, {f"{n}.png": picture(n) for n in range(3)})
    for source, category in ((flat, "flange"), (flat, "bolt"), (flat.parent, "flange")):
        assert user.fetch(str(source), category) == flat
    assert categories_of(str(flat)) == categories_of(str(flat.parent)) == ("flange",)


def test_folder_relative_to_here_and_to_home(
    user, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, official
) -> None:
    write_files(tmp_path / "data", official("bottle"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for source in ("data", "./data/", "~/data", "data/bottle"):
        assert user.fetch(source, "bottle") == tmp_path / "data" / "bottle"


def test_missing_folder_and_category(user, tmp_path: Path, official) -> None:
    text = user.refused(str(tmp_path / "none"), "bottle")
    assert f"{tmp_path / 'none'}: no such folder" in text
    assert ", ".join(KNOWN_SOURCES) in text
    write_files(tmp_path / "data", official("bottle") | official("cable") | {"other/x": b""})
    text = user.refused(str(tmp_path / "data"), "spoon")
    assert text.endswith("(folders with train/good or Data/Images or test/ko): bottle, cable")


@pytest.mark.parametrize("source", ["x" * 5000, "~nobody-of-that-name/data", "a\0b"])
def test_path_that_cannot_be_one(user, source: str) -> None:
    assert "expected a folder, s3://bucket/prefix, or one of" in user.refused(source, "bottle")


def test_other_schemes(user) -> None:
    text = user.refused("https://me:CANARY@host/data.zip", "bottle")
    assert "https://host/data.zip: no such kind of source" in text
    assert "CANARY" not in text


@pytest.mark.parametrize(
    ("source", "number", "first"),
    [
        ("mvtec", 15, "bottle"),
        ("mvtec_ad_2", 8, "can"),
        ("mvtec_loco", 5, "breakfast_box"),
        ("visa", 12, "candle"),
        ("btad", 3, "01"),
        ("mpdd", 6, "bracket_black"),
        ("elpv", 2, "mono"),
        ("demo", 1, "demo"),
    ],
)
def test_categories_of_a_known_source(source: str, number: int, first: str) -> None:
    categories = categories_of(source)
    assert (len(set(categories)), categories[0]) == (number, first)
    assert source in KNOWN_SOURCES


def test_categories_of_a_folder(tmp_path: Path, official) -> None:
    """In any layout, also mixed; other folders and hidden ones are none."""
    write_files(tmp_path, official("bottle") | official(".hidden") | {"other/x": b""})
    (tmp_path / "candle" / "Data" / "Images").mkdir(parents=True)
    (tmp_path / "01" / "train" / "ok").mkdir(parents=True)
    assert categories_of(str(tmp_path)) == ("01", "bottle", "candle")
    assert categories_of(str(tmp_path / "bottle")) == ("bottle",)
    assert categories_of(str(tmp_path / "01")) == ("01",)


def test_categories_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for source, problem in (
        (tmp_path, "holds no category, expected folders with train/good or Data/Images or"),
        (tmp_path / "none", "no such folder; expected a folder, s3://bucket/prefix, or one of"),
        ("http://me:CANARY@host/x", "http://host/x: no such kind of source"),
        ("x" * 5000, "cannot be read"),
    ):
        with pytest.raises(DataError) as caught:
            categories_of(str(source))
        assert problem in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "CANARY" not in str(caught.value)


def test_categories_of_s3(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/plant")
    for name in ("bottle/train/good/000.png", "cable/train/good/000.png"):
        store.write(name, b"x")
    assert categories_of(f"s3://{bucket}/plant/") == ("bottle", "cable")
    with pytest.raises(DataError, match="holds no folder, expected one for each category"):
        categories_of(f"s3://{bucket}/nothing")


def small_demo(folder: Path, *, seed: int) -> None:
    GENERATE(folder, seed=seed, train=12, test_good=2, per_defect=1, size=64)


def test_demo_is_generated_once(user, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(folder: Path, *, seed: int) -> None:
        calls.append(seed)
        small_demo(folder, seed=seed)

    monkeypatch.setattr(demo, "generate_demo", counted)
    folder = user.fetch("demo", "demo")
    assert folder == user.store / "datasets" / f"demo-0-v{demo.DEMO_VERSION}" / "demo"
    train, test = scan_category(folder, "demo", "demo")
    assert len(train.samples) == 12
    assert test.has_masks
    assert user.fetch("demo", "demo") == folder
    assert calls == [0]
    assert user.fetch("demo", "fabric").name == "fabric"


def test_interrupted_demo_is_generated_again(user, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: Path, *, seed: int) -> None:
        small_demo(folder, seed=seed)
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "generate_demo", interrupted)
    with pytest.raises(KeyboardInterrupt):
        user.fetch("demo", "demo")
    assert not list(user.store.rglob("*.png"))
    monkeypatch.setattr(demo, "generate_demo", small_demo)
    assert list(user.fetch("demo", "demo").glob("train/good/*.png"))


def test_store_that_cannot_be_written(user, tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"a file")
    with pytest.raises(StorageError, match="cannot be written") as caught:
        user.fetch("demo", "demo")
    assert "\n" not in str(caught.value)
