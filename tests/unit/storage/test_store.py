"""The verbs, the same for a folder and for a real S3 server (moto over loopback)."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gtrans_core.errors import StorageError
from gtrans_core.storage import (
    Entry,
    Store,
    TooLargeError,
    checked_name,
    open_store,
    without_secrets,
)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture(params=["folder", "file-uri", "s3", "s3-bucket-root"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    if request.param == "file-uri":
        return open_store((tmp_path / "a store").as_uri())
    name = request.getfixturevalue("bucket")
    return open_store(f"s3://{name}/some/prefix/" if request.param == "s3" else f"s3://{name}")


def test_write_read_exists(store: Store) -> None:
    assert not store.exists("a/b.bin")
    assert store.write("a/b.bin", b"\x00\xff" * 1000)
    assert store.exists("a/b.bin")
    assert store.read("a/b.bin") == b"\x00\xff" * 1000
    assert store.write("a/b.bin", b"")
    assert store.read("a/b.bin") == b""


def test_what_has_more_bytes_than_the_reader_takes_is_refused(store: Store) -> None:
    store.write("a.bin", b"x" * 11)
    assert store.read("a.bin", 11) == b"x" * 11
    with pytest.raises(TooLargeError, match=r"a\.bin: too large, 11 bytes; expected at most 10"):
        store.read("a.bin", 10)


def test_write_without_overwriting(store: Store) -> None:
    assert store.write("lock", b"mine", overwrite=False) is True
    assert store.write("lock", b"yours", overwrite=False) is False
    assert store.write("lock", b"mine", overwrite=False) is False
    assert store.read("lock") == b"mine"


def test_list_and_folders(store: Store) -> None:
    assert list(store.list()) == []
    assert list(store.folders()) == []
    for name in ("z.txt", "a/1", "a/2/3", "ab/1"):
        store.write(name, name.encode())
    assert [(e.name, e.size) for e in store.list()] == [
        ("a/1", 3),
        ("a/2/3", 5),
        ("ab/1", 4),
        ("z.txt", 5),
    ]
    assert [e.name for e in store.list("a/")] == ["a/1", "a/2/3"]
    assert list(store.folders()) == ["a", "ab"]


def test_etag_changes_with_the_content(store: Store) -> None:
    store.write("f", b"one")
    before: Entry = store.list()[0]
    store.write("f", b"two")
    assert store.list()[0].etag != before.etag


def test_download(store: Store, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    store.write("model", data)
    path = tmp_path / "new" / "folder" / "model"
    store.download("model", path)
    assert path.read_bytes() == data
    assert names_in(path.parent) == ["model"]


def test_missing_file_is_one_line_that_names_it(store: Store, tmp_path: Path) -> None:
    for attempt in (lambda: store.read("gone"), lambda: store.download("gone", tmp_path / "f")):
        with pytest.raises(StorageError, match="gone") as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../../up", "a\nb"])
def test_names_stay_inside(store: Store, name: str) -> None:
    for attempt in (store.read, store.exists, lambda n: store.write(n, b"")):
        with pytest.raises(StorageError, match="not a name inside a store"):
            attempt(name)


def test_list_is_longer_than_a_page(bucket: str) -> None:
    """A page of S3's has 1,000 keys."""
    store = open_store(f"s3://{bucket}/many")
    names = [f"{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda name: store.write(name, b""), names))
    assert [entry.name for entry in store.list()] == names


def test_folder_markers_of_consoles_are_no_files(bucket: str) -> None:
    import boto3

    boto3.client("s3").put_object(Bucket=bucket, Key="p/train/", Body=b"")
    store = open_store(f"s3://{bucket}/p")
    store.write("train/1.png", b"x")
    assert [e.name for e in store.list()] == ["train/1.png"]


def test_unfinished_files_are_not_listed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.write("whole", b"x")
    (tmp_path / ".whole.0123456789abcdef.tmp").write_bytes(b"half")
    assert [e.name for e in store.list()] == ["whole"]


@pytest.mark.parametrize("uri", ["gs://bucket/x", "http://user:CANARY@host/x?token=CANARY"])
def test_other_schemes_are_refused_without_their_secrets(uri: str) -> None:
    with pytest.raises(StorageError, match="expected a folder or s3://") as caught:
        open_store(uri)
    assert "CANARY" not in str(caught.value)


def test_uri_without_a_bucket() -> None:
    with pytest.raises(StorageError, match="names no bucket"):
        open_store("s3://")


def test_without_secrets() -> None:
    assert without_secrets("https://u:p@host:1/a/b?key=1#f") == "https://host:1/a/b"
    assert without_secrets("plain/path") == "plain/path"


def test_checked_name_returns_good_names() -> None:
    assert checked_name("train/good/Teil-Ü 1.png") == "train/good/Teil-Ü 1.png"


def test_unreadable_place_is_one_line(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / ("x" * 300)))
    for attempt in (store.list, store.folders, lambda: store.exists("f"), lambda: store.read("f")):
        with pytest.raises(StorageError, match=r"cannot be read \(File name too long\)"):
            attempt()


def test_importing_storage_imports_nothing_heavy() -> None:
    code = (
        "import sys, gtrans_core.storage\n"
        "print([m for m in ('boto3', 'tenacity', 'urllib3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
