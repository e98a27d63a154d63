"""Ingest: from a source to two validated manifests, before anything expensive starts."""

from __future__ import annotations

import os
from pathlib import Path

from gtrans_core.config import LEAST_SCENE_IMAGES, GTransConfig
from gtrans_core.data.layout import scan_category
from gtrans_core.data.manifest import data_digest
from gtrans_core.data.sources.catalogue import fetch_category
from gtrans_core.detector.thresholds import needed_images
from gtrans_core.errors import DataError
from gtrans_core.progress import ENVIRONMENT_VARIABLE, Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.tracking.preflight import require_record


def ingest(
    context: RunContext,
    source: str,
    config_json: str,
    train_manifest: Path,
    test_manifest: Path,
) -> str:
    """Fetch and check a category; write one manifest a split.

    Returns:
        The data digest: the identity of both splits by content.

    Raises:
        DataError: with every bad file, or when the category cannot serve this config.
        ConfigError, StorageError: for a bad config or an unreachable source.
        TrackingError: when MLflow would refuse the run at its end, before anything is done.
    """
    note = _look_at_record(context)
    progress = Progress("ingest", context.category)
    progress.started()
    if note:
        progress.said(note)
    config = GTransConfig.from_json(config_json)
    folder = fetch_category(
        source, context.category, context.root, say=progress.said, on_progress=progress.advanced
    )
    train, test = scan_category(
        folder,
        context.category,
        source,
        lambda done, total: progress.advanced("images checked", done, total),
        config.image,
        progress.noted,
    )
    unique = len({sample.sha256 for sample in train.samples})
    _require_calibration(unique, config, folder)
    train.write(train_manifest)
    test.write(test_manifest)
    digest = data_digest(train, test)
    kinds = ", ".join(f"{count} {kind}" for kind, count in test.counts().items())
    progress.said(f"{len(train.samples)} good training images; test: {kinds}")
    progress.finished(data_digest=digest, train=len(train.samples), test=len(test.samples))
    return digest


def _look_at_record(context: RunContext) -> str:
    """What is wrong with MLflow for now. Where ``gtrans run`` is the caller, it has looked."""
    if os.environ.get(ENVIRONMENT_VARIABLE):
        return ""
    note = require_record(context.tracking, context.category)
    return f"{note}; the steps go on, and register needs it" if note else ""


def _require_calibration(images: int, config: GTransConfig, folder: Path) -> None:
    """Say now, and not after training, that too few images are held out for the threshold."""
    share = config.training.held_out_fraction
    alpha = config.evaluation.false_alarm_rate
    needed = needed_images(alpha)
    held_out = round(share * images)
    if held_out < needed:
        raise DataError(
            f"{folder}/train/good: {images} different images, of which {held_out} would be held "
            f"out (training.held_out_fraction {share}); a false-alarm rate of {alpha} needs "
            f"{needed} held out: add images, or raise evaluation.false_alarm_rate or "
            "training.held_out_fraction"
        )
    if images - held_out < LEAST_SCENE_IMAGES and config.scoring.has_scene:
        raise DataError(
            f"{folder}/train/good: {images} different images, of which {images - held_out} would "
            f"be trained on (training.held_out_fraction {share}); the scene model needs "
            f"{LEAST_SCENE_IMAGES}: add images, or lower training.held_out_fraction"
        )
