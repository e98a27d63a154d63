"""``--data mvtec``: an archive of the official layout, over a real HTTP server with faults."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from gtrans_core.data.fetching import published
from gtrans_core.data.layout import scan_category
from gtrans_core.data.sources import mvtec
from gtrans_core.errors import ConfigError, StorageError


def packed(files: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in more:
            archive.addfile(info)
    return buffer.getvalue()


@pytest.fixture
def single(file_server, monkeypatch: pytest.MonkeyPatch, official) -> bytes:
    """The archive of bottle, served under a template."""
    archive = packed(official("bottle"))
    file_server.serve("bottle.tar.xz", archive)
    monkeypatch.setenv("GTRANS_MVTEC_URL", f"{file_server.url}/{{category}}.tar.xz")
    monkeypatch.delenv("GTRANS_MVTEC_SHA256", raising=False)
    return archive


def test_single_archive(user, single: bytes, file_server, official, files_in) -> None:
    folder = user.fetch("mvtec", "bottle")
    assert files_in(folder) == official("bottle")
    train, test = scan_category(folder, "bottle", "mvtec")
    assert (len(train.samples), len(test.samples), test.has_masks) == (12, 6, True)
    assert any(hashlib.sha256(single).hexdigest() in line for line in user.lines)
    assert any("not for commercial use" in line for line in user.lines)
    assert {what for what, _, _ in user.progress} == {"bytes downloaded", "bytes unpacked"}
    assert not list((user.store / "downloads").glob("[!.]*")), "no use once unpacked"
    assert user.fetch("mvtec", "bottle") == folder
    assert len(file_server.requests) == 1, "downloaded again"


def test_broken_line_is_resumed(user, single: bytes, file_server, official, files_in) -> None:
    file_server.cut(len(single) // 2)
    file_server.refuse(503)
    folder = user.fetch("mvtec", "bottle")
    assert files_in(folder) == official("bottle")
    assert file_server.ranges_asked() == [None] + [f"bytes={len(single) // 2}-"] * 2


def test_pinned(user, single: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GTRANS_MVTEC_SHA256", hashlib.sha256(single).hexdigest().upper())
    user.fetch("mvtec", "bottle")
    assert any("as pinned" in line for line in user.lines)


def test_not_the_pinned_archive(user, single: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    user.fetch("mvtec", "bottle")  # earlier, without a pin: does not count
    monkeypatch.setenv("GTRANS_MVTEC_SHA256", "0" * 64)
    text = user.refused("mvtec", "bottle")
    assert f"expected {'0' * 64}; the file was deleted" in text
    assert not list((user.store / "downloads").glob("[!.]*"))
    monkeypatch.setenv("GTRANS_MVTEC_SHA256", "abc")
    with pytest.raises(ConfigError, match="GTRANS_MVTEC_SHA256=abc: expected 64 hexadecimal"):
        user.fetch("mvtec", "bottle")


def test_address_that_is_none(user, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GTRANS_MVTEC_URL", "ftp://me:CANARY@host/bottle.tar.xz")
    with pytest.raises(ConfigError) as caught:
        user.fetch("mvtec", "bottle")
    assert str(caught.value) == (
        "GTRANS_MVTEC_URL=ftp://host/bottle.tar.xz: expected an http(s) address"
    )
    assert not user.store.exists()


def test_textures_and_objects_are_all_categories() -> None:
    assert sorted(mvtec.TEXTURES + mvtec.OBJECTS) == sorted(mvtec.CATEGORIES)
    assert len(mvtec.TEXTURES) == 5


def test_archive_of_all_categories_is_fetched_once(
    user, file_server, monkeypatch: pytest.MonkeyPatch, official, files_in
) -> None:
    loose = {"license.txt": b"x", "readme.txt": b"y"}
    everything = packed(official("bottle") | official("cable") | loose)
    monkeypatch.setenv("GTRANS_MVTEC_URL", file_server.serve("all.tar.xz", everything))
    for category in ("bottle", "cable"):
        folder = user.fetch("mvtec", category)
        assert files_in(folder) == official(category)
    assert len(file_server.requests) == 1
    assert "holds no folder 'pill'; folders there: bottle, cable" in user.refused("mvtec", "pill")


def test_hostile_archive_leaves_nothing(
    user, file_server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, official
) -> None:
    link = tarfile.TarInfo("bottle/../../../outside")
    file_server.serve("bottle.tar.xz", packed(official("bottle"), link))
    monkeypatch.setenv("GTRANS_MVTEC_URL", f"{file_server.url}/{{category}}.tar.xz")
    assert "member 'bottle/../../../outside' leads out" in user.refused("mvtec", "bottle")
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert left == []


def test_page_instead_of_an_archive(user, single: bytes, file_server, official, files_in) -> None:
    """Some hosts answer 200 and a page for a link that has expired: once gone, fetched again."""
    file_server.serve("bottle.tar.xz", b"<!DOCTYPE html><p>This share has expired")
    assert "not a .tar.xz" in user.refused("mvtec", "bottle")
    file_server.serve("bottle.tar.xz", single)
    assert files_in(user.fetch("mvtec", "bottle")) == official("bottle")


def test_expired_link_tells_where_the_new_one_is(user, single: bytes, file_server) -> None:
    file_server.files.clear()
    with pytest.raises(StorageError) as caught:
        user.fetch("mvtec", "bottle")
    assert "the server answered 404" in str(caught.value)
    assert mvtec.DOWNLOAD_PAGE in str(caught.value)
    assert "GTRANS_MVTEC_URL" in str(caught.value)


def test_official_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All fifteen categories, each from its own https link; the archive of all is pinned."""
    asked: list[tuple[str, str]] = []

    def record(url: str, path: Path, *, sha256: str, **_: object) -> str:
        asked.append((url, sha256))
        raise StorageError("stop here")

    monkeypatch.setattr(published, "download", record)
    monkeypatch.delenv("GTRANS_MVTEC_URL", raising=False)
    monkeypatch.delenv("GTRANS_MVTEC_SHA256", raising=False)
    for category in mvtec.CATEGORIES:
        with pytest.raises(StorageError, match="stop here"):
            mvtec.fetch_mvtec(category, tmp_path, say=print, on_progress=print)
    assert len({url for url, _ in asked}) == 15
    for (url, sha256), category in zip(asked, mvtec.CATEGORIES, strict=True):
        assert url.startswith("https://")
        assert url.endswith(f"/{category}.tar.xz")
        assert sha256 == ""
    monkeypatch.setenv("GTRANS_MVTEC_URL", mvtec.WHOLE_ARCHIVE_URL)
    with pytest.raises(StorageError, match="stop here"):
        mvtec.fetch_mvtec("bottle", tmp_path, say=print, on_progress=print)
    assert asked[-1] == (mvtec.WHOLE_ARCHIVE_URL, mvtec.WHOLE_ARCHIVE_SHA256)
