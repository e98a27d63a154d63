"""Train: from the feature cache, and nothing else, to a Trans and a scene model."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch._dynamo  # noqa: F401  # optimizers load it: here, with all imports, and not later

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
from gtrans_core.training.trained_model import TrainedModel, TrainingInfo, save_trained

FLUSH_SECONDS = 5.0
"""How long a finished training waits for MLflow; what is not sent by then, register sends."""


def train(context: RunContext, config_json: str, feature_cache: Path, model: Path) -> str:
    """Train, go on with, or reuse the training that this cache and config decide.

    Returns:
        The training key.

    Raises:
        DataError: when the cache is damaged.
        StorageError: when the shared cache cannot be fetched.
        TrainingError: when the loss is no longer finite or the device is missing.
        PreemptedError: after SIGTERM; the same step goes on later.
    """
    progress = Progress("train", context.category)
    progress.started()
    termination = TerminationSignal()
    config = GTransConfig.from_json(config_json)
    reference = FeatureCacheRef.read(feature_cache)
    features = reference.open(config.training.resident_mb)
    if isinstance(features, StreamedFeatures):
        progress.said(
            f"the features of {len(features.digests)} images have more than "
            f"training.resident_mb ({config.training.resident_mb:,} MB): read as needed"
        )
    split = split_images(features.digests, config)
    if split.is_cross_fitted:
        progress.said(
            f"{split.images} good images are too few to hold some out: all are learnt from, and "
            f"the threshold is cross-fitted in {len(split.folds())} folds"
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
    info = _info(key, reference, config, features, split, result, time.monotonic() - started)
    info = info.model_copy(update={"in_other_light": bool(chosen)})
    scene, memory = fit_closed_form(features, split.fitted, config, chosen)
    save_trained(model, TrainedModel(result.trans, scene, memory), info)
    last = result.history[-1]["values"] if result.history else {}
    losses = [
        f"{last[name]:.4f} {what}"
        for name, what in (
            ("train_loss", "on the last batch"),
            ("held_out_loss", "on held-out good images"),
        )
        if name in last
    ]
    if result.reused:
        progress.said(f"training reused: all {result.steps} steps were done before")
    if losses:
        progress.said(f"loss {', '.join(losses)}")
    progress.finished(reused=result.reused, steps=result.steps, seconds=round(info.seconds, 1))
    return key


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
) -> TrainingInfo:
    return TrainingInfo(
        key=key,
        cache_key=reference.key,
        config=config,
        weights_sha256=reference.weights_sha256,
        held_out=tuple(features.digests[i] for i in split.calibration),
        trained_on=len(split.training),
        steps=result.steps,
        seconds=seconds,
        resumed_at=result.resumed_at,
        history=result.history,
    )
