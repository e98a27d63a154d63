"""MPDD: the MVTec layout, no direct link; a folder of it or an archive somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from gtrans_core.data.layout import scan_category
from gtrans_core.data.sources import mpdd


def test_own_folder_is_used_where_it_is(user, tmp_path: Path, write, official) -> None:
    write(tmp_path / "MPDD", official("tubes"))
    folder = user.fetch(str(tmp_path / "MPDD"), "tubes")
    assert folder == tmp_path / "MPDD" / "tubes"
    assert not user.store.exists()


def test_without_a_link_it_says_where_to_get_it(user, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GTRANS_MPDD_URL", raising=False)
    text = user.refused("mpdd", "tubes")
    assert text == (
        "mpdd: MPDD has no direct download link; get it from https://github.com/stepanje/MPDD and "
        "pass the unpacked folder (--data DIR), or set GTRANS_MPDD_URL to an archive of it"
    )
    assert not user.store.exists()


def test_archive_of_a_mirror(
    user, file_server, zipped, monkeypatch: pytest.MonkeyPatch, official, files_in
) -> None:
    files = official("tubes") | official("connector")
    data = zipped({f"MPDD/{name}": data for name, data in files.items()})
    monkeypatch.setenv("GTRANS_MPDD_URL", file_server.serve("MPDD.zip", data))
    for category in ("tubes", "connector", "tubes"):
        folder = user.fetch("mpdd", category)
        assert files_in(folder) == official(category)
        scan_category(folder, category, "mpdd")
    assert len(file_server.requests) == 1
    assert sum("CC BY-NC-SA 4.0: not for commercial use" in line for line in user.lines) == 3
    assert "has no category 'metal_plate' in the layout of MPDD" in user.refused(
        "mpdd", "metal_plate"
    )


def test_archive_of_each_category(
    user, file_server, zipped, monkeypatch: pytest.MonkeyPatch, official, files_in
) -> None:
    for category in ("tubes", "connector"):
        file_server.serve(f"{category}.zip", zipped(official(category)))
    monkeypatch.setenv("GTRANS_MPDD_URL", f"{file_server.url}/{{category}}.zip")
    for category in ("tubes", "connector"):
        assert files_in(user.fetch("mpdd", category)) == official(category)
    assert len(file_server.requests) == 2


def test_categories() -> None:
    assert len(set(mpdd.CATEGORIES)) == 6
