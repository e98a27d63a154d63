"""Loss and score formulas against independent references."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch.nn.functional import cosine_similarity, interpolate

from gtrans_core.config import GTransConfig, ImageConfig, ResearchConfig, ScoringConfig
from gtrans_core.network.loss import guidance_loss
from gtrans_core.network.plane import gaussian_blur
from gtrans_core.network.scene import FLOOR
from gtrans_core.network.score import (
    distance_map,
    heat_map,
    image_map,
    image_score,
    image_weight,
    usual_map,
)

SHAPES = ((6, 16, 16), (10, 8, 8), (12, 4, 4))


DEFAULT = GTransConfig()


def scored(research: ResearchConfig = DEFAULT.research, **scoring: Any) -> GTransConfig:
    """Trans is read from all maps, unless said otherwise."""
    return GTransConfig(scoring=ScoringConfig(**{"trans_maps": 0} | scoring), research=research)


def random_maps(batch: int, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, *shape, generator=generator) for shape in SHAPES]


@given(seed=st.integers(0, 1000), batch=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_loss_is_half_the_squared_distance_of_directions(seed: int, batch: int):
    agn, trans = random_maps(batch, seed), random_maps(batch, seed + 1)
    expected = 0.0
    for a, f in zip(agn, trans, strict=True):
        a, f = a.double().numpy(), f.double().numpy()
        a = a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-12)
        f = f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12)
        expected += (0.5 * ((a - f) ** 2).sum(axis=1)).mean() / 3
    assert float(guidance_loss(agn, trans)) == pytest.approx(expected, abs=1e-6)


def test_loss_is_the_mean_of_one_minus_cosine_and_does_not_depend_on_the_batch_size():
    agn, trans = random_maps(4, 0), random_maps(4, 1)
    cosines = [1 - cosine_similarity(a, f, dim=1).mean() for a, f in zip(agn, trans, strict=True)]
    assert float(guidance_loss(agn, trans)) == pytest.approx(float(sum(cosines)) / 3, abs=1e-6)
    twice = guidance_loss([torch.cat([a, a]) for a in agn], [torch.cat([f, f]) for f in trans])
    assert float(twice) == pytest.approx(float(guidance_loss(agn, trans)), abs=1e-6)


def test_loss_of_equal_maps_is_zero_and_of_opposite_maps_two():
    agn = random_maps(2, 0)
    assert float(guidance_loss(agn, [3 * a for a in agn])) == pytest.approx(0, abs=1e-6)
    assert float(guidance_loss(agn, [-a for a in agn])) == pytest.approx(2, abs=1e-6)


def test_distance_map_is_twice_one_minus_cosine():
    a, f = random_maps(2, 0)[0], random_maps(2, 1)[0]
    expected = 2 * (1 - cosine_similarity(a, f, dim=1))
    torch.testing.assert_close(distance_map(a, f)[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_image_weight_follows_the_formula():
    """r = 100 mean (n(f)-n(a))^2; c = 10 mean_ch (1 - cos over pixels); w = 2rc/(r+c)."""
    a, f = random_maps(3, 0)[1], random_maps(3, 1)[1]
    weights = image_weight(a, f)
    for b in range(3):
        x, y = a[b].double().numpy(), f[b].double().numpy()
        nx, ny = x / np.linalg.norm(x, axis=0), y / np.linalg.norm(y, axis=0)
        r = 100 * ((ny - nx) ** 2).mean()
        flat_x, flat_y = x.reshape(len(x), -1), y.reshape(len(y), -1)
        cosine = (flat_x * flat_y).sum(1) / (
            np.linalg.norm(flat_x, axis=1) * np.linalg.norm(flat_y, axis=1)
        )
        c = 10 * (1 - cosine).mean()
        assert float(weights[b]) == pytest.approx(2 * r * c / (r + c), rel=1e-5)


@pytest.mark.parametrize("fusion", ["product", "sum"])
@pytest.mark.parametrize("map_weights", ["none", "image"])
def test_heat_map_fuses_upsampled_scales(fusion: str, map_weights: str):
    agn, trans = random_maps(2, 0), random_maps(2, 1)
    config = scored(
        ResearchConfig(fusion=fusion, map_weights=map_weights), smoothing_sigma=0, scene_share=0
    )
    scaled = []
    for a, f in zip(agn, trans, strict=True):
        weight = image_weight(a, f).view(-1, 1, 1, 1) if map_weights == "image" else 1.0
        up = interpolate(weight * distance_map(a, f), (64, 64), mode="bilinear")
        scaled.append(up[:, 0])
    m1, m2, m3 = scaled
    expected = m1 * m2 * m3 * m3 if fusion == "product" else m1 + m2 + m3
    torch.testing.assert_close(heat_map(agn, trans, [], None, (64, 64), config), expected)


def residuals(batch: int, seed: int) -> list[torch.Tensor]:
    """What a scene model may give: maps of one channel, >= 0."""
    return [a.square().mean(dim=1, keepdim=True) for a in random_maps(batch, seed)]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.75, 1.0])
def test_geometric_mean_follows_the_formula(share: float):
    agn, trans, scene = random_maps(2, 0), random_maps(2, 1), residuals(2, 2)
    config = scored(scene_share=share, smoothing_sigma=2.0)
    d_maps = [distance_map(a, f) for a, f in zip(agn, trans, strict=True)]

    def log_mean(maps: list[torch.Tensor]) -> np.ndarray:
        up = [interpolate(m, (64, 64), mode="bilinear")[:, 0].double().numpy() for m in maps]
        return np.mean([np.log(m + FLOOR) for m in up], axis=0)

    fused = (1 - share) * log_mean(d_maps) + share * log_mean(scene)
    expected = np.exp([gaussian_filter(plane, 2.0, mode="reflect") for plane in fused])
    found = heat_map(agn, trans, scene, None, (64, 64), config)
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-4)


def test_the_memory_has_its_share_of_the_geometric_mean():
    agn, trans, scene = random_maps(1, 0), random_maps(1, 1), residuals(1, 2)
    memory = residuals(1, 5)[1]
    config = scored(memory_share=0.6, scene_share=0.9, smoothing_sigma=0)
    others = heat_map(agn, trans, scene, None, (64, 64), config).log()
    alone = (interpolate(memory, (64, 64), mode="bilinear")[:, 0] + FLOOR).log()
    found = heat_map(agn, trans, scene, memory, (64, 64), config)
    torch.testing.assert_close(found, (0.4 * others + 0.6 * alone).exp(), rtol=1e-4, atol=1e-5)
    # A score is read from the coarsest of the other maps, and from the memory whole.
    coarse = heat_map(agn[-2:], trans[-2:], scene[-2:], memory, (64, 64), config)
    assert torch.equal(image_map(found, agn, trans, scene, memory, config), coarse)


def test_a_branch_without_a_share_is_not_read():
    agn, trans, scene = random_maps(1, 0), random_maps(1, 1), residuals(1, 2)
    nan = [torch.full_like(m, torch.nan) for m in scene]
    alone = heat_map(agn, trans, nan, None, (64, 64), scored(scene_share=0))
    assert torch.isfinite(alone).all()
    alone = heat_map(agn, [], scene, None, (64, 64), scored(scene_share=1))
    assert torch.isfinite(alone).all()


@given(factor=st.floats(0.5, 50), which=st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_the_unit_of_a_map_changes_no_ranking(factor: float, which: int):
    """Why no map needs to be normalised before the geometric mean (up to FLOOR)."""
    agn, trans = random_maps(1, 0), random_maps(1, 1)
    scene = [r + 0.5 for r in residuals(1, 2)]
    config = scored(scene_share=1)
    other = [r * factor if i == which else r for i, r in enumerate(scene)]
    ratio = heat_map(agn, trans, other, None, (64, 64), config) / heat_map(
        agn, trans, scene, None, (64, 64), config
    )
    assert float(ratio.max() / ratio.min()) == pytest.approx(1, abs=2e-3)
    assert float(ratio.mean()) == pytest.approx(factor ** (1 / 3), rel=2e-3)


@pytest.mark.parametrize(
    "config",
    [
        scored(),
        scored(ResearchConfig(map_weights="image")),
        scored(ResearchConfig(map_weights="image", fusion="product"), scene_share=0),
    ],
)
def test_an_image_scores_the_same_in_any_company(config: GTransConfig):
    """The authors' weights are batch scalars; ours belong to the image (trap 1)."""
    agn, trans, scene = random_maps(5, 0), random_maps(5, 1), residuals(5, 2)
    usual = usual_map([r[:1] + FLOOR for r in residuals(1, 3)], (64, 64), config)
    whole = heat_map(agn, trans, scene, None, (64, 64), config)
    together = image_score(whole, usual, config.scoring)
    for i in range(5):
        own = ([m[i : i + 1] for m in maps] for maps in (agn, trans, scene))
        alone = image_score(heat_map(*own, None, (64, 64), config), usual, config.scoring)
        assert float(alone) == pytest.approx(float(together[i]), rel=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (40, 72), (8, 8), (5, 33)])
