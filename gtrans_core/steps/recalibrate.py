"""Recalibrate: a registered detector with a new threshold. Nothing is trained.

The networks stay as they are, byte for byte. The threshold comes from fresh good images, or from
the scores it came from before at another false-alarm rate, by the rule of every other threshold.
The test images are counted anew, so that the new version has an evaluation to be judged by; they
are scored once more where the run does not have all that depends on it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gtrans_core.batch.images import ImageRef
from gtrans_core.config import digest_of, flatten
from gtrans_core.data.layout import scan_category
from gtrans_core.data.manifest import GOOD, Manifest, data_digest
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import INFO_NAME, DetectorInfo, detector_digest
from gtrans_core.detector.model_name import version_uri
from gtrans_core.drawing.recalibration import RecalibrationData, render_recalibration
from gtrans_core.errors import ConfigError, DataError
from gtrans_core.evaluation import record as files
from gtrans_core.evaluation.gate import Gate
from gtrans_core.evaluation.image_table import (
    ImageResult,
    at_threshold,
    image_files,
    image_results,
    those_judged,
)
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.new_threshold import recalibrated, source_of
from gtrans_core.steps.register import Registered, input_example, register_detector
from gtrans_core.storage import write_atomic
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.storage.sealed import sealed
from gtrans_core.system.text import score_text
from gtrans_core.tracking.client import connect_existing
from gtrans_core.tracking.duel import images_of
from gtrans_core.tracking.registry.origin import Origin, origin_of
from gtrans_core.tracking.registry.registry import fetch_model
from gtrans_core.tracking.registry.versions import ModelVersion, version_in_use, version_now
from gtrans_core.trust.keys import SigningKey
from gtrans_core.trust.policy import TrustPolicy

BASE_REPORT = "report-of-version-{}.html"
"""The report of the version whose networks these are, beside the page of the new one."""


@dataclass(frozen=True)
class Recalibration:
    """What came of it.

    Attributes:
        base: the version whose networks these are.
        before: its evaluation.
        after: the same with the new threshold.
        registered: the new version.
        source: where the threshold comes from, as a sentence.
    """

    base: ModelVersion
    before: EvaluationRecord
    after: EvaluationRecord
    registered: Registered
    source: str


def recalibrate(
    context: RunContext,
    gate: Gate,
    trust: TrustPolicy,
    *,
    good: Sequence[ImageRef] = (),
    rate: float | None = None,
    version: int | None = None,
) -> Recalibration:
    """Register a version's detector with a new threshold, as the category's challenger.

    Args:
        context: where; its run key is replaced by one of the new detector's own, so that the same
            call made twice writes to one run.
        gate: thresholds for becoming champion; nothing is promoted here.
        trust: whose models are read.
        good: fresh images of good parts, unknown to the version; none: its held-out scores.
        rate: false-alarm rate to promise, in (0, 1); None: the version's.
        version: its number; None: the champion, or the challenger where there is none.

    Raises:
        ConfigError: for a rate out of its range, neither images nor a rate, or a missing key.
        DataError: when an image cannot be read or is known to the version, or its test images are
            gone or changed.
        ModelError: when there is no such version, or its files were changed.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    progress = Progress("recalibrate", context.category)
    if not good and rate is None:
        raise ConfigError("name fresh good images, another false-alarm rate, or both")
    key = SigningKey.from_environment()
    trust.require_key(key)
    client = connect_existing(context.tracking_uri)
    if version is None:
        base = version_in_use(client, context.category)
    else:
        base = version_now(client, version_uri(context.category, version))
    origin = origin_of(client, context.category, base.version)
    with scratch_folder() as scratch:
        folder = fetch_model(client, base.uri, Path(scratch), trust)
        old = detector_digest(folder)
        detector = Detector.load(folder)
        splits = _splits(origin, detector.info, client)
        fresh = _unknown(good, splits)
        info = recalibrated(detector, fresh, rate)
        source = source_of(info, len(fresh))
        was, now = score_text(detector.info.threshold), score_text(info.threshold)
        progress.said(f"threshold {was} -> {now}. {source}")
        write_atomic(folder / INFO_NAME, sealed(info.to_json()))
        made_from = {"recalibrated_from": str(base.version), "recalibrated_from_detector": old}
        own = replace(context, run_key=f"recalibrated-{detector_digest(folder)[:12]}")
        images = _test_images(
            detector, info, splits[1], client, origin, key, Path(scratch) / "scored", progress
        )
        after = _judged(own, origin.record, info, images, made_from)
        page = RecalibrationData(
            category=context.category,
            base=base.version,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            source=source,
            before=origin.record,
            after=after,
            base_report=BASE_REPORT.format(base.version),
        )
        example = input_example(reversed(splits), info.config.image)
        tables = image_files(images)
        registered = _register(own, origin, page, folder, tables, example, gate, key)
    for line in registered.lines:
        progress.said(line)
    return Recalibration(base, origin.record, after, registered, source)


