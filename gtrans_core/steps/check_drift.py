"""Do a registered model's scores in use still look like those of its held-out good images?"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from gtrans_core.detector.files import detector_digest, read_info
from gtrans_core.detector.model_name import category_of_model, version_uri
from gtrans_core.errors import ConfigError, DriftError
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.tracking.client import connect_existing
from gtrans_core.tracking.registry.registry import fetch_model
from gtrans_core.tracking.registry.versions import ModelVersion, version_in_use, version_now
from gtrans_core.trust.policy import TrustPolicy
from gtrans_core.watch.drift import Drift, find_drift
from gtrans_core.watch.record import WATCH_FOLDER, read_counts

_DAYS = re.compile(r"(\d{1,4})d")


def check_drift(
    context: RunContext, *, since: str, alpha: float, defect_share: float, fail_on_drift: bool
) -> str:
    """Judge the version in use; returns the verdict.

    Raises:
        DriftError: for ``recalibrate`` and ``retrain``, if ``fail_on_drift``.
        ModelError: when the category has no version, or its files were changed.
        StorageError: when a file of scores is damaged.
        TrackingError: when MLflow cannot be reached.
        ConfigError: for a value out of its range.
    """
    progress = Progress("check_drift", context.category)
    progress.started()
    model, drift = judge_version(
        context.root,
        context.tracking_uri,
        context.category,
        since=since,
        alpha=alpha,
        defect_share=defect_share,
    )
    progress.said(summary(model, drift))
    if drift.drifted and fail_on_drift:
        raise DriftError(summary(model, drift))
    progress.finished(verdict=drift.verdict)
    return drift.verdict


def judge_version(
    store: Path,
    tracking_uri: str,
    category: str,
    *,
    alpha: float,
    defect_share: float,
    version: int | None = None,
    since: str = "",
    trust: TrustPolicy | None = None,
) -> tuple[ModelVersion, Drift]:
    """Compare the scores that a store keeps of a version with the version's held-out good ones.

    Args:
        store: where the scores are, below ``watch/``.
        tracking_uri: where the model is registered.
        category: which one.
        alpha: false-alarm rate.
        defect_share: largest share of defective images in use that is no drift.
        version: its number; None: the champion, or the challenger where there is none.
        since: first day (UTC) as ``2026-01-31``, or ``7d`` for the last seven; ``""``: all.
        trust: whose models are read; None: as the environment says.

    Raises:
        ModelError, StorageError, TrackingError, ConfigError: as ``check_drift``.
    """
    first = first_day(since, datetime.now(UTC).date())
    client = connect_existing(tracking_uri)
    if version is None:
        model = version_in_use(client, category)
    else:
        model = version_now(client, version_uri(category, version))
    with scratch_folder() as scratch:
        folder = fetch_model(client, model.uri, Path(scratch), trust)
        info, digest = read_info(folder), detector_digest(folder)
    in_use = read_counts(store / WATCH_FOLDER, category, digest, first)
    drift = find_drift(
        info.held_out_scores, info.threshold, in_use, alpha=alpha, defect_share=defect_share
    )
    return model, drift


def summary(model: ModelVersion, drift: Drift) -> str:
    """One line: which model, the verdict, why, and what to do where a command does it."""
    line = f"{model.name} version {model.version}: {drift.verdict}: {drift.reason}"
    if drift.verdict == "recalibrate":
        return f"{line}: `gtrans recalibrate {category_of_model(model.name)} --good FOLDER`"
    return line


def first_day(since: str, today: date) -> date | None:
    """The day that ``2026-01-31`` or ``7d`` (today and the six before) says; None for ``""``.

    Raises:
        ConfigError: for anything else.
    """
    if not since:
        return None
    if days := _DAYS.fullmatch(since):
        return today - timedelta(days=max(0, int(days[1]) - 1))
    try:
        return date.fromisoformat(since)
    except ValueError:
        raise ConfigError(
            f"since is '{since}': expected a day (2026-01-31) or a number of days (7d)"
        ) from None