@pytest.mark.parametrize("sigma", [0.8, 4.0])
def test_blur_equals_scipy(size: tuple[int, int], sigma: float):
    plane = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0))
    expected = [gaussian_filter(p.double().numpy(), sigma, mode="reflect") for p in plane[:, 0]]
    np.testing.assert_allclose(gaussian_blur(plane, sigma)[:, 0].numpy(), expected, atol=1e-6)


def test_image_score_takes_the_maximum_or_the_mean_of_the_top_share():
    pixels = torch.arange(200.0).view(1, 10, 20)
    alike = torch.ones(1, 10, 20)
    assert float(image_score(pixels, alike, ScoringConfig(image_score="max"))) == 199
    top = ScoringConfig(image_score="top_percent", top_percent=1.0)
    assert float(image_score(pixels, alike, top)) == 198.5
    tiny = ScoringConfig(image_score="top_percent", top_percent=0.01)
    assert float(image_score(pixels, alike, tiny)) == 199


@pytest.mark.parametrize("count", [1, 2])
def test_the_score_is_read_from_the_coarsest_maps(count: int):
    maps = random_maps(1, 0), random_maps(1, 1), residuals(1, 2)
    config = scored(image_maps=count, scene_share=0.5)
    whole = heat_map(*maps, None, (64, 64), config)
    expected = heat_map(*(m[-count:] for m in maps), None, (64, 64), config)
    assert torch.equal(image_map(whole, *maps, None, config), expected)
    assert not torch.allclose(whole, expected)
    usual = [r[:1] + FLOOR for r in residuals(1, 3)]
    alone = usual_map(usual[-count:], (64, 64), scored(image_maps=0, scene_share=0.5))
    assert torch.equal(usual_map(usual, (64, 64), config), alone)


