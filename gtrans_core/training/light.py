"""Copies of good images in other light: whether the closed-form parts learn from them too.

An image's score is read from the scene model and the patch memory, so that they must know other
light. Trans has no part in it, and learns from the images as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gtrans_core.config import LEAST_SCENE_IMAGES, GTransConfig
from gtrans_core.features.cache import tile_positions
from gtrans_core.features.reading import Features
from gtrans_core.network.memory import memory_maps
from gtrans_core.training.closed_form import ClosedForm, fit_closed_form

FACTORS = (0.7, 1.3)
"""What the pixels of each copy are multiplied with: a little beyond what ``evaluate`` tries."""
_CLEARLY_LESS = 0.8
"""Of how far good images move, without copies to learn from."""
_HARDLY = 0.35
"""Of a deviation: good images that move less in other light need no copies. A shift by so much
doubles false alarms of 5 %, if scores are normal."""
_ASKED = 80
"""Good images that choose, at most, so that asking takes seconds, however many there are."""


def copies_wanted(config: GTransConfig) -> tuple[float, ...]:
    """Brightness of the copies that are cached; none where nothing is to learn from them."""
    learns = config.scoring.has_scene or config.has_memory
    return FACTORS if learns and config.training.light_augmentation != "off" else ()


def chosen_copies(
    features: Features,
    copies: Sequence[Features],
    positions: Sequence[int],
    config: GTransConfig,
) -> Sequence[Features]:
    """Those of the copies to learn from: all, or none where good images say that they do not help.

    With ``auto``, the closed-form parts are fitted to four fifths of some images, without copies
    and with them. The rest of these decides: copies help where images move in other light, and
    clearly less with copies, in standard deviations of their readings as they are. A tie goes to
    none.

    Args:
        features: of all good images.
        copies: of the same images in other light; none: nothing to choose.
        positions: of the images to learn from.
        config: what is to be fitted.
    """
    if not copies or config.training.light_augmentation == "on":
        return copies
    asked = positions[:_ASKED]
    judged = asked[::5]
    fitted = [position for position in asked if position not in set(judged)]
    if len(judged) < 2 or len(fitted) < LEAST_SCENE_IMAGES:
        return ()
    without = _moved(fit_closed_form(features, fitted, config), features, copies, judged, config)
    if without < _HARDLY:
        return ()
    parts = fit_closed_form(features, fitted, config, copies)
    having = _moved(parts, features, copies, judged, config)
    return copies if having < _CLEARLY_LESS * without else ()


def _moved(
    parts: ClosedForm,
    features: Features,
    copies: Sequence[Features],
    judged: Sequence[int],
    config: GTransConfig,
) -> float:
    """How far readings are in other light from those as taken, in deviations of the latter."""
    as_taken = _readings(parts, features, judged, config)
    tiny = torch.finfo(torch.float32).tiny
    away = [(_readings(parts, copy, judged, config) - as_taken).abs().mean() for copy in copies]
    return float(torch.stack(away).mean() / as_taken.std().clamp_min(tiny))


def _readings(
    parts: ClosedForm, features: Features, positions: Sequence[int], config: GTransConfig
) -> torch.Tensor:
    """Of each image, how unusual its most unusual place is to each part, in logarithms: [N]."""
    scene, memory = parts
    found = []
    for position in positions:
        maps = features.subset(tile_positions([position], features.tiles)).maps
        seen = [] if scene is None else scene([m.float() for m in maps])
        seen += [] if memory is None else [memory(memory_maps(maps, config.agn.taps))]
        found.append(torch.stack([m.amax().log() for m in seen]).mean())
    return torch.stack(found)
