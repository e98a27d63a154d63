"""What steps keep for the next run: found by all that decides it, and never used damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from gtrans_core.errors import StorageError
from gtrans_core.steps import kept as module
from gtrans_core.steps.kept import Kept


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def place(tmp_path: Path, said: list[str]) -> Kept:
    """A place with a folder, a file and some bytes in it."""
    (tmp_path / "made" / "in").mkdir(parents=True)
    (tmp_path / "made" / "a").write_bytes(b"A")
    (tmp_path / "made" / "in" / "b").write_bytes(b"B")
    place = Kept(tmp_path / "store", "train", {"seed": 1}, said.append)
    assert place.restore({"made": tmp_path / "out"}) is None
    place.keep({"made": tmp_path / "made", "one": tmp_path / "made" / "a", "facts.json": b"{}"})
    return place


def test_what_is_kept_comes_back_where_it_is_wanted(place: Kept, tmp_path: Path, said: list[str]):
    found = place.restore({"made": tmp_path / "out", "one": tmp_path / "single"})
    assert found == {"made/a": b"A", "made/in/b": b"B", "one": b"A", "facts.json": b"{}"}
    assert (tmp_path / "out" / "a").read_bytes() == (tmp_path / "single").read_bytes() == b"A"
    assert (tmp_path / "out" / "in" / "b").read_bytes() == b"B"
    assert said == []


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_it_takes_no_second_room_where_files_may_have_two_names(
    links: bool, place: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise PermissionError

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    for _ in range(2):
        place.restore({"made": tmp_path / "out"})
    restored = tmp_path / "out" / "a"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "in"]
    assert restored.read_bytes() == b"A"
    assert restored.samefile(tmp_path / "made" / "a") == links


def test_everything_that_decides_is_in_the_key(
    tmp_path: Path, place: Kept, monkeypatch: pytest.MonkeyPatch
):
    def folder(step: str = "train", seed: int = 1) -> Path:
        return Kept(tmp_path / "store", step, {"seed": seed}, print).folder

    folders = {place.folder, folder("evaluate"), folder(seed=2)}
    assert folder() == place.folder
    for name, other in (
        ("code_digest", lambda: "other code"),
        ("package_version", lambda _: "2.0"),
        ("_cpu", lambda: ["another processor"]),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, other)
            folders.add(folder())
    with monkeypatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "7")
        folders.add(folder())
    assert len(folders) == 7


def flip(folder: Path) -> None:
    (folder / "made" / "a").unlink()
    (folder / "made" / "a").write_bytes(b"a")


def lose(folder: Path) -> None:
    (folder / "made" / "in" / "b").unlink()


def cut_the_list(folder: Path) -> None:
    [path] = folder.glob("files-*.json")
    path.write_bytes(path.read_bytes()[:-1])


def lose_the_list(folder: Path) -> None:
    [path] = folder.glob("files-*.json")
    path.unlink()


@pytest.mark.parametrize("damage", [flip, lose, cut_the_list, lose_the_list])
def test_what_is_damaged_is_set_aside_and_can_be_kept_again(
    damage, place: Kept, tmp_path: Path, said: list[str]
):
    for times in (1, 2):
        damage(place.folder)
        assert place.restore({"made": tmp_path / "out"}) is None
        assert not (tmp_path / "out").exists()
        assert len(said) == times
        assert said[-1].startswith("kept results damaged, set aside: ")
        assert place.folder.with_name(f"{place.folder.name}.damaged").is_dir()
        place.keep({"made": tmp_path / "made", "facts.json": b"{}"})
        assert place.restore({}) == {"made/a": b"A", "made/in/b": b"B", "facts.json": b"{}"}


def test_where_it_cannot_be_kept_the_step_goes_on(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> bool:
        raise StorageError("the disk is full")

    monkeypatch.setattr(module, "prepare_folder", refuse)
    Kept(tmp_path, "train", {}, said.append).keep({"facts.json": b"{}"})
    assert said == ["kept for no later run: the disk is full"]
