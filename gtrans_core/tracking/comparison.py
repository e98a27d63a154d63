"""Runs of one category side by side: grouped over seeds, ranked, and what differs between them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gtrans_core.config import current_key
from gtrans_core.errors import TrackingError
from gtrans_core.evaluation.record import HEADLINE
from gtrans_core.evaluation.spread import Spread
from gtrans_core.tracking.client import translate_mlflow_errors
from gtrans_core.tracking.duel import Duel, Standing, duel_of, standings_of
from gtrans_core.tracking.runs import (
    BASE_TAG,
    CATEGORY_TAG,
    DATA_DIGEST_TAG,
    VERSION_TAG,
    quoted,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SECONDS = "training_seconds"
_SEED = "seed"
_RECALIBRATED = "recalibrated version"
_MOST_RUNS = 1000


@dataclass(frozen=True)
class Trial:
    """One run.

    Attributes:
        run_id: MLflow's id.
        started: milliseconds since 1970.
        seed: of the config.
        config: every other knob, by its name of today, as MLflow shows it.
        data_digest: identity of both splits; empty when the run did not get that far.
        metrics: final values by name.
        version: the registered version that it made, or that was there already; None: none.
    """

    run_id: str
    started: int
    seed: str
    config: dict[str, str]
    data_digest: str
    metrics: dict[str, float]
    version: int | None = None


@dataclass(frozen=True)
class Group:
    """Runs of one config on the same data, the newest of each seed, the newest first."""

    trials: tuple[Trial, ...]

    @property
    def config(self) -> dict[str, str]:
        """The config that they share, without the seed."""
        return self.trials[0].config

    @property
    def data_digest(self) -> str:
        """The data that they share."""
        return self.trials[0].data_digest

    def spread(self, metric: str) -> Spread | None:
        """Mean and sample standard deviation; None where no run has the metric as a number."""
        values = [trial.metrics.get(metric, math.nan) for trial in self.trials]
        finite = [value for value in values if math.isfinite(value)]
        return Spread.over(finite) if finite else None


@dataclass(frozen=True)
class Comparison:
    """Groups in the order of their rank.

    Attributes:
        groups: the best first.
        experiment_id: where the runs are.
        differing: the config keys that are not the same in all groups.
        standings: of every registered version, by its number.
        duel: the challenger beside the champion, where there are both.
    """

    groups: tuple[Group, ...]
    experiment_id: str
    differing: tuple[str, ...]
    standings: Mapping[int, Standing] = field(default_factory=dict)
    duel: Duel | None = None

    @property
    def same_data(self) -> bool:
        """Whether all runs were judged on the same, known data."""
        digests = {group.data_digest for group in self.groups}
        return len(digests) == 1 and "" not in digests

    @property
    def page(self) -> str:
        """MLflow's page that compares the runs, relative to its address."""
        runs = [trial.run_id for group in self.groups for trial in group.trials]
        listed = json.dumps(runs, separators=(",", ":"))
        return f'#/compare-runs?runs={listed}&experiments=["{self.experiment_id}"]'


def compare(
    client: MlflowClient,
    experiment: str,
    category: str,
    by: str,
    last: int,
    runs: Sequence[str] = (),
) -> Comparison:
    """Rank runs of a category: the last finished ones, or those named.

    Args:
        client: the record.
        experiment: MLflow experiment.
        category: the category.
        by: the metric that ranks, more being better; runs without it come last.
        last: how many of the newest finished runs, unless some are named.
        runs: ids, or their beginnings.

    Raises:
        TrackingError: when there is no such experiment or run, or MLflow cannot be reached.
        ModelError: when the table of images of champion or challenger is damaged.
    """
    with translate_mlflow_errors(client.tracking_uri, f"read the runs of {category}"):
        found = client.get_experiment_by_name(experiment)
        if found is None:
            raise TrackingError(f"MLflow has no experiment '{experiment}'; name it: --experiment")
        pages = client.search_runs(
            [found.experiment_id],
            f"tags.`{CATEGORY_TAG}` = {quoted(category)}",
            max_results=_MOST_RUNS,
            order_by=["attributes.start_time DESC"],
        )
    chosen = _named(pages, runs, category) if runs else _finished(pages)[:last]
    if not chosen:
        raise TrackingError(
            f"experiment '{experiment}' has no finished run of category '{category}'"
        )
    groups = group_trials([_trial(run) for run in chosen])
    standings = standings_of(client, category)
    return Comparison(
        groups=ranked(groups, by),
        experiment_id=found.experiment_id,
        differing=differing_keys(groups),
        standings=standings,
        duel=duel_of(client, standings),
    )


def group_trials(trials: Iterable[Trial]) -> list[Group]:
    """Runs that differ in nothing but the seed become one group, with one run a seed."""
    groups: dict[tuple[object, ...], dict[str, Trial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.started, reverse=True):
        key = (trial.data_digest, *sorted(trial.config.items()))
        groups.setdefault(key, {}).setdefault(trial.seed, trial)
    return [Group(tuple(of_seed.values())) for of_seed in groups.values()]


def ranked(groups: Iterable[Group], by: str) -> tuple[Group, ...]:
    """The best mean first; equal ones by how new they are; those without the metric last."""

    def rank(group: Group) -> tuple[bool, float, int]:
        spread = group.spread(by)
        mean = 0.0 if spread is None else spread.mean
        return spread is None, -mean, -group.trials[0].started

    return tuple(sorted(groups, key=rank))


def differing_keys(groups: Sequence[Group]) -> tuple[str, ...]:
    """Config keys whose value is not the same in all groups; a key that is missing differs."""
    keys = {key for group in groups for key in group.config}
    return tuple(
        key for key in sorted(keys) if len({group.config.get(key) for group in groups}) > 1
    )


def _finished(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.info.status == "FINISHED"]


def _named(runs: Sequence[Run], names: Sequence[str], category: str) -> list[Run]:
    """The runs whose ids begin with the names, each once."""
    chosen: dict[str, Run] = {}
    for name in names:
        matching = [run for run in runs if run.info.run_id.startswith(name)]
        if len(matching) != 1:
            what = "no run" if not matching else f"{len(matching)} runs"
            raise TrackingError(f"run {name}: {what} of category '{category}' begin with this id")
        chosen[matching[0].info.run_id] = matching[0]
    return list(chosen.values())


def _trial(run: Run) -> Trial:
    config = {current_key(name): value for name, value in run.data.params.items()}
    if base := run.data.tags.get(BASE_TAG):  # of the base's config, but no newer run of it
        config[_RECALIBRATED] = f"{base} -> {run.data.tags.get(VERSION_TAG, '?')}"
    return Trial(
        run_id=run.info.run_id,
        started=run.info.start_time or 0,
        seed=config.pop(_SEED, ""),
        config=config,
        data_digest=run.data.tags.get(DATA_DIGEST_TAG, ""),
        metrics={k: v for k, v in run.data.metrics.items() if not k.startswith(HEADLINE)},
        version=int(version)
        if (version := run.data.tags.get(VERSION_TAG, "")).isdecimal()
        else None,
    )
