"""The plainest baseline: how far is a patch's frozen feature from those of good patches?

Same weights as GTrans, nothing learned. Patches are the stride-8 grid; a patch's feature is that of
both maps (strides 8 and 16), averaged over its 3 x 3 neighbours, as in PatchCore; of all training
patches a random tenth is remembered.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from benchmarks.peers.contract import FloatArray, PeerResult
from gtrans_core.config import GTransConfig
from gtrans_core.data.images import decode_view
from gtrans_core.features.weights import load_guide
from gtrans_core.network.agn import Agn

KEPT = 0.1
"""Share of the training patches that is remembered."""
TAPS = (4, 8, 16)
"""Strides of the guide's maps; the last two are used."""
SIGMA = 4.0
"""Of the Gaussian that smooths a map, in pixels."""


def run_nearest_neighbour(
    train_paths: Sequence[Path], test_paths: Sequence[Path], seed: int, work_dir: Path
) -> PeerResult:
    """Remember good patches, then score each test image alone on one thread.

    Raises:
        WeightsError: as ``load_guide``.
        DataError: as ``decode_view``.
    """
    config = GTransConfig()
    agn = load_guide(config.agn.model_copy(update={"taps": TAPS}), work_dir).agn
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        started = time.process_time()
        memory = remember([patches(agn, view(path, config)) for path in train_paths], seed)
        train_seconds = time.process_time() - started
        answers = [timed_score(agn, view(path, config), memory) for path in test_paths]
    finally:
        torch.set_num_threads(threads)
    maps = np.stack([heat for heat, _ in answers])
    facts = {
        "peer": "nearest_neighbour",
        "seed": seed,
        "image_size": config.image.view_shape[0],
        "threads": 1,
        "train_images": len(train_paths),
        "test_images": len(test_paths),
        "parameters": sum(p.numel() for p in agn.parameters()),
        "parameters_trained": 0,
        "numbers_stored": memory.numel(),
        "hyper_parameters": {"strides": [8, 16], "kept": KEPT, "sigma": SIGMA},
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "train_cpu_seconds": round(train_seconds, 2),
        "score_cpu_ms_median": round(1000 * float(np.median([s for _, s in answers])), 2),
    }
    return PeerResult(maps, maps.max(axis=(1, 2)), facts)


def view(path: Path, config: GTransConfig) -> Tensor:
    """An image as the guide takes it, uint8 [1, 3, S, S]."""
    return torch.from_numpy(decode_view(path.read_bytes(), path.name, config.image))[None]


def patches(agn: Agn, view_13HW: Tensor) -> Tensor:
    """Features of all patches of one image, row by row, [P, C]."""
    _, fine, coarse = agn(agn.spec.normalise(view_13HW))
    fine, coarse = (functional.avg_pool2d(m, 3, stride=1, padding=1) for m in (fine, coarse))
    coarse = functional.interpolate(coarse, size=fine.shape[-2:], mode="bilinear")
    return torch.cat([fine, coarse], dim=1).flatten(2)[0].T.contiguous()


def remember(features: Sequence[Tensor], seed: int, kept: float = KEPT) -> Tensor:
    """A random share of all patches (at least one), [M, C]."""
    everything = torch.cat(list(features))
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(everything), generator=generator)
    return everything[order[: max(1, round(kept * len(everything)))]]


def distances(patches_PC: Tensor, memory_MC: Tensor) -> Tensor:
    """Euclidean distance of each patch to the nearest remembered one, [P]."""
    # The memory's norms decide which is nearest; a patch's own is added once at the end.
    norms_M = memory_MC.square().sum(dim=1)
    squared = torch.addmm(norms_M, patches_PC, memory_MC.T, alpha=-2)
    nearest = squared.amin(dim=1) + patches_PC.square().sum(dim=1)
    return nearest.clamp_min(0).sqrt()


def heat_map(distances_P: Tensor, size: int, sigma: float = SIGMA) -> FloatArray:
    """Distances of a square grid, upsampled bilinearly and smoothed, [S, S]."""
    side = round(len(distances_P) ** 0.5)
    grid = distances_P.view(1, 1, side, side)
    full = functional.interpolate(grid, size=(size, size), mode="bilinear", align_corners=False)
    smooth: npt.NDArray[np.float32] = ndimage.gaussian_filter(full[0, 0].numpy(), sigma)
    return smooth


def timed_score(agn: Agn, view_13HW: Tensor, memory: Tensor) -> tuple[FloatArray, float]:
    """One heat map, and the CPU seconds it took."""
    started = time.process_time()
    heat = heat_map(distances(patches(agn, view_13HW), memory), view_13HW.shape[-1])
    return heat, time.process_time() - started
