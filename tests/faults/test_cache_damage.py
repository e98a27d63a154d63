"""Fault 5: a damaged cache is mended and never trained on."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch

from gtrans_core.errors import DataError
from gtrans_core.features.cache import build_cache, load_cache
from gtrans_core.features.cache_index import INDEX_NAME
from gtrans_core.storage.verified import write_verified

SHARD_SIZE = 3


@pytest.mark.parametrize("kind", ["truncated", "empty", "bit flipped", "renamed", "deleted"])
def test_damaged_shard(built, kind: str) -> None:
    original = built.files()
    victim = built.shards()[1]
    data = victim.read_bytes()
    flipped = data[:5000] + bytes([data[5000] ^ 16]) + data[5001:]
    if kind == "renamed":
        victim.rename(victim.with_name("shard-00001-" + "0" * 64 + ".safetensors"))
    elif kind == "deleted":
        victim.unlink()
    else:
        content = {"truncated": data[:-1], "empty": b"", "bit flipped": flipped}[kind]
        victim.write_bytes(content)
    with pytest.raises(DataError, match=f"{victim.name}.*run the pipeline again") as caught:
        load_cache(built.folder)
    assert "\n" not in str(caught.value)
    report = built.build()
    assert report.computed == SHARD_SIZE
    assert report.damaged_shards == (kind != "deleted")
    assert built.files() == original
    assert len(list(built.folder.glob("*.damaged"))) == (kind != "deleted")
    assert built.build().reused
    assert len(load_cache(built.folder).views) == 7


def test_every_shard_damaged(built) -> None:
    original = built.files()
    for path in built.shards():
        path.write_bytes(b"x")
    report = built.build()
    assert (report.computed, report.damaged_shards) == (7, 3)
    assert built.files() == original


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t | {"map1": t["map1"].float()},
        lambda t: t | {"views": t["views"].to(torch.int16)},
        lambda t: t | {"map2": t["map2"][:, :, :-1].contiguous()},
        lambda t: t | {"views": t["views"][:-1]},
        lambda t: {name: tensor for name, tensor in t.items() if name != "map3"},
    ],
    ids=["fp32 map", "int16 views", "short map", "view missing", "map missing"],
)
def test_wrong_content_under_a_right_digest(built, change) -> None:
    """As another version of the code might have written it."""
    original = built.files()
    victim = built.shards()[1]
    tensors = safetensors.torch.load(victim.read_bytes())
    images = load_cache(built.folder).digests[SHARD_SIZE : 2 * SHARD_SIZE]
    victim.unlink()
    data = safetensors.torch.save(change(tensors), {"images": " ".join(images)})
    write_verified(built.folder, "shard-00001", "safetensors", data)
    report = built.build()
    assert (report.computed, report.damaged_shards) == (SHARD_SIZE, 1)
    assert built.files() == original


@pytest.mark.parametrize("data", [b"", b"not safetensors", b"\2\0\0\0\0\0\0\0[]", b"\xff" * 99])
def test_no_shard_at_all_under_a_right_digest(built, data: bytes) -> None:
    original = built.files()
    write_verified(built.folder, "shard-00009", "safetensors", data)
    report = built.build()
    assert (report.computed, report.damaged_shards) == (0, 1)
    assert built.files() == original


@pytest.mark.parametrize(
    "content", [None, b"", b"garbage", b"{}", b"\xff\xfe"], ids=lambda c: repr(c)
)
def test_index_is_made_again_from_intact_shards(built, content: bytes | None) -> None:
    original = built.files()
    (built.folder / INDEX_NAME).unlink()
    if content is not None:
        (built.folder / INDEX_NAME).write_bytes(content)
    with pytest.raises(DataError, match="no intact feature cache"):
        load_cache(built.folder)
    assert built.build().computed == 0
    assert built.files() == original


@pytest.mark.parametrize("what", ["fewer shards", "other identity"])
def test_index_that_does_not_fit(built, what: str) -> None:
    original = built.files()
    path = built.folder / INDEX_NAME
    index = json.loads(path.read_bytes())
    if what == "fewer shards":
        index["shards"].pop()
    else:
        index["identity"]["weights_sha256"] = "1" * 64
    path.write_text(json.dumps(index))
    with pytest.raises(DataError, match="no intact feature cache"):
        load_cache(built.folder)
    assert built.build().computed == 0
    assert built.files() == original


def test_interrupted_build_goes_on(builder) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2 * SHARD_SIZE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_cache(builder.root, builder.identity, builder.manifest, builder.agn, stop)
    with pytest.raises(DataError, match="no intact feature cache"):
        load_cache(builder.folder)
    report = builder.build()
    assert (report.computed, report.damaged_shards) == (1, 0)
    assert len(load_cache(builder.folder).views) == 7
