"""Copies of good images in other light: what is cached, who learns from them, and when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gtrans_core.data.images import decode_view
from gtrans_core.data.in_light import decode_in_light
from gtrans_core.data.view import EVEN_GREY, brightness, mean_grey
from gtrans_core.features.cache import CachedFeatures, build_cache, load_cache
from gtrans_core.features.cache_index import CacheIdentity, cache_identity
from gtrans_core.features.weights import load_guide
from gtrans_core.network.memory import fit_memory, memory_maps
from gtrans_core.network.scene import fit_scene
from gtrans_core.training.closed_form import fit_closed_form
from gtrans_core.training.light import FACTORS, chosen_copies, copies_wanted
from tests.support.images import photo
from tests.support.tiny import photos, tiny_config

IMAGES = 15


def features(lift: float = 0.0) -> CachedFeatures:
    """Noise of 15 images; in other light, all of one channel is higher."""
    drawn = torch.Generator().manual_seed(0)
    maps = [torch.randn(IMAGES, 4, side, side, generator=drawn) for side in (16, 8, 4)]
    for one in maps:
        one[:, 0] += lift
    views = torch.zeros(IMAGES, 3, 64, 64, dtype=torch.uint8)
    return CachedFeatures(tuple(f"{i:064x}" for i in range(IMAGES)), views, (*maps,))  # type: ignore[arg-type]


def test_other_light_comes_before_exposure_and_region() -> None:
    config, data = tiny_config().image, photo(0)
    plain = decode_view(data, "photo", config)
    assert (decode_in_light(data, "photo", config, 1.3) == brightness(plain, 1.3)).all()
    assert (decode_in_light(data, "photo", config, 1) == plain).all()
    even = config.model_copy(update={"exposure": "even"})
    assert mean_grey(decode_in_light(data, "photo", even, 0.7)) == pytest.approx(EVEN_GREY, abs=1)
    left = config.model_copy(update={"region": ((0, 0), (0.5, 0), (0.5, 1), (0, 1))})
    assert not decode_in_light(data, "photo", left, 1.3)[:, :, 40:].any()


def test_a_copy_has_a_cache_of_its_own_and_other_keys_stay(tmp_path: Path) -> None:
    config, manifest = tiny_config(), photos(tmp_path / "photos", 4)
    guide = load_guide(config.agn, tmp_path)
    identity = cache_identity(manifest, guide.agn.spec, guide.weights_sha256, config.image)
    stored = identity.model_dump(mode="json")
    del stored["brightness"]
    assert CacheIdentity.model_validate(stored).key == identity.key
    darker = identity.model_copy(update={"brightness": 0.7})
    assert darker.key != identity.key
    report = build_cache(tmp_path / "cache", darker, manifest, guide.agn, lambda *_: None)
    sample = manifest.in_content_order()[0]
    view = decode_view((tmp_path / "photos" / sample.path).read_bytes(), "a", config.image)
    assert np.array_equal(load_cache(report.folder).views[0].numpy(), brightness(view, 0.7))


def test_scene_model_and_memory_learn_from_copies_in_the_room_that_is_left() -> None:
    config = tiny_config("memory.percent=100", "memory.patches=40", "scene.images=20")
    as_taken, copies = features(), (features(5), features(-5))
    scene, memory = fit_closed_form(as_taken, range(12), config, copies)
    assert scene is not None
    assert memory is not None

    def maps(count: int, of_copies: int) -> list[Tensor]:
        lights = ((as_taken, count), *((copy, of_copies) for copy in copies))
        each = zip(*([m[:some] for m in one.maps] for one, some in lights), strict=True)
        return [torch.cat(of_map) for of_map in each]

    expected = fit_scene(maps(12, 4), config.scene.rank)  # 20 in all, 12 as they are
    assert all(torch.equal(scene.state_dict()[n], t) for n, t in expected.state_dict().items())
    full = fit_memory(memory_maps(maps(12, 0), config.agn.taps), 40, config.seed)
    assert torch.equal(memory.bank, full.bank)
    _, roomy = fit_closed_form(
        as_taken, range(12), tiny_config("memory.percent=1", "memory.patches=40"), copies
    )
    assert roomy is not None
    shared = fit_memory(memory_maps(maps(12, 12), config.agn.taps), 24, config.seed)
    assert torch.equal(roomy.bank, shared.bank)
    few = tiny_config("scene.images=12", "scoring.memory_share=0")  # 8 of 12 as they are
    crowded, _ = fit_closed_form(as_taken, range(12), few, copies)
    assert crowded is not None
    expected = fit_scene(maps(8, 2), few.scene.rank)
    assert all(torch.equal(crowded.state_dict()[n], t) for n, t in expected.state_dict().items())


@pytest.mark.parametrize(
    ("wanted", "lift", "learnt"),
    [("auto", 3.0, True), ("auto", 0.0, False), ("on", 0.0, True)],
    ids=["where they help", "where light changes nothing", "always"],
)
def test_good_images_choose(wanted: str, lift: float, learnt: bool) -> None:
    config = tiny_config(f"training.light_augmentation={wanted}")
    assert copies_wanted(config) == FACTORS
    copies = (features(lift), features(-lift))
    assert chosen_copies(features(), copies, range(IMAGES), config) == (copies if learnt else ())


def test_without_being_asked_there_are_none() -> None:
    assert copies_wanted(tiny_config()) == ()
    assert chosen_copies(features(), (), range(IMAGES), tiny_config()) == ()
