"""What a run is given: the run-time parameters of the pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gtrans.pipelines.profiles import Profile
from gtrans_core.config import GTransConfig
from gtrans_core.evaluation.gate import Gate


def of_category(
    place: Profile, category: str, source: str, config: GTransConfig, gate: Gate
) -> dict[str, Any]:
    """Of the pipeline ``category``."""
    return {"category": category, "gate": gate.to_json(), **_shared(place, source, config)}


def of_categories(
    place: Profile, gates: Mapping[str, Gate], source: str, config: GTransConfig
) -> dict[str, Any]:
    """Of the pipeline ``categories``: those that ``gates`` has."""
    items = [{"category": name, "gate": gate.to_json()} for name, gate in gates.items()]
    return {"categories": items, **_shared(place, source, config)}


def of_drift(place: Profile, category: str, since: str) -> dict[str, Any]:
    """Of the pipeline ``drift``."""
    return {"category": category, "since": since, **_place(place)}


def _shared(place: Profile, source: str, config: GTransConfig) -> dict[str, Any]:
    return {
        "source": source,
        "config": _for(place, config).to_json(),
        "cache_store": place.cache_store,
        "unsigned_models": place.trust.unsigned_now,
        **_place(place),
    }


def _for(place: Profile, config: GTransConfig) -> GTransConfig:
    """The config, whose training does not settle for a CPU where it is given more than that."""
    cluster = place.cluster
    if cluster is None or cluster.cpu_fallback or not cluster.of("train").accelerator:
        return config
    if config.training.device != "auto":
        return config
    training = config.training.model_copy(update={"device": "cuda"})
    return config.model_copy(update={"training": training})


def _place(place: Profile) -> dict[str, Any]:
    return {
        "store": place.store,
        "tracking_uri": place.tracking_uri,
        "experiment": place.experiment,
        **(place.cluster.placement() if place.cluster else {}),
    }
