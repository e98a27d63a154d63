"""Knobs that are parameters of a pipeline of their own, beside the whole config as JSON."""

from __future__ import annotations

from typing import Any

from gtrans_core.config.sections import GTransConfig
from gtrans_core.errors import ConfigError

FROM_CONFIG = -1
"""Stands for a knob that stays as the config has it."""


def with_run_parameters(
    config_json: str,
    *,
    seed: int = FROM_CONFIG,
    epochs: int = FROM_CONFIG,
    image_size: int = FROM_CONFIG,
    effort: str = "",
) -> str:
    """The config with those of the four knobs that are given: they count, whatever it says.

    Args:
        config_json: the config.
        seed: ``seed``.
        epochs: ``training.epochs``, in place of ``training.steps``.
        image_size: ``image.size``, in pixels.
        effort: ``training.effort``, in place of ``training.steps`` and ``epochs``; empty: as the
            config has it.

    Raises:
        ConfigError: naming the key, what it has and what was expected.
    """
    values: dict[str, Any] = GTransConfig.from_json(config_json).model_dump(mode="json")
    training = values["training"]
    if effort and epochs != FROM_CONFIG:
        raise ConfigError(
            "parameters of the run: effort and epochs are both given; leave out one of them"
        )
    if effort or epochs != FROM_CONFIG:
        training |= {"steps": None, "epochs": None}  # a training is counted in one way
    if effort:
        training["effort"] = effort
    given = ((values, "seed", seed), (training, "epochs", epochs))
    for section, key, value in (*given, (values["image"], "size", image_size)):
        if value != FROM_CONFIG:
            section[key] = value
    return GTransConfig.checked(values, "parameters of the run").to_json()
