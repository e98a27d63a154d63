"""The feature cache: complete, computed no more than once (its key: faults/test_cache_key.py)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from gtrans_core.data.images import decode_view
from gtrans_core.errors import DataError, StorageError
from gtrans_core.features.cache import load_cache


def test_holds_the_views_and_the_maps_of_every_image(built) -> None:
    features = load_cache(built.folder)
    samples = built.manifest.in_content_order()
    assert features.digests == tuple(s.sha256 for s in samples)
    for sample, view in zip(samples, features.views, strict=True):
        data = (Path(built.manifest.root) / sample.path).read_bytes()
        expected = decode_view(data, "photo", built.identity.image)
        assert torch.equal(view, torch.from_numpy(expected))
    maps = built.agn(built.agn.spec.normalise(features.views))
    for cached, computed in zip(features.maps, maps, strict=True):
        assert cached.dtype == torch.float16
        assert cached.shape == computed.shape
        torch.testing.assert_close(cached.float(), computed, rtol=2e-3, atol=1e-4)


def test_build_reports_what_it_did(builder) -> None:
    report = builder.build()
    assert (report.folder, report.key) == (builder.folder, builder.identity.key)
    assert (report.computed, report.damaged_shards, report.reused) == (7, 0, False)
    assert builder.progress == [(3, 7), (6, 7), (7, 7)]


def test_second_build_computes_nothing_and_touches_nothing(built) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.folder.iterdir()}
    report = built.build()
    assert (report.computed, report.damaged_shards, report.reused) == (0, 0, True)
    assert {path: path.stat().st_mtime_ns for path in built.folder.iterdir()} == before


def test_subset_takes_positions_in_order(built) -> None:
    features = load_cache(built.folder)
    some = features.subset([4, 1])
    assert some.digests == (features.digests[4], features.digests[1])
    assert torch.equal(some.views, features.views[[4, 1]])
    for chosen, every in zip(some.maps, features.maps, strict=True):
        assert torch.equal(chosen, every[[4, 1]])


def test_features_beyond_fp16_are_kept_in_bf16(builder) -> None:
    builder.use_maps_of(1e5, 1e5, 1e5).build()
    for feature_map in load_cache(builder.folder).maps:
        assert feature_map.dtype == torch.bfloat16
        assert feature_map.float().unique().tolist() == pytest.approx([1e5], rel=2**-8)
    assert builder.build().reused


def test_shards_of_both_half_formats_are_joined_exactly(builder) -> None:
    """Where one shard needed bf16 and another did not, nothing is lost in joining them."""
    small = 1 + 2**-10  # has more bits than bf16 keeps
    builder.use_maps_of(small, 1e5, small).build()
    for feature_map in load_cache(builder.folder).maps:
        assert feature_map.dtype == torch.float32
        per_image = feature_map.flatten(1).amax(dim=1).tolist()
        big = float(torch.tensor(1e5).bfloat16())
        assert per_image == [small] * 3 + [big] * 3 + [small]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(builder, value: float) -> None:
    with pytest.raises(DataError, match=r"reference network \(AGN\) are not finite"):
        builder.use_maps_of(value).build()
    assert not builder.folder.exists() or not builder.files()


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_image_that_is_not_what_was_ingested(builder, how: str) -> None:
    path = Path(builder.manifest.root) / builder.manifest.samples[3].path
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"003\.png") as caught:
        builder.build()
    assert "\n" not in str(caught.value)


def test_images_are_not_needed_once_cached(built) -> None:
    shutil.rmtree(built.manifest.root)
    assert built.build().reused


@pytest.mark.parametrize("missing", [0, 1])
def test_room_for_views_and_maps_is_checked_beforehand(
    built, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    features = load_cache(built.folder)
    needed = sum(tensor.nbytes for tensor in (features.views, *features.maps))
    shutil.rmtree(built.folder)
    usage = shutil._ntuple_diskusage(10**9, 10**9, needed - missing)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    if not missing:
        assert built.build().computed == 7
        return
    with pytest.raises(StorageError, match=f"feature cache needs {needed:,} bytes and"):
        built.build()
    assert built.progress == []


def test_a_full_disk_does_not_matter_to_a_finished_cache(
    built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 0))
    assert built.build().reused


def test_folder_without_a_cache(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no intact feature cache here; run cache_features again"):
        load_cache(tmp_path / "nothing")
