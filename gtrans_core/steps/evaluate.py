"""Evaluate: a threshold from held-out good images, then the test split, then all that is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from gtrans_core.config import GTransConfig, digest_of, flatten
from gtrans_core.data.manifest import Manifest
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import DetectorInfo
from gtrans_core.detector.packaging import calibrate
from gtrans_core.detector.promise import promise_of
from gtrans_core.drawing.gallery import draw_gallery
from gtrans_core.drawing.report import NOTHING_KNOWN
from gtrans_core.errors import WeightsError
from gtrans_core.evaluation import record as files
from gtrans_core.evaluation.advice import Findings
from gtrans_core.evaluation.conclusion import conclude
from gtrans_core.evaluation.defect_result import mean_saturated
from gtrans_core.evaluation.evaluation import (
    Evaluation,
    defect_results,
    score_split,
    split_metrics,
)
from gtrans_core.evaluation.feedback_note import feedback_note
from gtrans_core.evaluation.gate import Gate, check_gate
from gtrans_core.evaluation.image_table import image_results, write_images
from gtrans_core.evaluation.perturbed import choose, try_changes
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.evaluation.robustness import Robustness
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.features.weights import load_guide
from gtrans_core.lineage import collect_lineage
from gtrans_core.network.scene import TileScenes
from gtrans_core.network.scorer import Scorer
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.evaluation_report import evaluation_report
from gtrans_core.steps.good_images import GoodImages
from gtrans_core.storage import write_atomic
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.training.author_compat import apply_author_compat
from gtrans_core.training.scene_share import with_scene_share
from gtrans_core.training.trained_model import TrainedModel, TrainingInfo, load_trained


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
    train = Manifest.read(train_manifest)
    config = train.settled(given)
    trained, info = load_trained(model)
    good = GoodImages.open(FeatureCacheRef.read(feature_cache), config, info)
    config = with_scene_share(config, trained.trans, good.features, good.positions)
    good = replace(good, config=config)
    scorer = _scorer(context, config, trained, info, train)
    cross_fitted = None if info.held_out else good.cross_fitted(scorer, progress)
    calibration = calibrate(scorer, config, good.views, progress.said, cross_fitted)
    promise = promise_of(
        len(calibration.scores),
        calibration.rate,
        config.evaluation.false_alarm_rate,
        None if cross_fitted is None else len(good.split.folds()),
    )
    held_out_scores = calibration.scores.tolist()
    package = Detector(
        scorer,
        DetectorInfo(
            category=context.category,
            config=config,
            threshold=calibration.threshold,
            map_middle=calibration.map_middle,
            held_out_scores=tuple(held_out_scores),
            promise=promise,
            data_digest=data_digest,
            training_key=info.key,
            weights_sha256=info.weights_sha256,
        ),
        calibration.graph,
    )
    package.save(detector)
    with scratch_folder() as scratch:  # heat maps of all images may be larger than memory
        test = Manifest.read(test_manifest)
        scored = score_split(
            calibration.graph or scorer,
            test,
            config.image,
            Path(scratch),
            lambda done, total: progress.advanced("images scored", done, total),
        )
        judged = test.model_copy(update={"samples": scored.samples})
        robustness = _robustness(package, info, train, judged, progress)
        progress.said("computing exact metrics and drawing figures")
        record = _record(context, config, package.info, info, scored, robustness)
        images = image_results(scored, calibration.threshold, package.map_level, config.image)
        gallery = draw_gallery(
            scored,
            images,
            record.metrics,
            calibration.threshold,
            package.map_level,
            held_out_scores,
            [{"step": r["step"], **r["values"]} for r in info.history],
            config.evaluation.examples_per_defect,
        )
        conclusion = conclude(record, check_gate(gate, record.evidence(), None))
        sizes = {sample.path: (sample.width, sample.height) for sample in scored.samples}
        findings = Findings(
            record=record,
            conclusion=conclusion,
            config=given,
            seen=config.image.resized_shape,
            source=train.source,
            images=images,
            sizes=sizes,
            held_out=held_out_scores,
        )
        known_before = feedback_note(scored, calibration.threshold)
        about = (calibration.note, *_about(scorer, given, info), _left_out(scored))
        notes = " ".join(filter(None, about))
        html = evaluation_report(context, findings, gallery, info, notes, known_before).encode()
        write_atomic(report, html)
        write_atomic(evaluation / files.REPORT, html)
        for name, picture in gallery.files.items():
            write_atomic(evaluation / files.FIGURES / f"{name}.png", picture)
        lines = (json.dumps(row) + "\n" for row in info.history)
        write_atomic(evaluation / files.HISTORY, "".join(lines).encode())
        write_atomic(evaluation / files.TRAIN_MANIFEST, train_manifest.read_bytes())
        write_atomic(evaluation / files.TEST_MANIFEST, test_manifest.read_bytes())
        write_images(evaluation, images)
        record.write(evaluation)
        progress.finished(metrics=record.metrics, report=str(report), notes=_warnings(record))
        return {name: value for name, value in record.metrics.items() if value is not None}


def _about(scorer: Scorer, given: GTransConfig, info: TrainingInfo) -> list[str]:
    """What good images have settled, and how images are seen where that is not as a whole."""
    said, tiles, inside = [], scorer.tiling.count, scorer.config.image.inside
    if tiles > 1:
        each = isinstance(scorer.scene, TileScenes)
        which = "for each tile's place" if each else "for all of them"
        said.append(f"Each image is seen in {tiles} tiles, with one scene model {which}.")
    if inside is not None:
        said.append(
            f"Only {100 * inside.mean():.0f} % of the image is judged (image.region); the rest is "
            "drawn black, and nothing in it is learnt, flagged or counted."
        )
    if given.training.light_augmentation != "off":
        learnt = "learnt" if info.in_other_light else "not learnt, since good images said no,"
        said.append(
            f"Scene model and patch memory have {learnt} from copies of the good images in darker "
            f"and brighter light too (training.light_augmentation)."
        )
    if given.scoring.scene_share is None:
        known = 1 - scorer.config.scoring.scene_weight
        said.append(
            f"The student (Trans) explains {100 * known:.0f} % of what varies in good images, and "
            "counts as much in the heat map beside the scene model (scoring.scene_share)."
        )
    return said


def _left_out(scored: Evaluation) -> str:
    """Which defective images count for nothing; empty where all count."""
    count = len(scored.left_out)
    if not count:
        return ""
    images = "image shows its" if count == 1 else "images show their"
    return (
        f"{count} defective test {images} defect outside image.region and count for nothing, such "
        f"as {scored.left_out[0].path}."
    )


def _scorer(
    context: RunContext,
    config: GTransConfig,
    trained: TrainedModel,
    info: TrainingInfo,
    train: Manifest,
) -> Scorer:
    guide = load_guide(config.agn, context.weights_folder)
    if guide.weights_sha256 != info.weights_sha256:
        raise WeightsError(
            f"agn.weights {config.agn.weights}: sha256 {guide.weights_sha256} now, but "
            f"{info.weights_sha256} when the features were cached; run the pipeline again"
        )
    apply_author_compat(guide.agn, config, train)
    return Scorer(guide.agn, trained.trans, trained.scene, config, trained.memory)


def _robustness(
    detector: Detector, training: TrainingInfo, train: Manifest, test: Manifest, progress: Progress
) -> Robustness | None:
    """What it bears of other light and position, on as many images as the config says."""
    config = detector.info.config
    most = config.evaluation.perturbed_images
    return try_changes(
        detector,
        choose(train, test, training.held_out, most, config.seed),
        lambda done, total: progress.advanced("images tried in other light", done, total),
    )


def _record(
    context: RunContext,
    config: GTransConfig,
    detector: DetectorInfo,
    training: TrainingInfo,
    scored: Evaluation,
    robustness: Robustness | None,
) -> EvaluationRecord:
    good = scored.scores[~scored.labels]
    per_defect = defect_results(scored, detector.threshold)
    return EvaluationRecord(
        category=context.category,
        data_digest=detector.data_digest,
        metrics=split_metrics(scored, detector.map_level) | mean_saturated(per_defect),
        per_defect=tuple(per_defect),
        threshold=detector.threshold,
        false_alarm_rate=detector.promise.rate
        if detector.promise
        else config.evaluation.false_alarm_rate,
        promise=detector.promise,
        held_out=len(detector.held_out_scores),
        good_images=len(good),
        good_flagged=int((good > detector.threshold).sum()),
        training_seconds=None if training.resumed_at is not None else training.seconds,
        robustness=robustness,
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
