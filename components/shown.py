"""What an evaluation shows on Kubeflow's own pages, beside its report."""

from pathlib import Path
from typing import Any

_MOST_POINTS = 200


def show_evaluation(evaluation: Path, classification: Any, headline: Path) -> None:
    """Fill a ClassificationMetrics with ROC and confusion matrix, and write the headline.

    Args:
        evaluation: the folder that the step evaluate wrote.
        classification: a ``dsl.ClassificationMetrics``; its ROC stays empty where good or
            defective test images are missing.
        headline: Markdown file to write.
    """
    from gtrans_core.evaluation.record import EvaluationRecord
    from gtrans_core.storage import write_atomic

    record = EvaluationRecord.read(evaluation)
    write_atomic(headline, markdown(record).encode())
    good_ok = record.good_images - record.good_flagged
    missed = record.defective_images - record.defects_caught
    classification.log_confusion_matrix(
        ["good", "defective"],
        [[good_ok, record.good_flagged], [missed, record.defects_caught]],
    )
    table = evaluation / "images.parquet"
    if table.is_file() and record.good_images and record.defective_images:
        classification.log_roc_curve(*roc_points(table))


def markdown(record: Any) -> str:
    """The outcome of an ``EvaluationRecord`` in words, and a row for each kind of defect."""
    line = record.in_short
    rows = [
        f"| {kind.defect.replace('|', ' ')} | {kind.caught} of {kind.images} |"
        for kind in record.per_defect
    ]
    table = ["", "| kind of defect | caught |", "|---|---|", *rows] if rows else []
    return "\n".join([f"**{line[0].upper()}{line[1:]}.**", *table, ""])


def roc_points(table: Path) -> tuple[list[float], list[float], list[float]]:
    """False-positive rates, true-positive rates and thresholds of the test images, as numbers.

    At most ``_MOST_POINTS``: Kubeflow keeps them in a database.

    Args:
        table: ``images.parquet``, with the columns ``label`` and ``score``.
    """
    import numpy as np
    import pyarrow.parquet as pq

    rows = pq.read_table(table, columns=["label", "score"])
    scores = rows["score"].to_numpy()
    curve = _roc_curve(np.array([label != "good" for label in rows["label"].to_pylist()]), scores)
    chosen = np.unique(np.linspace(0, len(curve[0]) - 1, _MOST_POINTS).round().astype(int))
    rates, caught, thresholds = (values[chosen].astype(float) for values in curve)
    # The first threshold is infinite, which JSON cannot say.
    thresholds = np.minimum(thresholds, float(scores.max()) + 1)
    return rates.tolist(), caught.tolist(), thresholds.tolist()


def _roc_curve(defective: Any, scores: Any) -> tuple[Any, Any, Any]:
    """As scikit-learn's ``roc_curve``, which takes a second to import: its corners only."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of equal scores
    hits = np.cumsum(defective[order])[ends]
    alarms = 1 + ends - hits
    bends = (np.diff(alarms, 2) != 0) | (np.diff(hits, 2) != 0)
    corners = np.concatenate(([True], bends, [True]))[-len(ends) :]
    rates, caught = (np.append(0, of[corners]) / of[-1] for of in (alarms, hits))
    return rates, caught, np.append(np.inf, scores[order][ends][corners])
