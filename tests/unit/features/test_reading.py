"""Features in memory or streamed from disk: the same images, to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gtrans_core.errors import DataError
from gtrans_core.features.cache import CachedFeatures, load_cache
from gtrans_core.features.reading import StreamedFeatures, open_features


def assert_equal(some: CachedFeatures, others: CachedFeatures) -> None:
    assert some.digests == others.digests
    pairs = zip((some.views, *some.maps), (others.views, *others.maps), strict=True)
    assert all(torch.equal(one.float(), other.float()) for one, other in pairs)


@pytest.mark.parametrize("positions", [[4, 1, 6], [0], range(7), [2, 2]])
def test_streamed_images_are_those_in_memory(built, positions: list[int]) -> None:
    resident, streamed = load_cache(built.folder), StreamedFeatures(built.folder)
    assert streamed.digests == resident.digests
    some = streamed.subset(positions)
    assert_equal(some, resident.subset(positions))
    assert [m.dtype for m in some.maps] == [torch.float16] * 3


def test_streamed_images_of_shards_in_both_half_formats(builder) -> None:
    builder.use_maps_of(1 + 2**-10, 1e5, 0.5).build()
    resident, streamed = load_cache(builder.folder), StreamedFeatures(builder.folder)
    for positions in ([0, 3, 6], [3, 4], [6]):
        assert_equal(streamed.subset(positions), resident.subset(positions))


@pytest.mark.parametrize("resident_mb", [0, 1])
def test_requests_may_be_pending_at_once(built, resident_mb: int) -> None:
    features = open_features(built.folder, resident_mb)
    first, second = features.request([1, 5]), features.request([5, 0])
    assert_equal(second(), load_cache(built.folder).subset([5, 0]))
    assert_equal(first(), load_cache(built.folder).subset([1, 5]))


def test_what_fits_is_held_in_memory(built) -> None:
    """Seven photos have 0.2 MB."""
    assert isinstance(open_features(built.folder, 1), CachedFeatures)
    assert isinstance(open_features(built.folder, 0), StreamedFeatures)


def test_a_copy_on_a_device_is_the_same(built) -> None:
    features = load_cache(built.folder)
    assert_equal(features.to(torch.device("cpu")), features)
    assert features.to(torch.device("meta")).subset([0, 2]).maps[2].device.type == "meta"


@pytest.mark.parametrize("resident_mb", [0, 1])
def test_folder_without_a_cache(tmp_path: Path, resident_mb: int) -> None:
    with pytest.raises(DataError, match="no intact feature cache here; run cache_features again"):
        open_features(tmp_path / "nothing", resident_mb)
