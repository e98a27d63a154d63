"""One MLflow run for each category of a pipeline run, found again by every step through its tags.

This is the run that people compare: it holds config, metrics and files. Runs of steps lie below it
(``step_run``), and one of several categories heads theirs (``sweep``). Only the category's run has
the tags that filters go by: ``gtrans.run_key`` finds all categories of a pipeline run,
``gtrans.category`` all runs of a category.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gtrans_core import __version__
from gtrans_core.data.manifest import Manifest, data_digest
from gtrans_core.errors import GTransError, TrackingError
from gtrans_core.lineage import UNKNOWN, git_sha
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.tracking.client import (
    TrackingAddress,
    connect,
    has_record,
    injected_run_id,
    translate_mlflow_errors,
)
from gtrans_core.tracking.experiment import NOTE_TAG, experiment_of
from gtrans_core.tracking.person import who

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

PREFIX = "gtrans."
CATEGORY_TAG = PREFIX + "category"
RUN_KEY_TAG = PREFIX + "run_key"
DATA_DIGEST_TAG = PREFIX + "data_digest"
VERSION_TAG = PREFIX + "registered_version"
BASE_TAG = PREFIX + "recalibrated_from"
"""The version whose networks a recalibrated one has."""
FAILURE_TAG = PREFIX + "failure"
STEP_TAG = PREFIX + "step"
SWEEP_TAG = PREFIX + "sweep"
PARENT_TAG = "mlflow.parentRunId"
# What MLflow takes.
_BATCH = 100
_VALUE_LENGTH = 6000
_DATASET_DIGEST_LENGTH = 36


def find_or_create_run(
    address: TrackingAddress, run_key: str, category: str, name: str = "", step: str = ""
) -> str:
    """The run of this pipeline run and category: adopted, found by its tags, or made.

    A run that an orchestrator injected (``MLFLOW_RUN_ID``) is adopted by its id. Of two steps that
    make the run at the same time, both end up with the earlier one.

    Kubeflow injects a run for each step. The run of register, which logs everything, becomes the
    category's; the run of a step that is named here only gets the tag ``gtrans.step``.

    Args:
        address: where.
        run_key: identifies the pipeline run (the KFP job id).
        category: what is trained; runs of several categories may share one key.
        name: shown in lists; by default ``CATEGORY-KEY``.
        step: the step that writes, where an injected run is that step's own.

    Returns:
        The run's id.

    Raises:
        TrackingError: when MLflow cannot be reached, or has no such injected run.
    """
    client = connect(address.server_uri)
    tags = {CATEGORY_TAG: category, RUN_KEY_TAG: run_key}
    injected = injected_run_id()
    with translate_mlflow_errors(client.tracking_uri, f"open the run of {category}"):
        if injected:
            return _adopt(client, injected, {STEP_TAG: step} if step else tags)
        experiment = experiment_of(client, address)
        found = _earliest(client, experiment, tags)
        if found:
            return found
        return _create(client, experiment, tags, name or f"{category}-{run_key}")


def open_run(
    address: TrackingAddress, run_key: str, category: str, name: str = "", step: str = ""
) -> RunLogger:
    """``find_or_create_run``, ready to be written to."""
    run_id = find_or_create_run(address, run_key, category, name, step)
    return RunLogger(connect(address.server_uri), run_id)


def fail_run(address: TrackingAddress, run_key: str, category: str, reason: str) -> None:
    """Mark the run FAILED if there is one, and say why in the tag ``gtrans.failure``.

    Where MLflow does not answer, the run stays as it is.
    """
    if not has_record(address.server_uri):
        return
    with suppress(GTransError):
        client = connect(address.server_uri)
        with translate_mlflow_errors(client.tracking_uri, f"end the run of {category}"):
            experiment = client.get_experiment_by_name(address.experiment)
            tags = {CATEGORY_TAG: category, RUN_KEY_TAG: run_key}
            found = experiment and _earliest(client, experiment.experiment_id, tags)
        if found:
            mark_failed(RunLogger(client, found), reason)


class RunLogger:
    """Writes to one run by its id. Every method may be called again with the same values.

    Every method raises TrackingError, in one line, when MLflow refuses or stays unreachable.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client = client
        self.run_id = run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log a flat dict as parameters. MLflow never lets a parameter change its value."""
        from mlflow.entities import Param

        entities = [Param(name, str(value)[:_VALUE_LENGTH]) for name, value in params.items()]
        with self._translating("log parameters"):
            for start in range(0, len(entities), _BATCH):
                self.client.log_batch(self.run_id, params=entities[start : start + _BATCH])

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log final metrics: one value each; one that is there already is not logged again."""
        with self._translating("log metrics"):
            logged = self._run().data.metrics
            for name, value in metrics.items():
                if logged.get(name) != value:
                    self.client.log_metric(self.run_id, name, value)

    def log_lineage(self, facts: Mapping[str, str]) -> None:
        """Log facts as tags ``gtrans.NAME``."""
        from mlflow.entities import RunTag

        tags = [RunTag(tag, value) for tag, value in prefixed(facts).items()]
        with self._translating("log lineage"):
            for start in range(0, len(tags), _BATCH):
                self.client.log_batch(self.run_id, tags=tags[start : start + _BATCH])

    def describe(self, text: str) -> None:
        """What the run's page shows as its description (Markdown)."""
        with self._translating("describe the run"):
            self.client.set_tag(self.run_id, NOTE_TAG, text)

    def log_artifact_bytes(self, name: str, data: bytes) -> None:
        """Store a file, e.g. ``figures/roc.png``, among the run's artifacts."""
        folder, _, leaf = name.rpartition("/")
        with self._translating(f"store {name}"), scratch_folder() as scratch:
            file = Path(scratch) / leaf
            file.write_bytes(data)
            self.client.log_artifact(self.run_id, str(file), folder or None)

    def log_dataset(self, train: Manifest, test: Manifest) -> None:
        """Log both splits as the run's data sets, and the category's data digest as a tag."""
        inputs = [_dataset_input(train, "training"), _dataset_input(test, "testing")]
        self.log_same_datasets(inputs, data_digest(train, test))

    def log_same_datasets(self, inputs: Sequence[DatasetInput], digest: str) -> None:
        """Log splits that another run has as its data sets, and their data digest as a tag."""
        with self._translating("log the data sets"):
            self.client.log_inputs(self.run_id, datasets=list(inputs))
            self.client.set_tag(self.run_id, DATA_DIGEST_TAG, digest)

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
        """End the run. An adopted run is left to the orchestrator that made it.

        A run that failed before and is now finished loses the tag that says why it failed.
        """
        if self.run_id == injected_run_id():
            return
        with self._translating(f"set the run {status}"):
            if status == "FINISHED" and FAILURE_TAG in self._run().data.tags:
                self.client.delete_tag(self.run_id, FAILURE_TAG)
            self.client.set_terminated(self.run_id, status)

    def page(self) -> str:
        """The run's page, relative to the MLflow UI's address."""
        with self._translating("read the run"):
            return f"#/experiments/{self._run().info.experiment_id}/runs/{self.run_id}"

    def _run(self) -> Run:
        return self.client.get_run(self.run_id)

    def _translating(self, doing: str) -> Any:
        return translate_mlflow_errors(self.client.tracking_uri, doing)


