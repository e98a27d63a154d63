"""``gtrans.train``: what ``gtrans run`` does."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from gtrans._profile import profile_of
from gtrans.pipelines.embedded.category_run import (
    CategoryRun,
    execute_category,
    prepare_category,
    source_of,
)
from gtrans.pipelines.embedded.local import PREEMPTED, StopRequested
from gtrans.pipelines.embedded.progress_view import progress_view
from gtrans.pipelines.gates import load_gate
from gtrans_core.config import load_config
from gtrans_core.data.sources.known import require_category_name
from gtrans_core.detector.model_name import version_uri
from gtrans_core.errors import GTransError, PreemptedError, error_of
from gtrans_core.steps.names import CATEGORY_STEPS

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What a finished training left behind.

    Attributes:
        category: what was trained on.
        version: the detector's number in the registry, counted from 1.
        model: ``models:/gtrans-CATEGORY/VERSION``, for ``gtrans.load``.
        metrics: of the test images, each from 0 to 1, the higher the better: ``image_auroc``,
            ``image_ap``, ``image_f1_max``, ``pixel_auroc``, ``pixel_ap``, ``pixel_f1_max``,
            ``au_pro_30``, ``au_pro_05``, ``seg_f1``. None where the test images cannot tell, as
            without defects or masks. MVTec LOCO AD has ``au_spro_30`` and ``au_spro_05`` too.
        report: the HTML report, with heat maps and threshold.
    """

    category: str
    version: int
    model: str
    metrics: Mapping[str, float | None]
    report: Path


def train(
    data: str | Path,
    category: str,
    *,
    config: str | Path | None = None,
    profile: str | Path = "local",
    store: str | Path | None = None,
    quiet: bool = False,
    **knobs: Any,
) -> Result:
    """Train, evaluate and register a detector; minutes, on this machine.

    The pipeline of ``gtrans run``, with the same caches, records and versions. Its steps are
    processes of their own. What is finished is kept: the same call after an interrupted one goes on
    from there.

    Args:
        data: the folder that holds the category (``DATA/CATEGORY/train/good``, ``test/good``,
            ``test/scratch``, ...), an ``s3://`` prefix, or a known source, such as ``"demo"``.
        category: its name there, and in the registry.
        config: a TOML file, or a preset, such as ``"paper-resnet34"``; None: the defaults.
        profile: where runs are kept and recorded: a name or a TOML file.
        store: folder of caches, runs and models; None: what ``GTRANS_STORE`` names, else the
            profile's.
        quiet: show no progress.
        knobs: any knob of the config by its section, over ``config``: ``seed=1,
            training={"epochs": 12}, image={"size": 320}``. ``gtrans config`` lists them all.

    Returns:
        Metrics, report and version. The version is the category's challenger.

    Raises:
        ConfigError: for a knob, a config or a profile that is wrong, and when models must be signed
            here and there is no key.
        DataError: when the images, masks or folders are wrong or missing.
        WeightsError: when the weights of the reference network cannot be had.
        StorageError: when the store cannot be written, or has no room.
        TrackingError: when MLflow cannot be reached, or refuses.
        TrainingError: when training cannot go on.
        PreemptedError: on SIGTERM; the same call goes on later.
        KeyboardInterrupt: on Ctrl-C.
        GTransError: of no other kind, when a step ended without saying why.
    """
    require_category_name(category)
    where = profile_of(profile, store)
    knobs_of_all = load_config(None if config is None else Path(config), knobs=knobs)
    source = source_of(str(data))
    job = prepare_category(where, category, source, knobs_of_all, load_gate(category), _log.warning)
    try:
        with progress_view(Console(quiet=quiet), CATEGORY_STEPS, verbose=False) as on_event:
            run = execute_category(job, on_event)
    except StopRequested as stop:
        if stop.exit_code != PREEMPTED:
            raise KeyboardInterrupt(str(stop)) from None
        raise PreemptedError(f"{stop}; the same call goes on from what is cached") from None
    if run.outcome.exit_code:
        raise _failure(run)
    version = int(run.outcome.results["register"]["version"])
    metrics = run.outcome.results["evaluate"]["metrics"]
    return Result(category, version, version_uri(category, version), metrics, run.report)


def _failure(run: CategoryRun) -> GTransError:
    error = error_of(run.outcome.exit_code, run.outcome.error)
    error.add_note(f"log: {run.job.log}")
    return error
