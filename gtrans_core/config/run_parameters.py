"""Knobs that are parameters of a pipeline of their own, beside the whole config as JSON."""

from __future__ import annotations

from typing import Any

from gtrans_core.config.sections import GTransConfig

FROM_CONFIG = -1
"""Stands for a knob that stays as the config has it."""


def with_run_parameters(
    config_json: str,
    *,
    seed: int = FROM_CONFIG,
    epochs: int = FROM_CONFIG,
    image_size: int = FROM_CONFIG,
) -> str:
    """The config with those of the three knobs that are given.

    Args:
        config_json: the config.
        seed: ``seed``.
        epochs: ``training.epochs``, in place of ``training.steps``.
        image_size: ``image.size``, in pixels.

    Raises:
        ConfigError: naming the key, what it has and what was expected.
    """
    values: dict[str, Any] = GTransConfig.from_json(config_json).model_dump(mode="json")
    if epochs != FROM_CONFIG:
        values["training"]["steps"] = None  # a training is counted in one of them
    given = ((values, "seed", seed), (values["training"], "epochs", epochs))
    for section, key, value in (*given, (values["image"], "size", image_size)):
        if value != FROM_CONFIG:
            section[key] = value
    return GTransConfig.checked(values, "parameters of the run").to_json()
