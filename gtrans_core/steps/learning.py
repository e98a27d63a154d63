"""Learning: the costly part of train, which is done once for a cache and a config."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from gtrans_core.config import GTransConfig
from gtrans_core.features.reading import Features, StreamedFeatures
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.network.backbone import agn_spec
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.storage import exclusive
from gtrans_core.tracking.journal import JournalFlusher
from gtrans_core.training.closed_form import fit_closed_form
from gtrans_core.training.device import choose_device
from gtrans_core.training.journal import SYSTEM_JOURNAL
from gtrans_core.training.key import training_key
from gtrans_core.training.light import chosen_copies
from gtrans_core.training.loop import TrainingResult, train_trans
from gtrans_core.training.split import Split, split_images
from gtrans_core.training.system_metrics import sampled
from gtrans_core.training.termination import TerminationSignal
from gtrans_core.training.train_together import train_together
from gtrans_core.training.trained_model import TrainedModel, save_trained
from gtrans_core.training.training_info import TrainingInfo

FLUSH_SECONDS = 5.0
"""How long a finished training waits for MLflow; what is not sent by then, register sends."""


def learn(
    context: RunContext,
    config: GTransConfig,
    reference: FeatureCacheRef,
    model: Path,
    progress: Progress,
    termination: TerminationSignal,
) -> tuple[TrainingInfo, bool]:
    """Train, or go on with the training that this cache and config decide.

    Args:
        context: the run.
        config: every knob.
        reference: of the feature cache.
        model: folder to write the networks to.
        progress: told how far it is.
        termination: asked whether to stop.

    Returns:
        The facts of the training, and whether no step was left to do.

    Raises:
        DataError, StorageError, TrainingError, PreemptedError: as ``train``.
    """
    features = reference.open(config.training.resident_mb)
    if isinstance(features, StreamedFeatures):
        progress.said(
            f"the features of {len(features.digests)} images have more than "
            f"training.resident_mb ({config.training.resident_mb:,} MB): read as needed"
        )
    split = split_images(features.digests, config)
    if split.is_cross_fitted:
        progress.said(
            f"all {split.images} good images are learnt from; the threshold is cross-fitted in "
            f"{len(split.folds())} folds"
        )
    key = training_key(reference.key, config, None if split.is_usual(config) else split)
    folder = context.root / "training" / key
    device = choose_device(config.training)
    if device.type == "cpu" and config.training.device == "auto":
        progress.said("no GPU is visible: training on the CPU")
    started = time.monotonic()
    flusher = JournalFlusher(
        folder / "history.jsonl",
        lambda: context.run.open(step="train"),
        also=(folder / SYSTEM_JOURNAL,),
    )
    try:
        # Of two runs of one training, the second waits and reuses.
        with exclusive(folder), sampled(folder):
            result = _train(features, reference, config, folder, progress, termination)
    finally:
        flusher.close(FLUSH_SECONDS)
    copies = reference.open_in_other_light()
    chosen = chosen_copies(features, copies, split.fitted, config)
    if copies:
        learnt = "learnt from too" if chosen else "left out: good images hardly move less by them"
        progress.said(f"copies in other light: {learnt}")
    seconds = time.monotonic() - started
    info = _info(key, reference, config, features, split, result, seconds, bool(chosen))
    scene, memory = fit_closed_form(features, split.fitted, config, chosen)
    save_trained(model, TrainedModel(result.trans, scene, memory), info)
    return info, result.reused


def _train(
    features: Features,
    reference: FeatureCacheRef,
    config: GTransConfig,
    folder: Path,
    progress: Progress,
    termination: TerminationSignal,
) -> TrainingResult:
    alone = config.training.processes == 1
    resumed_at = (
        None if alone else train_together(Path(reference.folder), config, folder, termination)
    )
    # After several processes, this one only reads their last checkpoint.
    result = train_trans(
        features,
        agn_spec(config.agn),
        config,
        folder,
        on_progress=lambda done, total, note: progress.advanced("steps", done, total, note),
        say=progress.said if alone else lambda _: None,
        stop_requested=termination,
    )
    return result if alone else replace(result, resumed_at=resumed_at)


def _info(
    key: str,
    reference: FeatureCacheRef,
    config: GTransConfig,
    features: Features,
    split: Split,
    result: TrainingResult,
    seconds: float,
    in_other_light: bool,
) -> TrainingInfo:
    return TrainingInfo(
        key=key,
        cache_key=reference.key,
        config=config,
        weights_sha256=reference.weights_sha256,
        held_out=tuple(features.digests[i] for i in split.calibration),
        in_other_light=in_other_light,
        trained_on=len(split.training),
        steps=result.steps,
        seconds=seconds,
        resumed_at=result.resumed_at,
        history=result.history,
    )
