"""Configs of earlier versions: knobs that have moved since, and knobs that came later.

Whoever wrote a knob in its earlier section, in a file, on the command line, in a schedule or beside
trained weights, means what it meant then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SAME_AS_AGN = "agn"
"""As ``trans.backbone``: a student CNN of the AGN's own shape, as published."""

_RESEARCH = "research"
_EARLIER_SECTION = {
    "author_compat": "training",
    "map_weights": "scoring",
    "fusion": "scoring",
    "guidance": "trans",
    "layer_norm": "trans",
}
"""Knobs of ``[research]``, and the section where each was before."""

_BEFORE: dict[str, dict[str, Any]] = {
    "evaluation": {"perturbed_images": 0},
    "image": {"resize": "exact", "size": 256},
    "scoring": {"image_maps": 0, "memory_share": 0.0, "trans_maps": 0},
    "training": {"calibration": "held_out", "light_augmentation": "off"},
    "trans": {"backbone": SAME_AS_AGN},
}
"""Knobs that came later, and their values before anybody could set them."""
_EPOCHS = {"epochs": 8}
"""How long Trans learnt where nobody said it, before efforts and steps."""


def as_stored(values: Any) -> Any:
    """A stored config with the knobs that came later, as they were when it was stored."""
    if not isinstance(values, dict):
        return values
    training = values.get("training")
    counts_epochs = isinstance(training, dict) and training.keys().isdisjoint({"effort", "steps"})
    before = _BEFORE | ({"training": _BEFORE["training"] | _EPOCHS} if counts_epochs else {})
    sections = {name: values.get(name) for name in before}
    return values | {
        name: before[name] | section
        for name, section in sections.items()
        if isinstance(section, dict)
    }


def current_key(key: str) -> str:
    """Where a knob is now: ``research.fusion`` for ``scoring.fusion``; else the key itself."""
    section, _, knob = key.partition(".")
    return f"{_RESEARCH}.{knob}" if _EARLIER_SECTION.get(knob) == section else key


def current_layout(values: Any) -> Any:
    """A config's values with each knob in the section where it is now.

    Raises:
        ValueError: naming both, when a knob is given in both sections with different values.
    """
    if not isinstance(values, dict) or not isinstance(values.get(_RESEARCH, {}), dict):
        return values
    moved = dict(values)
    for knob, section in _EARLIER_SECTION.items():
        earlier = moved.get(section)
        if not isinstance(earlier, dict) or knob not in earlier:
            continue
        research = moved.get(_RESEARCH, {})
        if research.get(knob, earlier[knob]) != earlier[knob]:
            raise ValueError(
                f"{section}.{knob} and {_RESEARCH}.{knob} are one knob, but have different "
                f"values; leave out {section}.{knob}, its earlier name"
            )
        moved[section] = {name: value for name, value in earlier.items() if name != knob}
        moved[_RESEARCH] = {**research, knob: earlier[knob]}
    return moved


def earlier_layout(values: Mapping[str, Any]) -> dict[str, Any]:
    """A whole config's values with each knob in the section where it was, for keys made of them."""
    before = {name: value for name, value in values.items() if name != _RESEARCH}
    for knob, section in _EARLIER_SECTION.items():
        before[section] = {**before[section], knob: values[_RESEARCH][knob]}
    return before