@pytest.mark.parametrize("count", [1, 2])
def test_trans_is_read_from_the_finest_maps(count: int):
    agn, trans, scene = random_maps(1, 0), random_maps(1, 1), residuals(1, 2)
    config = scored(trans_maps=count, scene_share=0.5, smoothing_sigma=0)
    finest = heat_map(
        agn[:count], trans[:count], [], None, (64, 64), scored(scene_share=0, smoothing_sigma=0)
    )
    alone = heat_map(agn, [], scene, None, (64, 64), scored(scene_share=1, smoothing_sigma=0))
    found = heat_map(agn, trans, scene, None, (64, 64), config)
    torch.testing.assert_close(found, (finest * alone).sqrt(), rtol=1e-4, atol=1e-6)


def test_a_score_from_maps_that_trans_is_not_read_from_is_the_scene_models():
    agn, trans, scene = random_maps(1, 0), random_maps(1, 1), residuals(1, 2)
    config = scored(trans_maps=1, image_maps=2, scene_share=0.5)
    whole = heat_map(agn, trans, scene, None, (64, 64), config)
    alone = heat_map(agn[1:], [], scene[1:], None, (64, 64), scored(scene_share=1))
    assert torch.equal(image_map(whole, agn, trans, scene, None, config), alone)
    usual = [r[:1] + FLOOR for r in residuals(1, 3)]
    all_of_it = usual_map(usual, (64, 64), scored(image_maps=2, scene_share=1))
    assert torch.equal(usual_map(usual, (64, 64), config), all_of_it)


