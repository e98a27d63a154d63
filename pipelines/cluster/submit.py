"""Runs on a Kubeflow server: start, follow, list, stop, repeat on a schedule."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gtrans.pipelines.cluster.kubeflow import Kubeflow
from gtrans.pipelines.graphs.compile import compiled
from gtrans.pipelines.profiles import Profile
from gtrans_core.errors import ConfigError, KubeflowError
from gtrans_core.storage.scratch import scratch_folder

POLL_SECONDS = 5.0
SUCCEEDED = "SUCCEEDED"
_ENDED = (SUCCEEDED, "FAILED", "SKIPPED", "CANCELED")


@dataclass(frozen=True)
class Submitted:
    """A run on the server."""

    run_id: str
    name: str
    state: str
    page: str
    created: str = ""


@dataclass(frozen=True)
class Scheduled:
    """A recurring run on the server."""

    schedule_id: str
    name: str
    cron: str
    enabled: bool


@dataclass(frozen=True)
class Pipeline:
    """An uploaded version of a pipeline, and what its runs belong to."""

    pipeline_id: str
    version_id: str
    experiment_id: str
    service_account: str | None = None
    """Of its pods; None: the installation's own."""


def upload(server: Kubeflow, name: str, profile: Profile, experiment: str) -> Pipeline:
    """Compile a pipeline for a profile and upload it, unless this very YAML is there.

    Args:
        server: where to.
        name: one of ``PIPELINES``.
        profile: where its runs go.
        experiment: Kubeflow's experiment; made if need be.

    Raises:
        KubeflowError: when the server refuses or does not answer.
    """
    text = compiled(name, profile)
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    client, shown = server.client, f"gtrans-{name}"
    with scratch_folder() as folder:
        path = Path(folder) / f"{name}.yaml"
        path.write_text(text, encoding="ascii")
        pipeline_id = server.call(f"look for {shown}", lambda: client.get_pipeline_id(shown))
        if pipeline_id is None:
            made = server.call(
                f"upload {shown}",
                lambda: client.upload_pipeline(str(path), shown, namespace=server.namespace),
                repeatable=False,
                answers="pipeline_id",
            )
            pipeline_id = made.pipeline_id
        version_id = _version(server, pipeline_id, version, path)
    filed = server.call(
        f"open the experiment {experiment}",
        lambda: client.create_experiment(experiment, namespace=server.namespace),
        answers="experiment_id",
    )
    account = (profile.cluster.service_account if profile.cluster else "") or None
    return Pipeline(pipeline_id, version_id, filed.experiment_id, account)


def start(
    server: Kubeflow, pipeline: Pipeline, name: str, parameters: Mapping[str, Any]
) -> Submitted:
    """Start a run.

    Raises:
        KubeflowError: when the server refuses or does not answer.
    """
    run = server.call(
        f"start the run {name}",
        lambda: server.client.run_pipeline(
            pipeline.experiment_id,
            name,
            params=dict(parameters),
            pipeline_id=pipeline.pipeline_id,
            version_id=pipeline.version_id,
            service_account=pipeline.service_account,
        ),
        repeatable=False,
        answers="run_id",
    )
    return _submitted(server, run)


def follow(
    server: Kubeflow, runs: Sequence[Submitted], tell: Callable[[str, str, str], None]
) -> list[Submitted]:
    """Wait until all runs have ended.

    Args:
        server: where they run.
        runs: the runs.
        tell: called with a run's name, a step's name (empty: the run's own) and its new state.

    Returns:
        The runs in their last state.

    Raises:
        KubeflowError: when the server stays away longer than the retries last.
    """
    seen: dict[tuple[str, str], str] = {}
    ended: dict[str, Submitted] = {}
    while len(ended) < len(runs):
        for run in runs:
            if run.run_id in ended:
                continue
            now = server.call(f"ask for {run.name}", partial(server.client.get_run, run.run_id))
            for step, state in _states(now):
                if seen.get((run.run_id, step)) != state:
                    seen[run.run_id, step] = state
                    tell(run.name, step, state)
            if now.state in _ENDED:
                ended[run.run_id] = _submitted(server, now)
        if len(ended) < len(runs):
            time.sleep(POLL_SECONDS)
    return [ended[run.run_id] for run in runs]


def list_runs(server: Kubeflow, last: int) -> list[Submitted]:
    """The newest runs.

    Raises:
        KubeflowError: when the server refuses or does not answer.
    """
    doing = "list the runs"
    found = server.call(
        doing,
        lambda: server.client.list_runs(
            page_size=last, sort_by="created_at desc", namespace=server.namespace
        ),
    )
    _require_listed(server, doing, found.runs or (), "run_id")
    return [_submitted(server, run) for run in found.runs or ()]


