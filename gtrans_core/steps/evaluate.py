"""Evaluate: a threshold from held-out good images, then the test split, then all that is shown.

The costly part (``judging``) is kept by everything that decides it. What belongs to the run, such
as the record's lineage and how the gate stands today, is made anew each time.
"""

from __future__ import annotations

import json
from pathlib import Path

from gtrans_core.config import GTransConfig, digest_of, flatten
from gtrans_core.data.manifest import Manifest
from gtrans_core.detector.files import DetectorInfo, read_info
from gtrans_core.drawing.report import NOTHING_KNOWN
from gtrans_core.evaluation import record as files
from gtrans_core.evaluation.advice import Findings
from gtrans_core.evaluation.conclusion import conclude
from gtrans_core.evaluation.gate import Gate, check_gate
from gtrans_core.evaluation.image_table import write_images
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.lineage import collect_lineage
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.evaluation_report import evaluation_report
from gtrans_core.steps.judged import Judged
from gtrans_core.steps.kept import Kept
from gtrans_core.storage import sha256_file, write_atomic
from gtrans_core.training.training_info import TrainingInfo

_DETECTOR, _JUDGED = "detector", "judged.json"


def evaluate(
    context: RunContext,
    config_json: str,
    gate_json: str,
    data_digest: str,
    model: Path,
    feature_cache: Path,
    train_manifest: Path,
    test_manifest: Path,
    detector: Path,
    report: Path,
    evaluation: Path,
) -> dict[str, float]:
    """Calibrate, package the detector, and judge it on the test split.

    Args:
        context: the run.
        config_json: the config.
        gate_json: the thresholds for becoming champion; the report tells how it stands.
        data_digest: identity of both splits.
        model: folder that ``train`` wrote.
        feature_cache: file that ``cache_features`` wrote.
        train_manifest: the training split.
        test_manifest: the test split; read here for the first time.
        detector: folder to write the packaged detector to.
        report: HTML file to write.
        evaluation: folder to write the record, the table of images and the figures to.

    Returns:
        The metrics that are available.

    Raises:
        ConfigError: when config or gate is invalid.
        ModelError, DataError, WeightsError, StorageError: when something handed over is damaged.
    """
    progress = Progress("evaluate", context.category)
    progress.started()
    given, gate = GTransConfig.from_json(config_json), Gate.from_json(gate_json)
    train, test = Manifest.read(train_manifest), Manifest.read(test_manifest)
    training, reference = TrainingInfo.read(model), FeatureCacheRef.read(feature_cache)
    decides = {
        "category": context.category,
        "config": given.model_dump(mode="json"),
        "data": data_digest,
        "manifests": [sha256_file(train_manifest), sha256_file(test_manifest)],
        "cache": reference.key,
        "training": training.model_dump(mode="json", exclude={"seconds", "resumed_at"}),
        "weights": {path.name: sha256_file(path) for path in model.glob("*.safetensors")},
    }
    kept = Kept(context.root, "evaluate", decides, progress.said)
    found = kept.restore({_DETECTOR: detector})
    if found is None:
        from gtrans_core.steps.judging import judge

        judged = judge(
            context, given, data_digest, model, reference, train, test, detector, progress
        )
        kept.keep({_DETECTOR: detector, _JUDGED: judged.model_dump_json().encode()})
    else:
        judged = Judged.model_validate_json(found[_JUDGED])
        progress.said("evaluation reused: the same model was judged on the same images before")
    info = read_info(detector)
    record = _record(context, info, training, judged)
    findings = Findings(
        record=record,
        conclusion=conclude(record, check_gate(gate, record.evidence(), None)),
        config=given,
        seen=info.config.image.resized_shape,
        source=train.source,
        images=judged.images,
        sizes={sample.path: (sample.width, sample.height) for sample in test.samples},
        held_out=info.held_out_scores,
    )
    html = evaluation_report(
        context, findings, judged.gallery, training, judged.notes, judged.feedback
    ).encode()
    write_atomic(report, html)
    write_atomic(evaluation / files.REPORT, html)
    for name, picture in judged.gallery.files.items():
        write_atomic(evaluation / files.FIGURES / f"{name}.png", picture)
    lines = (json.dumps(row) + "\n" for row in training.history)
    write_atomic(evaluation / files.HISTORY, "".join(lines).encode())
    write_atomic(evaluation / files.TRAIN_MANIFEST, train_manifest.read_bytes())
    write_atomic(evaluation / files.TEST_MANIFEST, test_manifest.read_bytes())
    write_images(evaluation, judged.images)
    record.write(evaluation)
    progress.finished(
        reused=found is not None,
        metrics=record.metrics,
        report=str(report),
        notes=_warnings(record),
    )
    return {name: value for name, value in record.metrics.items() if value is not None}


def _record(
    context: RunContext, detector: DetectorInfo, training: TrainingInfo, judged: Judged
) -> EvaluationRecord:
    config, promise = detector.config, detector.promise
    return EvaluationRecord(
        category=context.category,
        data_digest=detector.data_digest,
        metrics=judged.metrics,
        per_defect=judged.per_defect,
        threshold=detector.threshold,
        false_alarm_rate=promise.rate if promise else config.evaluation.false_alarm_rate,
        promise=promise,
        held_out=len(detector.held_out_scores),
        good_images=judged.good_images,
        good_flagged=judged.good_flagged,
        training_seconds=None if training.resumed_at is not None else training.seconds,
        robustness=judged.robustness,
        config=flatten(config),
        lineage={
            "run_key": context.run_key,
            "seed": str(config.seed),
            "data_digest": detector.data_digest,
            "agn_weights_sha256": detector.weights_sha256,
            "cache_key": training.cache_key,
            "training_key": training.key,
            "config_digest": digest_of(config.model_dump(mode="json")),
            **collect_lineage(),
        },
    )


def _warnings(record: EvaluationRecord) -> list[str]:
    """What a reader of the numbers must not overlook; the run's summary ends with it."""
    found = [] if record.defective_images else [NOTHING_KNOWN]
    if record.promise is not None and record.promise.falls_short:
        found.append(record.promise.shortfall)
    return found