def test_with_tiles_the_scene_model_is_read_from_all_maps_and_trans_still_from_none():
    agn, trans, scene = random_maps(1, 0), random_maps(1, 1), residuals(1, 2)
    usual = [r[:1] + FLOOR for r in residuals(1, 3)]
    whole = scored(trans_maps=1, scene_share=0.5)
    tiled = whole.model_copy(update={"image": ImageConfig(tiles=(1, 2))})
    as_before = scored(trans_maps=1, scene_share=0.5, image_maps=2)
    heat = heat_map(agn, trans, scene, None, (64, 64), whole)

    def found(config: GTransConfig) -> torch.Tensor:
        return image_map(heat, agn, trans, scene, None, config)

    assert torch.equal(
        found(tiled), heat_map(agn, [], scene, None, (64, 64), scored(scene_share=1))
    )
    of_all = usual_map(usual, (64, 64), scored(image_maps=0, scene_share=1))
    assert torch.equal(usual_map(usual, (64, 64), tiled), of_all)
    cut_before = as_before.model_copy(update={"image": tiled.image})
    for config in (whole, cut_before):  # a detector of before says 2
        assert torch.equal(found(config), found(as_before))


@pytest.mark.parametrize(
    "config",
    [
        scored(image_maps=0),
        scored(image_maps=3),
        scored(image_maps=8),
        scored(ResearchConfig(fusion="product"), scene_share=0),
    ],
    ids=["0", "all there are", "more than there are", "published"],
)
def test_else_it_is_read_from_the_heat_map(config: GTransConfig):
    maps = random_maps(1, 0), random_maps(1, 1), residuals(1, 2)
    whole = heat_map(*maps, None, (64, 64), config)
    assert image_map(whole, *maps, None, config) is whole


@pytest.mark.parametrize("share", [0.0, 0.75, 1.0])
def test_usual_map_follows_the_formula(share: float):
    usual = [r + FLOOR for r in residuals(1, 4)]
    config = scored(scene_share=share, smoothing_sigma=2.0, image_maps=0, memory_share=0.4)
    up = [interpolate(u, (64, 64), mode="bilinear")[0, 0].double().numpy() for u in usual]
    scene = 0.6 * share * np.mean(np.log(up), axis=0)
    fused = gaussian_filter(scene, 2.0, mode="reflect")
    expected = np.exp(fused - fused.mean())
    np.testing.assert_allclose(usual_map(usual, (64, 64), config)[0], expected, rtol=2e-4)


def test_the_same_heat_means_more_where_good_images_show_little():
    usual = torch.ones(1, 8, 8)
    usual[:, :, 4:] = 4.0
    heat = torch.zeros(2, 8, 8)
    heat[0, 1, 1] = heat[1, 1, 6] = 6.0
    config = ScoringConfig(image_score="max", place_exponent=0.5)
    assert image_score(heat, usual, config).tolist() == [6.0, 3.0]
    alike = config.model_copy(update={"place_exponent": 0.0})
    assert image_score(heat, usual, alike).tolist() == [6.0, 6.0]


def test_scores_are_computed_in_fp32_even_from_half_maps():
    agn = [a.half() for a in random_maps(1, 0)]
    close = [(a.float() + 1e-2 * torch.randn(a.shape)).half() for a in agn]
    config = scored(ResearchConfig(fusion="product"), scene_share=0)
    scores = heat_map(agn, close, [], None, (64, 64), config)
    assert scores.dtype == torch.float32
    assert float(scores.max()) > 0
