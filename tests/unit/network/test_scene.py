"""The scene model against independent references: scikit-learn's PCA, and plain numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from gtrans_core.network.agn import state_sha256
from gtrans_core.network.scene import FLOOR, SceneModel, fit_scene

SHAPES = ((6, 8, 8), (10, 4, 4), (12, 2, 2))


def random_maps(images: int, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(images, *shape, generator=generator) for shape in SHAPES]


def good_maps(images: int, seed: int, noise: float = 0.05) -> list[torch.Tensor]:
    """Maps that mix the same three patterns at each scale, and a little noise."""
    patterns = [
        torch.randn(3, *shape, generator=torch.Generator().manual_seed(7)) for shape in SHAPES
    ]
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(images, 3, generator=generator)
    return [
        torch.einsum("nk,kchw->nchw", weights, pattern)
        + noise * torch.randn(images, *pattern.shape[1:], generator=generator)
        for pattern in patterns
    ]


@pytest.mark.parametrize("rank", [1, 5, 18])
def test_residual_follows_the_formula(rank: int):
    """z standardised; ẑ = V^T (g ⊙ V z), g = (λ − s²) / λ, s² the mean eigenvalue left out."""
    images = 20
    fitted, seen = random_maps(images, 0), random_maps(3, 1)
    residuals = fit_scene(fitted, rank)(seen)
    for maps, new, residual in zip(fitted, seen, residuals, strict=True):
        x, y = maps.double().numpy(), new.double().numpy()
        mean = x.mean(axis=0)
        deviation = np.sqrt(((x - mean) ** 2).mean(axis=(0, 2, 3), keepdims=True)) + 1e-6
        z = ((x - mean) / deviation).reshape(images, -1)
        pca = PCA(n_components=min(images - 1, z.shape[1])).fit(z)
        values, kept = pca.explained_variance_, min(rank, images - 2)
        left_out = np.concatenate([values[kept:], np.zeros(images - 1 - len(values))])
        gain = (values[:kept] - left_out.mean()) / values[:kept]
        w = ((y - mean) / deviation).reshape(len(y), -1)
        basis = pca.components_[:kept]
        rebuilt = (w @ basis.T * gain) @ basis
        expected = ((w - rebuilt) ** 2).reshape(y.shape).mean(axis=1)
        np.testing.assert_allclose(residual[:, 0].numpy(), expected, rtol=1e-3, atol=1e-4)


def test_what_no_good_image_shows_stays_as_the_residual():
    scene = fit_scene(good_maps(30, 0), rank=8)
    [fine, *_] = good_maps(1, 1)
    spoilt = fine.clone()
    spoilt[0, :, 2:4, 5:7] += 3.0
    rest = good_maps(1, 1)[1:]
    before, after = scene([fine, *rest])[0][0, 0], scene([spoilt, *rest])[0][0, 0]
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:4, 5:7] = True
    assert after[mask].min() > 10 * before.max()
    assert after[mask].min() > 3 * after[~mask].max()


def test_a_good_piece_in_the_wrong_place_is_seen():
    """Trans, which looks at an image piece by piece, has no reason to find it odd."""
    scene = fit_scene(good_maps(40, 0), rank=8)
    maps = good_maps(1, 2)
    moved = [m.roll(3, dims=3) for m in maps]
    for kept, shifted in zip(scene(maps), scene(moved), strict=True):
        assert float(shifted.mean()) > 5 * float(kept.mean())


@given(batch=st.integers(2, 5), seed=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_an_image_has_the_same_residual_in_any_company(batch: int, seed: int):
    scene = fit_scene(random_maps(12, 0), rank=4)
    maps = random_maps(batch, seed)
    together = scene(maps)
    for i in range(batch):
        alone = scene([m[i : i + 1] for m in maps])
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_of_them[i], rtol=1e-4, atol=1e-5)


@given(images=st.integers(4, 16), rank=st.integers(1, 40), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_gains_and_shapes(images: int, rank: int, seed: int):
    scene = fit_scene(random_maps(images, seed), rank)
    state = scene.state_dict()
    for i, shape in enumerate(SHAPES, start=1):
        gain, basis = state[f"gain_{i}"], state[f"basis_{i}"]
        assert len(gain) == min(rank, images - 2)
        assert ((gain >= 0) & (gain <= 1)).all()
        torch.testing.assert_close(basis @ basis.T, torch.eye(len(gain)), atol=1e-3, rtol=0)
        assert scene.map_shapes()[i - 1] == shape
    assert all((r >= 0).all() and torch.isfinite(r).all() for r in scene(random_maps(2, seed)))


def test_usual_maps_are_geometric_means_over_the_images_fitted_to():
    maps = random_maps(9, 5)
    scene = fit_scene(maps, 4)
    for usual, residual in zip(scene.usual_maps(), scene(maps), strict=True):
        expected = np.exp(np.log(residual.double().numpy() + FLOOR).mean(axis=0, keepdims=True))
        np.testing.assert_allclose(usual, expected, rtol=1e-4)


def test_the_same_images_give_the_same_bits():
    maps = random_maps(20, 3)
    first, second = (state_sha256(fit_scene(maps, 6).state_dict()) for _ in range(2))
    assert first == second


def test_memory_layout_and_half_precision_make_no_difference():
    maps, seen = random_maps(10, 0), random_maps(2, 1)
    halved = [m.half() for m in maps]
    scene = fit_scene(halved, 4)
    other = fit_scene([m.float().contiguous(memory_format=torch.channels_last) for m in halved], 4)
    for one, two in zip(
        scene(seen),
        other([m.contiguous(memory_format=torch.channels_last) for m in seen]),
        strict=True,
    ):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


def test_a_channel_that_never_changes_is_no_trouble():
    maps = random_maps(10, 0)
    maps[0][:, 2] = 1.5
    residual = fit_scene(maps, 4)([m[:1] for m in maps])[0]
    assert torch.isfinite(residual).all()


def test_too_few_images():
    with pytest.raises(ValueError, match="at least 4 images, not 3"):
        fit_scene(random_maps(3, 0), 2)


@pytest.mark.parametrize("spoil", ["gone", "extra", "short"])
def test_tensors_that_do_not_belong_together(spoil: str):
    state = dict(fit_scene(random_maps(8, 0), 3).state_dict())
    if spoil == "gone":
        del state["gain_2"]
    elif spoil == "extra":
        state["more"] = torch.zeros(1)
    else:
        state["gain_2"] = state["gain_2"][:-1]
    with pytest.raises(ValueError, match=r"a scene model has|do not fit each other"):
        SceneModel(state)
