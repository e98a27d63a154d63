"""Fault 7: two processes build one cache at the same time, in a folder and shared through S3."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from gtrans_core.features.cache import load_cache
from gtrans_core.features.shared import fetch_cache
from gtrans_core.storage import open_store
from gtrans_core.storage.verified import read_verified

ROUNDS = 50

# Both processes start each round together. What each of them published is noted in its own file.
BUILD = """
import json
import os
import time
import torch
import gtrans_core.features.cache
from gtrans_core.features.shared import build_shared_cache
from gtrans_core.storage import LocalStore
from gtrans_core.storage.s3 import S3Store
from gtrans_core.features.weights import load_guide

os.environ.update(environment)
gtrans_core.features.cache.SHARD_SIZE = 3
torch.set_num_threads(1)
agn = load_guide(config.agn, root).agn
published = []
for store in (LocalStore, S3Store):
    def write(self, name, data, *, overwrite=True, _write=store.write):
        first = _write(self, name, data, overwrite=overwrite)
        if first and isinstance(self, S3Store if shared else LocalStore):
            published.append([round_, name])
        return first
    store.write = write

def nothing(done, total):
    pass

for round_ in range(rounds):
    (root / f"ready-{round_}-{number}").touch()
    while not (root / f"ready-{round_}-{1 - number}").exists():
        time.sleep(0.001)
    if shared:
        mine = root / f"{round_}-{number}"
        build_shared_cache(f"{shared}/{round_}", mine, identity, manifest, agn, nothing)
    else:
        gtrans_core.features.cache.build_cache(root / str(round_), identity, manifest, agn, nothing)
(root / f"published-{number}.json").write_text(json.dumps(published))
"""


@pytest.fixture
def race(built, tiny_config, start_process):
    """Run the two builders; meanwhile call ``watch()``. Gives how often each name was published."""

    def run(shared: str, watch, rounds: int = ROUNDS) -> Counter[tuple[int, str]]:
        processes = [
            start_process(
                BUILD,
                number=number,
                root=built.root,
                shared=shared,
                environment=dict(os.environ),
                rounds=rounds,
                config=tiny_config(),
                identity=built.identity,
                manifest=built.manifest,
            )
            for number in (0, 1)
        ]
        while any(process.is_alive() for process in processes):
            watch()
            time.sleep(0.02)  # the builders need the processors
        assert [process.exitcode for process in processes] == [0, 0]
        notes = [json.loads((built.root / f"published-{n}.json").read_text()) for n in (0, 1)]
        return Counter((round_, name) for note in notes for round_, name in note)

    return run


@pytest.mark.slow
def test_in_a_folder(built, race) -> None:
    read = []

    def watch() -> None:
        """A name that is there has whole bytes, at any moment."""
        newest = len(list(built.root.glob("ready-*-0"))) - 1
        read.extend(map(read_verified, built.root.glob(f"{newest}/*/shard-*.safetensors")))

    published = race("", watch)
    names = [path.name for path in built.shards()]
    assert published == Counter({(r, n): 1 for r in range(ROUNDS) for n in names})
    assert read
    for round_ in range(ROUNDS):
        folder = built.root / str(round_) / built.folder.name
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == built.files()


@pytest.mark.slow
def test_through_s3(built, race, s3_bucket: str, tmp_path: Path) -> None:
    shared = f"s3://{s3_bucket}/caches"
    store, read = open_store(shared), []

    def watch() -> None:
        """Once the index is there, everything is, whole."""
        copy = tmp_path / "watched" / built.folder.name
        round_ = len(read) % ROUNDS
        if store.exists(f"{round_}/{copy.name}/cache.json"):
            fetch_cache(f"{shared}/{round_}", copy)
            read.append(load_cache(copy).digests)
            shutil.rmtree(copy)

    published = race(shared, watch)
    names = [*(path.name for path in built.shards()), "cache.json"]
    assert published == Counter({(r, n): 1 for r in range(ROUNDS) for n in names})
    assert read
    for round_ in (0, ROUNDS - 1):
        place = open_store(f"{shared}/{round_}/{built.folder.name}")
        assert {e.name: place.read(e.name) for e in place.list()} == built.files()


def test_onto_a_damaged_shard(built, race) -> None:
    """Side by side with damage: both succeed, and the files are those of one intact build."""
    for round_ in range(4):
        folder = built.root / str(round_)
        shutil.copytree(built.folder, folder / built.folder.name)
        (folder / built.folder.name / built.shards()[0].name).write_bytes(b"damaged")
    race("", lambda: None, rounds=4)
    for round_ in range(4):
        folder = built.root / str(round_) / built.folder.name
        whole = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix != ".damaged"}
        assert whole == built.files()
        assert len(load_cache(folder).views) == 7
