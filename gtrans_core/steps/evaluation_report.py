"""The report of an evaluation: what the step found, laid out for a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gtrans_core.detector.model_name import CHALLENGER, alias_uri
from gtrans_core.drawing.light import light_section
from gtrans_core.drawing.report import DefectRow, ReportData, Step, Training, render_report
from gtrans_core.drawing.shown import Gallery
from gtrans_core.evaluation.advice import Findings, next_steps
from gtrans_core.evaluation.other_thresholds import threshold_rows
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.steps.context import RunContext
from gtrans_core.system.commands import next_command
from gtrans_core.training.training_info import TrainingInfo


def evaluation_report(
    context: RunContext,
    found: Findings,
    gallery: Gallery,
    training: TrainingInfo,
    calibration_note: str,
    feedback: str,
) -> str:
    """The report as HTML.

    Args:
        context: the run, which its commands go on from.
        found: record, verdict and images.
        gallery: all that is drawn.
        training: of the detector.
        calibration_note: what is packaged in another way than wanted; empty: nothing.
        feedback: a sentence on the test images that people marked; empty: there are none.
    """
    record = found.record
    return render_report(
        ReportData(
            **_numbers(record, training),
            conclusion=found.conclusion,
            steps=tuple(
                Step(step.why, step.what, _command(context, step.command))
                for step in next_steps(found)
            ),
            mistakes=gallery.mistakes,
            examples=dict(gallery.examples),
            chart=gallery.chart,
            thresholds=threshold_rows(
                found.images, found.held_out, record.threshold, record.false_alarm_rate
            ),
            feedback=feedback,
            curves=gallery.curves,
            light=None if record.robustness is None else light_section(record.robustness),
            commands=_commands(context, record.category),
            notes=(*_notes(record, training), *([calibration_note] if calibration_note else [])),
        )
    )


def _numbers(record: EvaluationRecord, training: TrainingInfo) -> dict[str, Any]:
    """What the report takes from the record as it is."""
    return {
        "category": record.category,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "metrics": record.metrics,
        "per_defect": tuple(
            DefectRow(
                defect=r.defect,
                images=r.images,
                caught=r.caught,
                image_auroc=r.image_auroc,
                au_pro=r.au_pro_30,
                au_spro=tuple(r.saturated.values()) or None,
            )
            for r in record.per_defect
        ),
        "good_images": record.good_images,
        "good_flagged": record.good_flagged,
        "threshold": record.threshold,
        "false_alarm_rate": record.false_alarm_rate,
        "held_out": record.held_out,
        "promise": record.promise,
        "training": Training(
            steps=training.steps,
            images=training.trained_on,
            seconds=record.training_seconds,
        ),
        "lineage": record.lineage,
        "config": record.config,
    }


def _command(context: RunContext, arguments: Sequence[str]) -> str:
    """The whole line, which works from any folder; empty where there is nothing to call."""
    if not arguments:
        return ""
    verb, *rest = arguments
    own = context.tracking_uri == f"sqlite:///{context.store}/mlflow.db"
    # Another record than the store's own is in the profile, whose name the step does not know.
    profile = [] if own else ["--profile", "PROFILE"]
    return next_command(verb, *rest, *profile, "--store", context.store)


def _commands(context: RunContext, category: str) -> dict[str, str]:
    model = alias_uri(category, CHALLENGER)
    return {
        "Score an image with the registered model": _command(
            context, ("predict", "IMAGE", "--model", model)
        ),
        "Open its record in MLflow": _command(context, ("ui",)),
    }


def _notes(record: EvaluationRecord, training: TrainingInfo) -> tuple[str, ...]:
    kept = (
        "The weights after the last step were kept."
        if training.config.training.selection == "last"
        else "The weights with the lowest loss on good images that the student (Trans) did not "
        "learn from were kept."
    )
    compat = (
        "Trained with author_compat, which repeats flaws of the authors' code: only for "
        "comparing with the paper."
    )
    source = (
        f"from {record.held_out} good images that were held out of training"
        if record.promise is None or record.promise.how == "held_out"
        else f"from all {record.held_out} good images, in {record.promise.folds} folds"
    )
    return (
        f"The threshold comes {source}.",
        f"{kept} No test image was used to train, to select or to calibrate.",
        *([compat] if training.config.research.author_compat else []),
    )
