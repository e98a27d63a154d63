"""Train: from the feature cache, and nothing else, to a Trans and a scene model."""

from __future__ import annotations

from pathlib import Path

from gtrans_core.config import GTransConfig
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.kept import Kept
from gtrans_core.training.termination import TerminationSignal
from gtrans_core.training.training_info import TrainingInfo

_MODEL = "model"


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
    decides = {"cache": reference.key, "config": config.model_dump(mode="json")}
    kept = Kept(context.root, "train", decides, progress.said)
    reused = kept.restore({_MODEL: model}) is not None
    if reused:
        info = _done_before(model)
    else:
        from gtrans_core.steps.learning import learn

        info, reused = learn(context, config, reference, model, progress, termination)
        kept.keep({_MODEL: model})
    last = info.history[-1]["values"] if info.history else {}
    losses = [
        f"{last[name]:.4f} {what}"
        for name, what in (
            ("train_loss", "on the last batch"),
            ("held_out_loss", "on held-out good images"),
        )
        if name in last
    ]
    if reused:
        progress.said(f"training reused: all {info.steps} steps were done before")
    if losses:
        progress.said(f"loss {', '.join(losses)}")
    progress.finished(reused=reused, steps=info.steps, seconds=round(info.seconds, 1))
    return info.key


def _done_before(model: Path) -> TrainingInfo:
    """The facts of a model that an earlier run trained, as this run's: it took no time."""
    before = TrainingInfo.read(model)
    info = before.model_copy(update={"seconds": 0.0, "resumed_at": before.steps})
    info.write(model)
    return info