def _splits(origin: Origin, info: DetectorInfo, client: Any) -> tuple[Manifest, Manifest]:
    """Both splits, if the images that the version was trained and judged on are still there.

    Test images that came later, such as those from feedback, are left out.
    """
    place = Path(origin.images)
    if not origin.images or not place.is_dir():
        where = origin.images or "a place that its run does not name"
        raise DataError(
            f"the images that {info.category} was judged on were in {where}, which is not on this "
            "machine, so nobody can count what a new threshold does to them; do it where they are"
        )
    image = info.config.image
    train, test = scan_category(place, info.category, origin.images, None, image)
    if data_digest(train, test) != origin.record.data_digest:
        judged = images_of(client, origin.run_id)
        test = test.model_copy(update={"samples": those_judged(test.samples, judged)})
    if data_digest(train, test) != origin.record.data_digest:
        raise DataError(f"{place}: its images changed since this version was judged on them")
    return train, test


def _unknown(
    good: Sequence[ImageRef], splits: tuple[Manifest, Manifest]
) -> dict[str, tuple[str, bytes]]:
    """Name and bytes of each fresh image by its sha256, repeats left out."""
    known = {one.sha256: split for split in splits for one in split.samples}
    found: dict[str, tuple[str, bytes]] = {}
    for image in good:
        data = image.read()
        digest = hashlib.sha256(data).hexdigest()
        if digest in known:
            raise DataError(
                f"{image.path}: is one of the {known[digest].split} images of this version; a new "
                "threshold needs images that it has never seen"
            )
        found.setdefault(digest, (image.path, data))
    return found


def _test_images(
    detector: Detector,
    info: DetectorInfo,
    test: Manifest,
    client: Any,  # of MLflow, which only tracking knows
    origin: Origin,
    key: SigningKey | None,
    folder: Path,
    progress: Progress,
) -> list[ImageResult]:
    """What the new threshold says of each test image.

    The version's own run has the scores, and what is unusual in each heat map as long as that is
    the same. Whoever signs measures anew: what is in the run, others may have written.
    """
    if key is None and info.map_level == detector.map_level:
        known = images_of(client, origin.run_id)
        if {(one.path, one.sha256) for one in known} == {
            (one.path, one.sha256) for one in test.samples
        }:
            return at_threshold(known, info.threshold)
    from gtrans_core.evaluation.evaluation import score_split  # scipy takes its time

    evaluation = score_split(
        detector.engine,
        test,
        info.config.image,
        folder,
        lambda done, total: progress.advanced("images scored", done, total),
    )
    return image_results(evaluation, info.threshold, info.map_level, info.config.image)


def _judged(
    context: RunContext,
    before: EvaluationRecord,
    info: DetectorInfo,
    images: Sequence[ImageResult],
    made_from: dict[str, str],
) -> EvaluationRecord:
    """The evaluation with what depends on the threshold counted anew."""
    flagged = Counter(image.kind for image in images if image.flagged)
    wanted = info.config.evaluation.false_alarm_rate
    return before.model_copy(
        update={
            "per_defect": tuple(
                replace(kind, caught=flagged[kind.defect]) for kind in before.per_defect
            ),
            "threshold": info.threshold,
            "false_alarm_rate": info.promise.rate if info.promise else wanted,
            "held_out": len(info.held_out_scores),
            "promise": info.promise,
            "good_flagged": flagged[GOOD],
            "training_seconds": None,
            "robustness": None,  # it was counted at the earlier threshold
            "config": flatten(info.config),
            "lineage": {
                **before.lineage,
                "run_key": context.run_key,
                "config_digest": digest_of(info.config.model_dump(mode="json")),
                **made_from,
            },
        }
    )


def _register(
    context: RunContext,
    origin: Origin,
    page: RecalibrationData,
    detector: Path,
    tables: Mapping[str, bytes],
    example: bytes,
    gate: Gate,
    key: SigningKey | None,
) -> Registered:
    run, record = context.run.open(), page.after
    run.log_params(record.config)
    run.log_lineage(record.lineage)
    run.log_same_datasets(origin.datasets, record.data_digest)
    run.log_metrics(record.charted())
    run.log_artifact_bytes(files.REPORT, render_recalibration(page).encode())
    run.log_artifact_bytes(page.base_report, origin.report)
    run.log_artifact_bytes(files.RECORD, record.model_dump_json(indent=1).encode())
    for name, table in tables.items():
        run.log_artifact_bytes(name, table)
    registered = register_detector(run, record, detector, example, gate, key)
    run.finish()
    return registered
