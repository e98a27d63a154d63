"""Which images a command line stands for; folders and a real S3 server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gtrans_core.batch.images import find_images, heat_map_files
from gtrans_core.errors import DataError, StorageError
from gtrans_core.storage import open_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "line [1]"
    for name in ("b.PNG", "a.jpg", "scratch/000.tiff", "good/000.webp", "notes.txt", "x.parquet"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


NAMES = ["a.jpg", "b.PNG", "good/000.webp", "scratch/000.tiff"]


def test_a_folder_is_its_images_by_name_at_any_depth(folder: Path):
    images = find_images([str(folder)])
    assert [image.path for image in images] == [f"{folder}/{name}" for name in NAMES]
    assert [image.read() for image in images] == [name.encode() for name in NAMES]
    assert [image.path for image in find_images([f"{folder}/"])] == [i.path for i in images]


def test_links_to_folders_are_followed_and_each_folder_counts_once(folder: Path, tmp_path: Path):
    (folder / "scratch" / "up").symlink_to(folder)
    (folder / "again").symlink_to(folder / "good")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.png").write_bytes(b"x")
    (folder / "today").symlink_to(elsewhere)
    for one, other in (("good", "scratch"), ("scratch", "good")):  # a circle of three
        (folder / one / f"to_{other}").symlink_to(folder / other)
    (elsewhere / "back").symlink_to(folder / "good")
    names = [image.path.removeprefix(f"{folder}/") for image in find_images([str(folder)])]
    assert names == [*NAMES, "today/1.png"]
    (tmp_path / "line").symlink_to(folder)
    assert len(find_images([str(tmp_path / "line")])) == len(names)


@pytest.mark.parametrize("name", ["._a.jpg", ".Trashes/a.png", "__MACOSX/a.png", ".hidden/b/a.png"])
def test_what_file_managers_hide_is_no_image(folder: Path, name: str):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"x")
    assert [i.path for i in find_images([str(folder)])] == [f"{folder}/{n}" for n in NAMES]
    [asked_for] = find_images([f"{folder}/{name}"])
    assert asked_for.read() == b"x"


@pytest.mark.parametrize("whole_folder", [True, False])
def test_a_name_that_is_not_utf_8_is_shown_by_its_bytes(tmp_path: Path, whole_folder: bool):
    """As Windows of old wrote them; a table holds UTF-8 only."""
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/Stra\xdfe.png"))
    file.write_bytes(b"street")
    [image] = find_images([str(tmp_path if whole_folder else file)])
    assert image.path == f"{tmp_path}/Stra\\xdfe.png"
    assert image.read() == b"street"
    [drawing] = heat_map_files([image], tmp_path)
    assert drawing.name.encode().endswith(b"Stra\\xdfe.png")
    file.unlink()
    with pytest.raises(DataError, match=r"Stra\\xdfe\.png: cannot be read"):
        image.read()


def test_an_image_named_twice_is_one(folder: Path):
    arguments = [f"{folder}/a.jpg", str(folder), f"{folder}/a.jpg"]
    assert [image.path for image in find_images(arguments)] == [f"{folder}/{n}" for n in NAMES]


def test_a_file_is_taken_whatever_its_suffix(folder: Path):
    [image] = find_images([f"{folder}/notes.txt"])
    assert image.read() == b"notes.txt"


def test_a_changed_file_has_another_tag(folder: Path):
    [before] = find_images([f"{folder}/a.jpg"])
    (folder / "a.jpg").write_bytes(b"something else")
    [after] = find_images([f"{folder}/a.jpg"])
    assert before.tag != after.tag
    assert after.tag == find_images([str(folder)])[0].tag


def test_what_cannot_be_read_is_told_when_it_is_read(tmp_path: Path):
    [image] = find_images([str(tmp_path / "gone.png")])
    with pytest.raises(DataError, match=r"gone\.png: cannot be read \(No such file"):
        image.read()


def test_a_folder_without_images_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no image \(\.apng, \.bmp, "):
        find_images([str(tmp_path)])


def test_a_prefix_and_an_object(bucket: str):
    store = open_store(f"s3://{bucket}/line 1")
    for name in ("b.png", "a.jpg", "notes.txt", "deep/er.png"):
        store.write(name, name.encode())
    open_store(f"s3://{bucket}").write("elsewhere.png", b"not below")
    for argument in (f"s3://{bucket}/line 1", f"s3://{bucket}/line 1/"):
        images = find_images([argument])
        names = ["a.jpg", "b.png", "deep/er.png"]
        assert [image.path for image in images] == [f"s3://{bucket}/line 1/{n}" for n in names]
        assert [image.read() for image in images] == [name.encode() for name in names]
        assert all(image.tag for image in images)
    [one] = find_images([f"s3://{bucket}/elsewhere.png"])
    assert (one.path, one.read()) == (f"s3://{bucket}/elsewhere.png", b"not below")


def test_an_object_that_went_away_is_its_own_fault_a_bucket_is_not(bucket: str):
    [gone] = find_images([f"s3://{bucket}/gone.png"])
    with pytest.raises(DataError, match=rf"s3://{bucket}/gone\.png: cannot be read"):
        gone.read()
    with pytest.raises(StorageError, match="there is no such bucket"):
        find_images(["s3://no-such-bucket/x/"])


def test_an_object_that_is_too_large_is_not_read(s3_bucket: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gtrans_core.batch.images.MAX_FILE_BYTES", 1000)
    store, received = open_store(f"s3://{s3_bucket}"), []
    for name in ("line/a.png", "line/without-suffix"):
        store.write(name, b"x" * 1001)
    monkeypatch.setattr("gtrans_core.storage.s3.checked", lambda *_: received.append(1))
    for argument in ("line", "line/a.png"):
        for image in find_images([f"s3://{s3_bucket}/{argument}"]):
            with pytest.raises(DataError, match=r"line/.*: too large, more than 1,000 bytes"):
                image.read()
    assert not received


def test_drawings_mirror_a_folder_and_never_share_a_name(folder: Path):
    (folder / "a.png").touch()
    images = find_images([str(folder), f"{folder}/scratch/000.tiff"])
    drawings = [str(path) for path in heat_map_files(images, Path("out"))]
    assert drawings == [f"out/{n}.png" for n in ("a", "a-2", "b", "good/000", "scratch/000")]


def test_drawings_of_single_images_are_named_after_their_folder():
    images = find_images(["/a/scratch/000.png", "/b/scratch/000.jpg", "/b/good/000.png"])
    assert list(heat_map_files(images, Path("out"))) == [
        Path("out/scratch-000.png"),
        Path("out/scratch-000-2.png"),
        Path("out/good-000.png"),
    ]


def test_drawings_of_long_names_are_cut_to_what_a_disk_takes(tmp_path: Path):
    for name in ("é" * 124, "z" * 247 + "\u2028"):
        (tmp_path / f"{name}.png").touch()
    drawings = list(
        heat_map_files(find_images([str(tmp_path), f"{tmp_path}/{'é' * 124}.png"]), tmp_path)
    )
    assert len(set(drawings)) == 2
    assert all(len(path.name.encode()) <= 255 for path in drawings)


def test_an_image_is_one_by_its_suffix_or_its_first_bytes(folder: Path):
    """As in training; what is none is left out and told."""
    for name, data in {
        "c.jpe": b"x",
        "d.DIB": b"x",
        "e.heic": b"x",
        "f": b"\x89PNG\r\n\x1a\n...",
        "g.dat": b"II*\0....",
        "film.mp4": b"....ftyp",
        "h.bmp_notes": b"BM is a good place",
        "_SUCCESS": b"",
    }.items():
        (folder / name).write_bytes(data)
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "gone.txt").symlink_to("nowhere.txt")
    os.mkfifo(folder / "pipe.png")
    left_out: list[str] = []
    images = find_images([str(folder)], left_out.append)
    names = [image.path.removeprefix(f"{folder}/") for image in images]
    assert names == sorted(
        [*NAMES, "c.jpe", "d.DIB", "e.heic", "f", "g.dat", "gone.png", "pipe.png"]
    )
    assert sorted(left_out) == sorted(
        ["notes.txt", "x.parquet", "film.mp4", "h.bmp_notes", "_SUCCESS", "gone.txt"]
    )
    for name, reason in {
        "e.heic": "HEIC is not read, save it as PNG",
        "gone.png": "a link to nothing",
        "pipe.png": "not a file that can be read",
    }.items():
        [image] = [image for image in images if image.path.endswith(name)]
        with pytest.raises(DataError, match=reason):
            image.read()


def test_a_folder_of_other_files_says_what_it_holds(tmp_path: Path):
    (tmp_path / "film.mp4").touch()
    with pytest.raises(DataError, match=r"\.webp\); it holds 1 \.mp4$"):
        find_images([str(tmp_path)])


def test_home_and_patterns(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    found = [image.path for image in find_images(["~/line*/*.jpg", "~/line [1]/good"])]
    assert found == [f"{folder}/a.jpg", f"{folder}/good/000.webp"]
    deep = {image.path for image in find_images([f"{tmp_path}/**/000.*"])}
    assert deep == {f"{folder}/good/000.webp", f"{folder}/scratch/000.tiff"}
    with pytest.raises(DataError, match=r"/\*\.gif: matches no file"):
        find_images([f"{tmp_path}/*.gif"])
    (folder / "[a].png").write_bytes(b"x")
    assert find_images([f"{folder}/[a].png"])[0].read() == b"x"


@pytest.mark.parametrize("argument", ["x" * 5000, "~nobody-there/a.png", "gone.png"])
def test_an_argument_that_is_no_file_becomes_a_row(argument: str):
    [image] = find_images([argument])
    with pytest.raises(DataError, match="cannot be read"):
        image.read()


def test_control_characters_are_shown_not_obeyed(tmp_path: Path):
    (tmp_path / "a\x1b[31m\nb\u202e.png").write_bytes(b"x")
    [image] = find_images([str(tmp_path)])
    assert image.path == f"{tmp_path}/a\\x1b[31m\\nb\\u202e.png"
    assert image.read() == b"x"


def test_what_has_no_end_is_not_read_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gtrans_core.batch.images.MAX_FILE_BYTES", 1000)
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(2**40)
    for endless in ("/dev/zero", str(tmp_path / "sparse.png")):
        [image] = find_images([endless])
        with pytest.raises(DataError, match="too large, more than 1,000 bytes"):
            image.read()
