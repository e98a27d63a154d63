"""A config as canonical JSON, as a digest, and as one flat row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, ASCII only: equal values give equal bytes.

    Raises:
        ValueError: for a number that is not finite.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def digest_of(value: Any) -> str:
    """sha256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()


def flatten(config: BaseModel) -> dict[str, Any]:
    """``{"training.epochs": 24, ...}``: one flat row, for MLflow parameters and tables."""
    rows: dict[str, Any] = {}

    def walk(prefix: str, node: Mapping[str, Any]) -> None:
        for key, value in node.items():
            if isinstance(value, Mapping):
                walk(f"{prefix}{key}.", value)
            else:
                rows[f"{prefix}{key}"] = value

    walk("", config.model_dump(mode="json"))
    return rows
