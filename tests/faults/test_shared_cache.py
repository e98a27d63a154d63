"""A feature cache in a real bucket: what one machine computed the next one fetches, verified."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gtrans_core.errors import DataError, StorageError
from gtrans_core.features.cache import CacheReport, load_cache
from gtrans_core.features.cache_index import INDEX_NAME
from gtrans_core.features.shared import build_shared_cache, fetch_cache
from gtrans_core.storage import Store, open_store


@dataclass
class Machines:
    """Each builds in a folder of its own; they share one bucket."""

    builder: object
    shared: str
    tmp_path: Path
    client: Any

    @property
    def bucket(self) -> Store:
        return open_store(self.shared + self.builder.identity.key)

    def build(self, name: str) -> CacheReport:
        b = self.builder
        root = self.tmp_path / name
        return build_shared_cache(
            self.shared, root, b.identity, b.manifest, b.agn, lambda done, total: None
        )

    def files(self) -> dict[str, bytes]:
        return {entry.name: self.bucket.read(entry.name) for entry in self.bucket.list()}


@pytest.fixture
def machines(builder, s3_server, s3_bucket: str, tmp_path: Path) -> Machines:
    return Machines(builder, f"s3://{s3_bucket}/caches/", tmp_path, s3_server.client())


def shards_of(files: dict[str, bytes]) -> list[str]:
    return sorted(name for name in files if name.startswith("shard-"))


def test_what_one_computed_the_next_one_fetches(machines, builder) -> None:
    first = machines.build("one")
    assert (first.computed, first.fetched_shards) == (7, 0)
    assert machines.files() == {p.name: p.read_bytes() for p in first.folder.iterdir()}
    second = machines.build("two")
    assert (second.computed, second.fetched_shards, second.damaged_shards) == (0, 3, 0)
    assert {p.name: p.read_bytes() for p in second.folder.iterdir()} == machines.files()
    assert machines.build("two").fetched_shards == 0, "it is here already"


def test_a_step_elsewhere_fetches_a_finished_cache(machines, tmp_path: Path) -> None:
    folder = tmp_path / "pod" / machines.builder.identity.key
    with pytest.raises(DataError, match="no intact feature cache there"):
        fetch_cache(machines.shared, folder)
    built = machines.build("one").folder
    fetch_cache(machines.shared, folder)
    assert load_cache(folder).digests == load_cache(built).digests
    fetch_cache("s3://nobody-is-asked/again", folder)


@pytest.mark.parametrize("kind", ["truncated", "empty", "bit flipped", "deleted", "wrong content"])
def test_damaged_shard_in_the_bucket(machines, tmp_path: Path, kind: str) -> None:
    machines.build("one")
    original = machines.files()
    victim = shards_of(original)[1]
    data = original[victim]
    if kind == "deleted":
        delete(machines, victim)
    else:
        flipped = data[:5000] + bytes([data[5000] ^ 16]) + data[5001:]
        other = original[shards_of(original)[0]]
        bad = {"truncated": data[:-1], "empty": b"", "bit flipped": flipped, "wrong content": other}
        machines.bucket.write(victim, bad[kind])
    with pytest.raises(DataError, match="run cache_features again"):
        fetch_cache(machines.shared, tmp_path / "pod" / machines.builder.identity.key)
    report = machines.build("two")
    assert (report.computed, report.fetched_shards) == (3, 2)
    assert report.damaged_shards == (kind != "deleted")
    assert len(list(report.folder.glob("*.damaged"))) == (kind != "deleted")
    assert machines.files() == original, "mended for the others, too"
    third = machines.build("three")
    assert (third.computed, third.fetched_shards, third.damaged_shards) == (0, 3, 0)


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"{}"], ids=repr)
def test_damaged_index_in_the_bucket(machines, content: bytes | None) -> None:
    machines.build("one")
    original = machines.files()
    if content is None:
        delete(machines, INDEX_NAME)
    else:
        machines.bucket.write(INDEX_NAME, content)
    report = machines.build("two")
    assert (report.computed, report.fetched_shards, report.damaged_shards) == (0, 3, 0)
    assert machines.files() == original


def test_a_killed_builder_leaves_what_the_next_one_can_use(machines, monkeypatch) -> None:
    """Shards first, the index last: without it, shards are still found."""
    store = type(machines.bucket)

    def killed_at_the_index(self, name, data, *, overwrite=True, _write=store.write):
        if name == INDEX_NAME:
            raise KeyboardInterrupt
        return _write(self, name, data, overwrite=overwrite)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", killed_at_the_index)
        with pytest.raises(KeyboardInterrupt):
            machines.build("one")
    assert len(shards_of(machines.files())) == len(machines.files()) == 3
    assert machines.build("two").computed == 0
    assert INDEX_NAME in machines.files()


def test_unreachable_bucket_is_one_line(machines, monkeypatch) -> None:
    monkeypatch.setenv("GTRANS_RETRY_SECONDS", "0.3")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(
        StorageError, match="no connection to the endpoint; is it running"
    ) as caught:
        machines.build("one")
    assert "\n" not in str(caught.value)


def delete(machines: Machines, name: str) -> None:
    bucket, _, prefix = machines.shared.removeprefix("s3://").partition("/")
    key = f"{prefix}{machines.builder.identity.key}/{name}"
    machines.client.delete_object(Bucket=bucket, Key=key)
