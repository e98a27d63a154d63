"""The ELPV cells in MVTec layout: the installed package, and made-up ones with its faults."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gtrans_core.data.sources.elpv import fetch_elpv
from gtrans_core.errors import DataError


def fetch(category: str, store: Path) -> tuple[Path, list[str], list[tuple[str, int, int]]]:
    said: list[str] = []
    progress: list[tuple[str, int, int]] = []
    folder = fetch_elpv(
        category, store, say=said.append, on_progress=lambda *now: progress.append(now)
    )
    return folder, said, progress


def contents(folder: Path) -> dict[str, str]:
    """sha256 of every file by relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def names(files: dict[str, str], place: str) -> set[str]:
    return {name for name in files if name.startswith(place + "/")}


@pytest.mark.parametrize(
    ("category", "train", "good", "defective"), [("mono", 470, 118, 313), ("poly", 736, 184, 402)]
)
def test_real_package(tmp_path: Path, category: str, train: int, good: int, defective: int) -> None:
    """Counts of the released labels: 588 and 920 good cells, split 80 to 20."""
    pytest.importorskip("elpv_dataset", reason="needs the extra elpv")
    folder, said, progress = fetch(category, tmp_path)
    files = contents(folder)
    assert len(names(files, "train/good")) == train
    assert len(names(files, "test/good")) == good
    assert len(names(files, "test/defective")) == defective
    assert len(files) == train + good + defective, "no ground_truth, nothing else"
    assert len(set(files.values())) == len(files), "the same bytes twice"
    assert progress[-1] == ("images written", len(files), len(files))
    assert "CC BY-NC-SA 4.0" in said[0]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install a made-up ``elpv_dataset``: ``package([(bytes, probability, type), ...])``."""
    root = tmp_path / "site" / "elpv_dataset"
    (root / "data" / "images").mkdir(parents=True)
    (root / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(root.parent))
    monkeypatch.delitem(sys.modules, "elpv_dataset", raising=False)

    def install(cells: list[tuple[bytes, float, str]]) -> None:
        lines = []
        for number, (data, probability, kind) in enumerate(cells):
            name = f"images/cell{number:04}.png"
            (root / "data" / name).write_bytes(data)
            lines.append(f"{name}  {probability}  {kind}\n")
        (root / "data" / "labels.csv").write_text("".join(lines), encoding="ascii")

    yield install
    sys.modules.pop("elpv_dataset", None)


def test_only_the_certain_cells_of_the_type(tmp_path: Path, package) -> None:
    package(
        [(b"good%d" % n, 0.0, "mono") for n in range(10)]
        + [(b"bad", 1.0, "mono"), (b"doubtful", 1 / 3, "mono"), (b"other", 0.0, "poly")]
    )
    folder, _, _ = fetch("mono", tmp_path)
    data = {path.read_bytes() for path in folder.rglob("*.png")}
    assert data == {b"good%d" % n for n in range(10)} | {b"bad"}
    assert [p.read_bytes() for p in folder.glob("test/defective/*")] == [b"bad"]
    assert len(list(folder.glob("train/good/*"))) == 8


def test_copies_are_dropped(tmp_path: Path, package) -> None:
    package([(b"good%d" % (n % 10), 0.0, "poly") for n in range(30)] + [(b"bad", 1.0, "poly")] * 2)
    folder, _, _ = fetch("poly", tmp_path)
    digests = list(contents(folder).values())
    assert len(digests) == len(set(digests)) == 11


def test_split_is_by_content_not_by_name(tmp_path: Path, package) -> None:
    cells = [(b"good%d" % n, 0.0, "mono") for n in range(50)]
    package(cells)
    first, _, _ = fetch("mono", tmp_path / "one")
    package(cells[::-1])
    second, _, _ = fetch("mono", tmp_path / "two")

    def train(folder: Path) -> set[bytes]:
        return {path.read_bytes() for path in folder.glob("train/good/*")}

    assert train(first) == train(second)
    assert len(train(first)) == 40


def test_written_once(tmp_path: Path, package) -> None:
    package([(b"good%d" % n, 0.0, "mono") for n in range(10)])
    fetch("mono", tmp_path)
    _, said, progress = fetch("mono", tmp_path)
    assert (said, progress) == ([], [])


def test_package_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)
    with pytest.raises(DataError, match=r"pip install gtrans\[elpv\]") as caught:
        fetch("mono", tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "datasets" / "elpv-v1" / "mono").exists()