def stop(server: Kubeflow, run_id: str) -> None:
    """Ask a run to end; its steps get SIGTERM and keep what they have.

    Raises:
        KubeflowError: when there is no such run, or the server refuses or does not answer.
    """
    doing = f"stop the run {run_id}"
    # The API answers {} to a stop, and so may anybody: a run that is there is shown first.
    server.call(doing, lambda: server.client.get_run(run_id), answers="run_id")
    server.call(doing, lambda: server.client.terminate_run(run_id))


def schedule(
    server: Kubeflow, pipeline: Pipeline, name: str, cron: str, parameters: Mapping[str, Any]
) -> Scheduled:
    """Repeat a run; missed times are not caught up on, and none starts while one is going on.

    Args:
        server: where.
        pipeline: what.
        name: shown in lists.
        cron: six fields, the first being seconds: ``0 0 3 * * *`` is three o'clock each night.
        parameters: of each run.

    Raises:
        ConfigError: for a cron expression of another number of fields.
        KubeflowError: when the server refuses or does not answer.
    """
    if len(cron.split()) != 6:
        raise ConfigError(
            f"--cron '{cron}': expected six fields: second minute hour day month weekday"
        )
    made = server.call(
        f"schedule {name}",
        lambda: server.client.create_recurring_run(
            pipeline.experiment_id,
            name,
            cron_expression=cron,
            no_catchup=True,
            max_concurrency=1,
            params=dict(parameters),
            pipeline_id=pipeline.pipeline_id,
            version_id=pipeline.version_id,
            service_account=pipeline.service_account,
        ),
        repeatable=False,
        answers="recurring_run_id",
    )
    return _scheduled(made)


def list_schedules(server: Kubeflow, last: int) -> list[Scheduled]:
    """The newest recurring runs.

    Raises:
        KubeflowError: when the server refuses or does not answer.
    """
    doing = "list the schedules"
    found = server.call(
        doing,
        lambda: server.client.list_recurring_runs(
            page_size=last, sort_by="created_at desc", namespace=server.namespace
        ),
    )
    _require_listed(server, doing, found.recurring_runs or (), "recurring_run_id")
    return [_scheduled(one) for one in found.recurring_runs or ()]


def unschedule(server: Kubeflow, schedule_id: str) -> None:
    """Delete a recurring run; runs that it started stay.

    Raises:
        KubeflowError: when there is none, or the server refuses or does not answer.
    """
    doing, client = f"delete the schedule {schedule_id}", server.client
    server.call(doing, lambda: client.get_recurring_run(schedule_id), answers="recurring_run_id")
    server.call(doing, lambda: client.delete_recurring_run(schedule_id))


def require_success(runs: Sequence[Submitted]) -> None:
    """Check that all runs succeeded.

    Raises:
        KubeflowError: naming those that did not, with their pages.
    """
    failed = [run for run in runs if run.state != SUCCEEDED]
    if failed:
        named = "; ".join(f"{run.name} {run.state} ({run.page})" for run in failed)
        raise KubeflowError(f"{len(failed)} of {len(runs)} runs did not succeed: {named}")


def _require_listed(server: Kubeflow, doing: str, found: Sequence[Any], key: str) -> None:
    """What is listed is named; where nothing is, the server is one that has runs at all."""
    if not found:
        server.require_api(doing)
    if not all(getattr(one, key, None) for one in found):
        raise server.foreign(doing)


def _version(server: Kubeflow, pipeline_id: str, version: str, path: Path) -> str:
    named = {"operation": "EQUALS", "key": "display_name", "stringValue": version}
    there = server.call(
        f"look for version {version}",
        lambda: server.client.list_pipeline_versions(
            pipeline_id, filter=json.dumps({"predicates": [named]})
        ),
    )
    if there.pipeline_versions:
        return str(there.pipeline_versions[0].pipeline_version_id)
    made = server.call(
        f"upload version {version}",
        lambda: server.client.upload_pipeline_version(str(path), version, pipeline_id=pipeline_id),
        repeatable=False,
        answers="pipeline_version_id",
    )
    return str(made.pipeline_version_id)


def _states(run: Any) -> list[tuple[str, str]]:
    """The run's own state, before it those of its steps as far as there are pods of them."""
    tasks = (run.run_details.task_details or ()) if run.run_details else ()
    steps = [(task.display_name, task.state) for task in tasks if task.state]
    return [*steps, ("", run.state)] if run.state else steps


def _submitted(server: Kubeflow, run: Any) -> Submitted:
    created = f"{run.created_at:%Y-%m-%d %H:%M}" if run.created_at else ""
    page = server.run_page(run.run_id)
    return Submitted(run.run_id, run.display_name, run.state or "PENDING", page, created)


def _scheduled(made: Any) -> Scheduled:
    cron = made.trigger.cron_schedule.cron if made.trigger and made.trigger.cron_schedule else ""
    return Scheduled(made.recurring_run_id, made.display_name, cron, made.status == "ENABLED")
