"""Summarize: the categories of one run, ranked; the run fails when one of them did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gtrans_core.errors import CategoriesError
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.storage import write_atomic
from gtrans_core.tracking.client import has_record
from gtrans_core.tracking.sweep import CategoryResult, record_sweep, sweep_results

RANKED_BY = "image_auroc"
_SHOWN = (RANKED_BY, "pixel_auroc", "au_pro_30")
RANKING_FILE, SUMMARY_FILE = "ranking.json", "summary.md"


def summarize(context: RunContext, categories: Sequence[str], ranking: Path, summary: Path) -> str:
    """Rank what is registered, name what failed; both as files and on a run in MLflow.

    Args:
        context: the run; its category is empty.
        categories: those that the run was to train.
        ranking: JSON file to write: rank (under the key ``place``), category, version, metrics; and
            what failed, why.
        summary: the same as a Markdown page.

    Returns:
        The line that says how it went.

    Raises:
        CategoriesError: when a category failed, naming each one with its reason.
        TrackingError: when MLflow cannot be reached.
    """
    progress = Progress("summarize")
    progress.started()
    results = sweep_results(context.tracking, context.run_key, categories)
    registered = sorted((r for r in results if not r.failure), key=_best_first)
    failed = [result for result in results if result.failure]
    content = {
        "run_key": context.run_key,
        "ranked_by": RANKED_BY,
        "ranking": [_row(rank, result) for rank, result in enumerate(registered, start=1)],
        "failed": [{"category": r.category, "reason": r.failure} for r in failed],
    }
    files = {
        RANKING_FILE: json.dumps(content, indent=1).encode(),
        SUMMARY_FILE: _page(registered, failed).encode(),
    }
    write_atomic(ranking, files[RANKING_FILE])
    write_atomic(summary, files[SUMMARY_FILE])
    if has_record(context.tracking.server_uri):
        record_sweep(context.tracking, context.run_key, results, files)
    verdict = f"{len(registered)} of {len(results)} categories are registered"
    if failed:
        named = "; ".join(f"{result.category} ({result.failure})" for result in failed)
        raise CategoriesError(f"{verdict}; failed: {named}; the same command does only these again")
    progress.said(verdict)
    progress.finished(**content, summary=str(summary))
    return verdict


def _best_first(result: CategoryResult) -> tuple[float, str]:
    """The best first; without the metric last."""
    value = (result.metrics or {}).get(RANKED_BY)
    return (1.0 if value is None else -value, result.category)


def _row(rank: int, result: CategoryResult) -> dict[str, Any]:
    return {
        "place": rank,
        "category": result.category,
        "version": result.version,
        "run_id": result.run_id,
        "metrics": result.metrics,
    }


def _page(registered: Sequence[CategoryResult], failed: Sequence[CategoryResult]) -> str:
    lines = [
        f"| | category | {' | '.join(_SHOWN)} | version |",
        f"|---|---|{'---|' * len(_SHOWN)}---|",
    ]
    for rank, result in enumerate(registered, start=1):
        values = ((result.metrics or {}).get(name) for name in _SHOWN)
        cells = ("not available" if value is None else f"{value:.4f}" for value in values)
        lines.append(f"| {rank} | {result.category} | {' | '.join(cells)} | {result.version} |")
    if failed:
        lines += ["", "**Failed**", ""]
        lines += [f"- {result.category}: {result.failure}" for result in failed]
    return "\n".join(lines) + "\n"
