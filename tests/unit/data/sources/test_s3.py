"""``--data s3://...``: a mirror of moto's S3, over its real HTTP interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from gtrans_core.errors import StorageError
from gtrans_core.storage import Entry, open_store
from gtrans_core.storage.s3 import S3Store


def put(bucket: str, files: dict[str, bytes]) -> None:
    store = open_store(f"s3://{bucket}/plant")
    for name, data in files.items():
        store.write(name, data)


def test_s3_mirror(user, bucket: str, official, files_in) -> None:
    put(bucket, official("bottle") | official("cable"))
    folder = user.fetch(f"s3://{bucket}/plant", "bottle")
    assert files_in(folder) == official("bottle")
    assert user.progress[-1] == ("files fetched", 23, 23)
    assert user.fetch(f"s3://{bucket}/plant/", "bottle") == folder
    direct = user.fetch(f"s3://{bucket}/plant/bottle", "bottle")
    assert files_in(direct) == official("bottle")


def test_s3_mirror_fetches_only_what_changed(
    user, bucket: str, official, picture, files_in
) -> None:
    source = f"s3://{bucket}/plant"
    put(bucket, official("bottle"))
    folder = user.fetch(source, "bottle")
    user.progress.clear()
    user.fetch(source, "bottle")
    assert user.progress == []

    put(bucket, {"bottle/train/good/000.png": picture(999), "bottle/train/good/new.png": b"new"})
    boto3.client("s3").delete_object(Bucket=bucket, Key="plant/bottle/test/good/000.png")
    (folder / "test" / "good" / "001.png").unlink()  # lost here
    (folder / "test" / "good" / "002.png").write_bytes(b"cut")  # damaged here
    (folder / "train" / "good" / "stray.png").write_bytes(b"never there")
    user.fetch(source, "bottle")
    expected = official("bottle") | {
        "bottle/train/good/000.png": picture(999),
        "bottle/train/good/new.png": b"new",
    }
    del expected["bottle/test/good/000.png"]
    assert files_in(folder) == expected
    assert user.progress == [("files fetched", n, 4) for n in (1, 2, 3, 4)]


def test_s3_mirror_goes_on_after_a_fault(user, bucket: str, official, files_in) -> None:
    put(bucket, official("bottle"))
    download = S3Store.download

    def fails_late(self: S3Store, name: str, path: Path, listed: Entry) -> None:
        if name == "train/good/011.png":
            raise StorageError("gave up")
        download(self, name, path, listed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Store, "download", fails_late)
        with pytest.raises(StorageError, match="gave up"):
            user.fetch(f"s3://{bucket}/plant", "bottle")
    arrived = len([p for p in (user.store / "datasets").glob("*/bottle/**/*") if p.is_file()])
    assert arrived >= 10, "the files before it"
    user.progress.clear()
    folder = user.fetch(f"s3://{bucket}/plant", "bottle")
    assert files_in(folder) == official("bottle")
    # Those under way when it failed (at most one a thread) may come again.
    assert len(user.progress) <= 23 - arrived + 8


def test_s3_an_object_that_changed_since_it_was_listed_is_refused(
    user, bucket: str, official, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, official("bottle"))
    listing = S3Store.list

    def as_another(self: S3Store, prefix: str = "") -> Sequence[Entry]:
        found = listing(self, prefix)
        return [replace(found[0], etag="0" * 32), *found[1:]] if found else found

    monkeypatch.setattr(S3Store, "list", as_another)
    with pytest.raises(StorageError, match=r"changed since it was listed .* run the command again"):
        user.fetch(f"s3://{bucket}/plant", "bottle")


def test_s3_without_the_category(user, bucket: str, official) -> None:
    put(bucket, official("bottle") | official("cable"))
    text = user.refused(f"s3://{bucket}/plant", "spoon")
    assert text == f"s3://{bucket}/plant: has no category 'spoon'; folders there: bottle, cable"


def test_s3_key_that_leads_out_is_refused(user, bucket: str, official) -> None:
    put(bucket, official("bottle"))
    boto3.client("s3").put_object(Bucket=bucket, Key="plant/bottle/../../x", Body=b"evil")
    assert "not a name inside a store" in user.refused(f"s3://{bucket}/plant", "bottle")
    assert not list(user.store.rglob("*.png"))


def test_s3_key_with_an_empty_part_is_refused(user, bucket: str, official) -> None:
    """A folder would hold it under another name, and the next run would delete it there."""
    put(bucket, official("bottle"))
    key = "plant/bottle/train/good//b.png"
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"image")
    assert "'train/good//b.png': an empty part in its name" in user.refused(
        f"s3://{bucket}/plant", "bottle"
    )


def test_s3_without_a_bucket_of_that_name(user, bucket: str) -> None:
    with pytest.raises(StorageError, match="there is no such bucket"):
        user.fetch("s3://nowhere-to-be-found/plant", "bottle")
