"""The MLflow run that a registered version came from: its evaluation, and the images it was on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.detector.model_name import version_uri
from gtrans_core.errors import ModelError
from gtrans_core.evaluation import record as files
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.storage.documents import parse_json, read_bounded
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.tracking.client import translate_mlflow_errors
from gtrans_core.tracking.registry.run_files import fetch_run_file
from gtrans_core.tracking.registry.versions import find_version

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput


_LARGEST_REPORT = 1 << 28
"""Bytes; its pictures take some millions."""


@dataclass(frozen=True)
class Origin:
    """What the run of a version has.

    Attributes:
        run_id: the run.
        record: the evaluation that the version was judged by.
        report: its HTML page.
        images: folder or ``s3://`` prefix of the category then; empty where the run does not say.
        datasets: both splits as the run has them.
    """

    run_id: str
    record: EvaluationRecord
    report: bytes
    images: str
    datasets: tuple[DatasetInput, ...]


def origin_of(client: MlflowClient, category: str, version: int) -> Origin:
    """Read the run of a version.

    Raises:
        ModelError: when there is no such version, no run made it, or its record is damaged.
        TrackingError: when MLflow refuses, cannot be reached, or the run has no record.
    """
    with _reading(client, version_uri(category, version), "run") as (run_id, scratch):
        run = client.get_run(run_id)
        for name in (files.RECORD, files.REPORT):
            fetch_run_file(client, run_id, name, scratch)
        datasets = tuple(run.inputs.dataset_inputs) if run.inputs else ()
        return Origin(
            run_id=run_id,
            record=EvaluationRecord.read(scratch),
            report=_report(scratch / files.REPORT),
            images=next((_place(one) for one in datasets), ""),
            datasets=datasets,
        )


def report_of(client: MlflowClient, category: str, version: int) -> bytes:
    """The HTML report of a version.

    Raises:
        ModelError: when there is no such version, or no run made it.
        TrackingError: when MLflow refuses, cannot be reached, or the run has no report.
    """
    with _reading(client, version_uri(category, version), "report") as (run_id, scratch):
        return _report(fetch_run_file(client, run_id, files.REPORT, scratch))


def _report(path: Path) -> bytes:
    return read_bounded(path, "the report of a run", ModelError, _LARGEST_REPORT)


@contextmanager
def _reading(client: MlflowClient, uri: str, what: str) -> Iterator[tuple[str, Path]]:
    """The run of a version, and a folder for its files."""
    run_id = find_version(client, uri).run_id
    if not run_id:
        raise ModelError(f"{uri}: no MLflow run made it")
    with (
        translate_mlflow_errors(client.tracking_uri, f"read the {what} of {uri}"),
        scratch_folder() as scratch,
    ):
        yield str(run_id), Path(scratch)


def _place(dataset: DatasetInput) -> str:
    return str(parse_json(dataset.dataset.source).get("uri", ""))
