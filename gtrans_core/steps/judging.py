"""Judging a trained model on the test split: the costly part of evaluate, which is done once.

What it finds depends on the model, the data and the config alone, not on the run or the gate.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gtrans_core.config import GTransConfig
from gtrans_core.data.manifest import Manifest
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import DetectorInfo
from gtrans_core.detector.packaging import calibrate
from gtrans_core.detector.promise import promise_of
from gtrans_core.drawing.gallery import draw_gallery
from gtrans_core.errors import WeightsError
from gtrans_core.evaluation.defect_result import mean_saturated
from gtrans_core.evaluation.evaluation import (
    Evaluation,
    defect_results,
    score_split,
    split_metrics,
)
from gtrans_core.evaluation.feedback_note import feedback_note
from gtrans_core.evaluation.image_table import image_results
from gtrans_core.evaluation.perturbed import choose, try_changes
from gtrans_core.evaluation.robustness import Robustness
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.features.weights import load_guide
from gtrans_core.network.scene import TileScenes
from gtrans_core.network.scorer import Scorer
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.good_images import GoodImages
from gtrans_core.steps.judged import Judged
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.training.author_compat import apply_author_compat
from gtrans_core.training.light import copies_wanted
from gtrans_core.training.scene_share import with_scene_share
from gtrans_core.training.trained_model import TrainedModel, load_trained
from gtrans_core.training.training_info import TrainingInfo


def judge(
    context: RunContext,
    given: GTransConfig,
    data_digest: str,
    model: Path,
    reference: FeatureCacheRef,
    train: Manifest,
    test: Manifest,
    detector: Path,
    progress: Progress,
) -> Judged:
    """Calibrate, package the detector, score the test split, take the metrics and draw.

    Args:
        context: the run, for its category and its store.
        given: the config, as it was given.
        data_digest: identity of both splits.
        model: folder that ``train`` wrote.
        reference: of the feature cache.
        train: the training split.
        test: the test split.
        detector: folder to write the packaged detector to.
        progress: told how far it is.

    Raises:
        ModelError, DataError, WeightsError, StorageError: when something handed over is damaged.
    """
    trained, info = load_trained(model)
    config = train.settled(given)
    good = GoodImages.open(reference, config, info)
    config = with_scene_share(config, trained.trans, good.features, good.positions)
    good = replace(good, config=config)
    scorer = _scorer(context, config, trained, info, train)
    package, note = _packaged(context, data_digest, config, scorer, good, info, progress)
    package.save(detector)
    threshold, map_level = package.info.threshold, package.map_level
    with scratch_folder() as scratch:  # heat maps of all images may be larger than memory
        scored = score_split(
            package.engine,
            test,
            config.image,
            Path(scratch),
            lambda done, total: progress.advanced("images scored", done, total),
        )
        judged = test.model_copy(update={"samples": scored.samples})
        robustness = _robustness(package, info, train, judged, progress)
        progress.said("computing exact metrics and drawing figures")
        per_defect = defect_results(scored, threshold)
        metrics = split_metrics(scored, map_level) | mean_saturated(per_defect)
        images = image_results(scored, threshold, map_level, config.image)
        gallery = draw_gallery(
            scored,
            images,
            metrics,
            threshold,
            map_level,
            package.info.held_out_scores,
            [{"step": r["step"], **r["values"]} for r in info.history],
            config.evaluation.examples_per_defect,
        )
        flagged = scored.scores[~scored.labels] > threshold
        return Judged(
            metrics=metrics,
            per_defect=tuple(per_defect),
            good_images=len(flagged),
            good_flagged=int(flagged.sum()),
            robustness=robustness,
            notes=" ".join(
                filter(None, (note, *what_is_settled(scorer, given, info), _left_out(scored)))
            ),
            feedback=feedback_note(scored, threshold),
            images=tuple(images),
            gallery=gallery,
        )


def _packaged(
    context: RunContext,
    data_digest: str,
    config: GTransConfig,
    scorer: Scorer,
    good: GoodImages,
    info: TrainingInfo,
    progress: Progress,
) -> tuple[Detector, str]:
    """The detector, and what there is to say of its precision."""
    cross_fitted = None if info.held_out else good.cross_fitted(scorer, progress)
    calibration = calibrate(scorer, config, good.views, progress.said, cross_fitted)
    promise = promise_of(
        len(calibration.scores),
        calibration.rate,
        config.evaluation.false_alarm_rate,
        None if cross_fitted is None else len(good.split.folds()),
    )
    facts = DetectorInfo(
        category=context.category,
        config=config,
        threshold=calibration.threshold,
        map_middle=calibration.map_middle,
        held_out_scores=tuple(calibration.scores.tolist()),
        promise=promise,
        data_digest=data_digest,
        training_key=info.key,
        weights_sha256=info.weights_sha256,
    )
    return Detector(scorer, facts, calibration.graph), calibration.note


def what_is_settled(scorer: Scorer, given: GTransConfig, info: TrainingInfo) -> list[str]:
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
    if info.in_other_light:
        said.append(
            "The detector has learnt from copies of the good images in darker and "
            "brighter light too (training.light_augmentation)."
        )
    elif copies_wanted(given):
        said.append(
            "The detector has not learnt from copies of the good images in darker "
            "and brighter light: held-out good images do not show that they help "
            "(training.light_augmentation)."
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
