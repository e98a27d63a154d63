"""The scene model: what the AGN's maps of good images look like as a whole, and what does not fit.

Trans looks at an image piece by piece and can predict a map even where the piece is in the wrong
place. The scene model looks at a whole map: it rebuilds it from the few principal maps of the good
training images. A defect is not among them and stays as the residual. Closed form, nothing to tune.

Probabilistic principal components (Tipping & Bishop, "Probabilistic Principal Component
Analysis", 1999) of standardised maps, one model a scale, in the role that the autoencoder of whole
images has beside a student in EfficientAD (Batzner et al., arXiv 2303.14535).

Shape suffixes: N images, C channels, H and W map size, F = C H W features, K principal maps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gtrans_core.config import LEAST_SCENE_IMAGES

_PARTS = ("mean", "deviation", "basis", "gain", "usual")
FLOOR = 1e-3
"""Added before a logarithm: all maps are of order 1, and agreement below it says nothing."""
_TINY = 1e-6
"""Added to a channel's deviation, so that a constant channel divides by something."""


class SceneModel(nn.Module):
    """Principal maps of each scale.

    Args:
        tensors: as ``state_dict`` returns them: for each scale i = 1, 2, ... ``mean_i`` [C, H, W],
            ``deviation_i`` [C, 1, 1], ``basis_i`` [K, F], ``gain_i`` [K] and ``usual_i`` [1, H, W].

    Raises:
        ValueError: when a tensor is missing or its shape does not fit the others.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.scales = len(tensors) // len(_PARTS)
        expected = {f"{part}_{i}" for part in _PARTS for i in range(1, self.scales + 1)}
        if set(tensors) != expected or not tensors:
            raise ValueError(f"a scene model has {sorted(expected)}, not {sorted(tensors)}")
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)
        for i in range(1, self.scales + 1):
            mean, deviation, basis, gain, usual = self._parts(i)
            fits = mean.ndim == 3 and basis.shape == (len(gain), mean.numel())
            fits = fits and usual.shape == (1, *mean.shape[1:])
            if not fits or deviation.shape != (len(mean), 1, 1):
                raise ValueError(f"the tensors of scale {i} do not fit each other")

    def forward(self, agn_maps: Sequence[Tensor]) -> list[Tensor]:
        """Residual maps [B, 1, H, W], >= 0, finest first, of the AGN's maps [B, C, H, W].

        r(p) = mean over channels of (z − ẑ)²; z the standardised map, ẑ = V^T (g ⊙ V z) what the
        principal maps V make of it, each with its gain g. About 1 where nothing is explained.
        """
        return [
            _residual(map_BCHW, *self._parts(i)[:-1])
            for i, map_BCHW in enumerate(agn_maps, start=1)
        ]

    def unexplained(self, agn_maps: Sequence[Tensor], unit: SceneModel) -> list[Tensor]:
        """As ``forward``, but with distances in the deviations of another model's channels."""
        return [
            (_rest(map_BCHW, *self._parts(i)[:-1]) * (self._parts(i)[1] / unit._parts(i)[1]))
            .square()
            .mean(dim=1, keepdim=True)
            for i, map_BCHW in enumerate(agn_maps, start=1)
        ]

    def map_shapes(self) -> list[tuple[int, ...]]:
        """[C, H, W] of each scale."""
        return [tuple(self._parts(i)[0].shape) for i in range(1, self.scales + 1)]

    def usual_maps(self) -> list[Tensor]:
        """u [1, 1, H, W], > 0, of each scale: what good images show at each place.

        u(p) = geometric mean of r(p) + FLOOR over the images that the model was fitted to. These
        residuals are smaller than those of other good images; which places show more than others
        is the same.
        """
        return [self._parts(i)[-1].unsqueeze(0) for i in range(1, self.scales + 1)]

    def _parts(self, scale: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        mean, deviation, basis, gain, usual = (getattr(self, f"{p}_{scale}") for p in _PARTS)
        return mean, deviation, basis, gain, usual


class TileScenes(nn.Module):
    """A scene model for each tile's place, for parts that lie still.

    Args:
        models: T of them, of the same shapes.
    """

    def __init__(self, models: Sequence[SceneModel]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, agn_maps: Sequence[Tensor]) -> list[Tensor]:
        """Residual maps [B T, 1, H, W], as of one model, of the tiles' maps [B T, C, H, W]."""
        count = len(self.models)
        by_place = [model([m[i::count] for m in agn_maps]) for i, model in enumerate(self.models)]
        return [torch.stack(maps, dim=1).flatten(0, 1) for maps in zip(*by_place, strict=True)]

    def unexplained(self, agn_maps: Sequence[Tensor], unit: SceneModel) -> list[Tensor]:
        """As ``SceneModel.unexplained``, of the tiles' maps [B T, C, H, W], in another order."""
        count = len(self.models)
        by_place = [
            model.unexplained([m[i::count] for m in agn_maps], unit)
            for i, model in enumerate(self._all())
        ]
        return [torch.cat(maps) for maps in zip(*by_place, strict=True)]

    def map_shapes(self) -> list[tuple[int, ...]]:
        """[C, H, W] of each scale of a tile."""
        return self._all()[0].map_shapes()

    def usual_maps(self) -> list[Tensor]:
        """u [T, 1, H, W] of each scale: what good images show at each place of each tile."""
        return [
            torch.cat(maps) for maps in zip(*(m.usual_maps() for m in self._all()), strict=True)
        ]

    def _all(self) -> list[SceneModel]:
        return [model for model in self.models if isinstance(model, SceneModel)]


AnyScene = SceneModel | TileScenes
"""One for all tiles, or one for each tile's place."""
_PLACE = "models."


def read_scene(tensors: Mapping[str, Tensor], tiles: int) -> AnyScene:
    """The scene model of a detector whose parts have so many tiles, from its ``state_dict``.

    Raises:
        ValueError: when a tensor is missing or its shape does not fit the others.
    """
    if not any(name.startswith(_PLACE) for name in tensors):
        return SceneModel(tensors)
    of_place: list[dict[str, Tensor]] = [{} for _ in range(tiles)]
    for name, tensor in tensors.items():
        place, _, part = name.removeprefix(_PLACE).partition(".")
        if not place.isdigit() or int(place) >= tiles:
            raise ValueError(f"the scene models of {tiles} tiles have no {name}")
        of_place[int(place)][part] = tensor
    return TileScenes([SceneModel(part) for part in of_place])


def fit_scene(maps: Sequence[Tensor], rank: int) -> SceneModel:
    """Fit a scene model to the AGN's maps of good training images.

    The same images in the same order give the same bits (same machine, same threads).

    Args:
        maps: for each scale the maps of all images [N, C, H, W], N >= 4.
        rank: principal maps to keep at each scale; at most N − 2 are.

    Raises:
        ValueError: for fewer than 4 images.
    """
    tensors: dict[str, Tensor] = {}
    for i, map_NCHW in enumerate(maps, start=1):
        for part, tensor in zip(_PARTS, _fit_scale(map_NCHW.float(), rank), strict=True):
            tensors[f"{part}_{i}"] = tensor
    return SceneModel(tensors)


def _residual(
    map_BCHW: Tensor, mean_CHW: Tensor, deviation_C11: Tensor, basis_KF: Tensor, gain_K: Tensor
) -> Tensor:
    rest_BCHW = _rest(map_BCHW, mean_CHW, deviation_C11, basis_KF, gain_K)
    return rest_BCHW.square().mean(dim=1, keepdim=True)


def _rest(
    map_BCHW: Tensor, mean_CHW: Tensor, deviation_C11: Tensor, basis_KF: Tensor, gain_K: Tensor
) -> Tensor:
    """z − ẑ [B, C, H, W]."""
    z_BCHW = (map_BCHW.float().contiguous() - mean_CHW) / deviation_C11
    z_BF = z_BCHW.flatten(1)
    rebuilt_BF = ((z_BF @ basis_KF.T) * gain_K) @ basis_KF
    return (z_BF - rebuilt_BF).view_as(z_BCHW)


def _fit_scale(map_NCHW: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    count = len(map_NCHW)
    if count < LEAST_SCENE_IMAGES:
        raise ValueError(f"a scene model needs at least {LEAST_SCENE_IMAGES} images, not {count}")
    mean_CHW = map_NCHW.mean(dim=0)
    centred_NCHW = map_NCHW - mean_CHW
    deviation_C11 = centred_NCHW.square().mean(dim=(0, 2, 3)).sqrt().view(-1, 1, 1) + _TINY
    z_NF = (centred_NCHW / deviation_C11).flatten(1)
    # Far fewer images than features: the N x N Gram matrix has the same eigenvalues.
    gram_NN = (z_NF @ z_NF.T).double()
    values_N, vectors_NN = torch.linalg.eigh(gram_NN)
    kept = min(rank, count - 2)
    values_K = values_N[-kept:].flip(0).clamp_min(_TINY)
    vectors_NK = vectors_NN[:, -kept:].flip(1)
    basis_KF = ((vectors_NK / values_K.sqrt()).float().T @ z_NF).contiguous()
    # What is left out is noise, and noise is in the kept ones too: as much in each on average.
    # The smallest value is left out of the mean: it is 0, the mean map took one dimension.
    noise = values_N[1:-kept].clamp_min(0).mean()
    gain_K = ((values_K - noise) / values_K).clamp_min(0).float()
    # Image by image: residuals of all at once need much memory.
    log_1HW = torch.zeros(1, *map_NCHW.shape[2:])
    for map_1CHW in torch.split(map_NCHW, 1):
        residual = _residual(map_1CHW, mean_CHW, deviation_C11, basis_KF, gain_K)
        log_1HW += (residual[0] + FLOOR).log()
    return mean_CHW, deviation_C11, basis_KF, gain_K, (log_1HW / count).exp()