def mark_failed(run: RunLogger, reason: str) -> None:
    """End a run as FAILED, with the reason in the tag ``gtrans.failure``.

    Raises:
        TrackingError: when MLflow refuses or cannot be reached.
    """
    run.log_lineage({FAILURE_TAG: reason})
    run.finish("FAILED")


def prefixed(facts: Mapping[str, str], length: int = _VALUE_LENGTH) -> dict[str, str]:
    """Facts as tags: names start with ``gtrans.``, values fit into MLflow."""
    return {
        PREFIX + name.removeprefix(PREFIX): str(value)[:length] for name, value in facts.items()
    }


def origin_tags() -> dict[str, str]:
    """Who made a run, and with what, as MLflow's pages show it."""
    facts = {
        "mlflow.user": who(),
        "mlflow.source.name": f"gtrans {__version__}",
        "mlflow.source.type": "JOB" if os.environ.get("KFP_RUN_ID") else "LOCAL",
    }
    commit = git_sha().partition("-")[0]
    return {**facts, **({"mlflow.source.git.commit": commit} if commit != UNKNOWN else {})}


def quoted(value: str) -> str:
    """A string as MLflow's filter language writes it, which knows no escapes.

    Raises:
        TrackingError: for a value with a quote.
    """
    if "'" in value:
        raise TrackingError(f"{value}: a name with a quote cannot be searched for in MLflow")
    return f"'{value}'"


def _adopt(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> str:
    run = client.get_run(run_id)
    for tag, value in tags.items():
        client.set_tag(run.info.run_id, tag, value)
    return str(run.info.run_id)


def _earliest(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> str | None:
    """The run that all steps agree on.

    Later ones are withdrawn: another step made one at the same time and died before it did so
    itself, or MLflow was asked twice because its first answer was lost.
    """
    found = client.search_runs(
        [experiment],
        " and ".join(f"tags.`{tag}` = {quoted(value)}" for tag, value in tags.items()),
    )
    runs = [
        str(run.info.run_id)
        for run in sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))
    ]
    for run in runs[1:]:
        _withdraw(client, run)
    return runs[0] if runs else None


def _withdraw(client: MlflowClient, run: str) -> None:
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):  # the other step withdrew it meanwhile
        client.delete_run(run)


def _create(client: MlflowClient, experiment: str, tags: Mapping[str, str], name: str) -> str:
    all_tags = {**tags, **origin_tags()}
    created = client.create_run(experiment, tags=all_tags, run_name=name).info.run_id
    return _earliest(client, experiment, tags) or str(created)


def _dataset_input(manifest: Manifest, context: str) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=f"{manifest.category}-{manifest.split}",
        digest=manifest.digest[:_DATASET_DIGEST_LENGTH],
        source_type="s3" if manifest.root.startswith("s3://") else "local",
        source=json.dumps({"uri": manifest.root, "origin": manifest.source}),
        profile=json.dumps({"images": len(manifest.samples), **manifest.counts()}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
