"""What a verdict, a model and a picture look like on the wire."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any

from starlette.responses import Response

from gtrans.serving.drawings import Layers
from gtrans.serving.models import ServedModel
from gtrans.serving.worker import Scored

PNG = "image/png"


def facts(model: ServedModel) -> dict[str, Any]:
    """Which detector answers."""
    return {
        "category": model.category,
        "model_version": model.version,
        "model_digest": model.digest,
        "threshold": model.detector.info.threshold,
    }


def verdict(model: ServedModel, scored: Scored) -> dict[str, Any]:
    """One image's verdict, with what was asked for beside it."""
    answer = {
        "image": scored.name,
        "score": scored.verdict.score,
        "is_anomalous": scored.verdict.is_anomalous,
        **facts(model),
    }
    if scored.heat_map_png is not None:
        answer["heat_map_png"] = _text(scored.heat_map_png)
    if scored.layers is not None:
        answer["layers"] = _layers(scored.layers)
    return answer


def drawing(model: ServedModel, scored: Scored) -> Response:
    """The heat map alone, with the verdict in its headers."""
    headers = {
        "X-GTrans-Score": repr(scored.verdict.score),
        "X-GTrans-Is-Anomalous": str(scored.verdict.is_anomalous).lower(),
        "X-GTrans-Threshold": repr(model.detector.info.threshold),
        "X-GTrans-Model-Version": str(model.version),
        "X-GTrans-Model-Digest": model.digest,
    }
    return Response(scored.heat_map_png, media_type=PNG, headers=headers)


def _layers(layers: Layers) -> dict[str, Any]:
    fields = asdict(layers)
    pictures = {f"{name}_webp": _text(fields.pop(name)) for name in ("view", "heat")}
    return {**pictures, **fields}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
