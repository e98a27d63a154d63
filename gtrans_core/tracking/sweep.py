"""A run over many categories in MLflow: what became of each one, and the run that heads them.

Each category has a run of its own, found by the tag ``gtrans.run_key``; steps have runs below it
(``step_run``). The heading run carries neither that tag nor ``gtrans.category``, so that it is
never among the runs that people compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gtrans_core.tracking.client import (
    TrackingAddress,
    connect_existing,
    has_record,
    injected_run_id,
    translate_mlflow_errors,
)
from gtrans_core.tracking.experiment import experiment_of
from gtrans_core.tracking.runs import (
    CATEGORY_TAG,
    FAILURE_TAG,
    PARENT_TAG,
    RUN_KEY_TAG,
    SWEEP_TAG,
    VERSION_TAG,
    RunLogger,
    quoted,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_NO_RECORD = "it failed before MLflow had a run of it; the log of its first steps says why"
_UNFINISHED = "it did not get to its registration; the log of its last step says why"


@dataclass(frozen=True)
class CategoryResult:
    """What the record holds of one category."""

    category: str
    run_id: str = ""
    """Empty: it has no run."""
    version: str = ""
    """Of its registered model; empty: it failed."""
    failure: str = ""
    """Why, in one line; empty where it is registered."""
    metrics: dict[str, float] | None = None


def sweep_results(
    address: TrackingAddress, run_key: str, categories: Sequence[str]
) -> list[CategoryResult]:
    """What became of each category, in the order asked for.

    Raises:
        TrackingError: when MLflow cannot be read.
    """
    if not has_record(address.server_uri):  # no category got so far as to make it
        return [CategoryResult(category, failure=_NO_RECORD) for category in categories]
    client = connect_existing(address.server_uri)
    with translate_mlflow_errors(client.tracking_uri, "read the runs of the categories"):
        newest = _runs_by_category(client, address, run_key)
    return [_result(category, newest.get(category)) for category in categories]


def record_sweep(
    address: TrackingAddress,
    run_key: str,
    results: Sequence[CategoryResult],
    files: dict[str, bytes],
) -> None:
    """One run that heads those of the categories: counts, files, and the categories below it.

    An injected run (``MLFLOW_RUN_ID``) becomes the heading run; its maker sets what is below.

    Raises:
        TrackingError: when MLflow cannot be written.
    """
    client = connect_existing(address.server_uri)
    with translate_mlflow_errors(client.tracking_uri, "record the run of the categories"):
        run = RunLogger(client, _heading_run(client, address, run_key))
        failed = [result.category for result in results if result.failure]
        run.log_lineage({"failed_categories": ", ".join(failed)} if failed else {})
        run.log_metrics({"categories": len(results), "categories_failed": len(failed)})
        for name, data in files.items():
            run.log_artifact_bytes(name, data)
        if injected_run_id() is None:
            for result in results:
                if result.run_id:
                    client.set_tag(result.run_id, PARENT_TAG, run.run_id)
        run.finish("FAILED" if failed else "FINISHED")


def _runs_by_category(
    client: MlflowClient, address: TrackingAddress, run_key: str
) -> dict[str, Run]:
    """The newest run of each category, page by page."""
    newest: dict[str, Run] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment_of(client, address)],
            f"tags.`{RUN_KEY_TAG}` = {quoted(run_key)}",
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        newest |= {run.data.tags.get(CATEGORY_TAG, ""): run for run in page}
        token = page.token
        if not token:
            return newest


def _heading_run(client: MlflowClient, address: TrackingAddress, run_key: str) -> str:
    injected = injected_run_id()
    if injected:
        client.set_tag(injected, SWEEP_TAG, run_key)
        return injected
    experiment = experiment_of(client, address)
    there = client.search_runs([experiment], f"tags.`{SWEEP_TAG}` = {quoted(run_key)}")
    if there:  # the step is tried again
        return str(there[0].info.run_id)
    made = client.create_run(experiment, tags={SWEEP_TAG: run_key}, run_name=f"sweep-{run_key}")
    return str(made.info.run_id)


def _result(category: str, run: Run | None) -> CategoryResult:
    if run is None:
        return CategoryResult(category, failure=_NO_RECORD)
    version = run.data.tags.get(VERSION_TAG, "")
    if version:
        return CategoryResult(category, run.info.run_id, version, metrics=dict(run.data.metrics))
    failure = run.data.tags.get(FAILURE_TAG, _UNFINISHED)
    return CategoryResult(category, run.info.run_id, failure=failure)
