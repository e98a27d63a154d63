"""What tiles cost, said before anything is paid for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import torch

from gtrans_core.config import AgnConfig, GTransConfig
from gtrans_core.features.cache import image_bytes
from gtrans_core.features.weights import load_guide
from gtrans_core.network.backbone import agn_spec, check_input_shape
from gtrans_core.network.tiling import Tiling
from gtrans_core.training.light import copies_wanted


def cost_of_tiles(config: GTransConfig, good: Mapping[str, int | None]) -> str:
    """A line on the time for an image and the size of the cache, on this machine.

    Args:
        config: with tiles, as given: before the training images settle their shape, they are taken
            for squares, which have as many pixels.
        good: how many good training images each category has; None: not known yet.

    Raises:
        ConfigError: for a guide that does not exist, or does not take tiles of this shape.
    """
    image = config.image
    spec = agn_spec(config.agn)
    check_input_shape(spec, image.input_shape)
    tiles, lights = Tiling(image).count, 1 + len(copies_wanted(config))
    height, width = image.input_shape
    each = lights * image_bytes(image, spec) / 1e6
    sizes = [
        f"{each * count:,.0f} MB for {category} ({count:,} good images)"
        for category, count in good.items()
        if count is not None
    ]
    in_training = "once" if lights == 1 else f"{lights} times (copies in other light)"
    return (
        f"{tiles} tiles of {width} x {height} pixels an image: the guide alone takes about "
        f"{tiles * _seconds(config.agn, image.input_shape):.2g} s an image on this machine, in "
        f"training {in_training} and then for each image that is scored; the feature cache takes "
        f"{', '.join(sizes) or f'{each:,.1f} MB for each good image'}"
    )


def _seconds(agn: AgnConfig, shape: tuple[int, int]) -> float:
    """How long the guide takes for one tile, the best of five; its weights make no difference."""
    drawn = agn.model_copy(update={"weights": "random:0", "weights_sha256": ""})
    guide = load_guide(drawn, downloads=Path()).agn
    tile = guide.spec.normalise(torch.zeros(1, 3, *shape, dtype=torch.uint8))

    def once() -> float:
        started = time.perf_counter()
        guide(tile)
        return time.perf_counter() - started

    return min(once() for _ in range(5))
