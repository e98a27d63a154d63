"""Ingest: from a source to two validated manifests, before anything expensive starts."""

from __future__ import annotations

import os
from pathlib import Path

from gtrans_core.config import GTransConfig
from gtrans_core.data.layout import MIN_TRAIN_IMAGES, scan_category
from gtrans_core.data.manifest import Manifest, data_digest
from gtrans_core.data.sources.catalogue import fetch_category
from gtrans_core.detector.promise import promise_of
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
    _require_enough(unique, folder)
    for line in (*_shape_kept(train, config), *_few_images(unique, config)):
        progress.said(line)
    train.write(train_manifest)
    test.write(test_manifest)
    digest = data_digest(train, test)
    kinds = ", ".join(f"{count} {kind}" for kind, count in test.counts().items())
    progress.said(f"{len(train.samples)} good training images; test: {kinds or 'no image'}")
    progress.finished(data_digest=digest, train=len(train.samples), test=len(test.samples))
    return digest


def _look_at_record(context: RunContext) -> str:
    """What is wrong with MLflow for now. Where ``gtrans run`` is the caller, it has looked."""
    if os.environ.get(ENVIRONMENT_VARIABLE):
        return ""
    note = require_record(context.tracking, context.category)
    return f"{note}; the steps go on, and register needs it" if note else ""


def _shape_kept(train: Manifest, config: GTransConfig) -> list[str]:
    """What the network sees of images that are not square, where the config does not say."""
    image = train.settled(config).image
    height, width = image.resized_shape
    if config.image.size is not None or height == width:
        return []
    return [
        f"these images are not square and keep about their shape: they are resized to {width} x "
        f"{height} pixels (image.size = {list(image.input_shape)})"
    ]


def _few_images(images: int, config: GTransConfig) -> list[str]:
    """What so few images cannot promise."""
    wanted = config.evaluation.false_alarm_rate
    promise = promise_of(images, max(wanted, 1 / (images + 1)), wanted)
    return [promise.shortfall] if promise is not None else []


def _require_enough(images: int, folder: Path) -> None:
    """Repeats say nothing new: so many different images are needed."""
    if images < MIN_TRAIN_IMAGES:
        raise DataError(
            f"{folder}: {images} different good training images, at least {MIN_TRAIN_IMAGES} "
            "are needed: add images"
        )
