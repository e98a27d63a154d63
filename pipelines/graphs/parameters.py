"""What a run is given: the run-time parameters of the pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gtrans.pipelines.profiles import Profile
from gtrans_core.config import GTransConfig
from gtrans_core.evaluation.gate import Gate


def of_category(
    profile: Profile, category: str, source: str, config: GTransConfig, gate: Gate
) -> dict[str, Any]:
    """Of the pipeline ``category``."""
    return {"category": category, "gate": gate.to_json(), **_shared(profile, source, config)}


def of_categories(
    profile: Profile, gates: Mapping[str, Gate], source: str, config: GTransConfig
) -> dict[str, Any]:
    """Of the pipeline ``categories``: those that ``gates`` has."""
    items = [{"category": name, "gate": gate.to_json()} for name, gate in gates.items()]
    return {"categories": items, **_shared(profile, source, config)}


def of_drift(profile: Profile, category: str, since: str) -> dict[str, Any]:
    """Of the pipeline ``drift``."""
    return {"category": category, "since": since, **_of_profile(profile)}


def _shared(profile: Profile, source: str, config: GTransConfig) -> dict[str, Any]:
    return {
        "source": source,
        "config": _for(profile, config).to_json(),
        "cache_store": profile.cache_store,
        "unsigned_models": profile.trust.unsigned_now,
        **_of_profile(profile),
    }


def _for(profile: Profile, config: GTransConfig) -> GTransConfig:
    """The config; where the profile gives training an accelerator, training requires one."""
    cluster = profile.cluster
    if cluster is None or cluster.cpu_fallback or not cluster.of("train").accelerator:
        return config
    if config.training.device != "auto":
        return config
    training = config.training.model_copy(update={"device": "cuda"})
    return config.model_copy(update={"training": training})


def _of_profile(profile: Profile) -> dict[str, Any]:
    return {
        "store": profile.store,
        "tracking_uri": profile.tracking_uri,
        "experiment": profile.experiment,
        **(profile.cluster.placement() if profile.cluster else {}),
    }
