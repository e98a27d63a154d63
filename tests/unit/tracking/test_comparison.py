"""Comparison: runs over seeds become one row, ranked, with what differs."""

from __future__ import annotations

import math
import statistics
from uuid import uuid4

import pytest

from gtrans_core.errors import TrackingError
from gtrans_core.tracking.client import connect
from gtrans_core.tracking.comparison import (
    Spread,
    Trial,
    compare,
    differing_keys,
    group_trials,
    ranked,
)
from gtrans_core.tracking.runs import RunLogger, open_run


def trial(
    run_id: str,
    seed: int = 0,
    auroc: float = 0.9,
    started: int = 0,
    data: str = "d",
    **config: object,
) -> Trial:
    knobs = {"training.epochs": "24", **{key: str(value) for key, value in config.items()}}
    return Trial(run_id, started, str(seed), knobs, data, {"image_auroc": auroc})


class TestGroups:
    def test_seeds_of_one_config_are_one_group_with_mean_and_deviation(self):
        scores = [0.97, 0.98, 0.99]
        [group] = group_trials([trial(f"r{i}", i, score) for i, score in enumerate(scores)])
        assert group.spread("image_auroc") == Spread(
            pytest.approx(0.98), pytest.approx(statistics.stdev(scores))
        )

    def test_a_single_seed_has_no_deviation(self):
        [group] = group_trials([trial("r")])
        assert group.spread("image_auroc") == Spread(0.9, None)

    def test_another_config_or_other_data_is_another_group(self):
        trials = [trial("a"), trial("b", layer_norm=False), trial("c", data="e")]
        assert len(group_trials(trials)) == 3

    def test_the_newest_run_of_a_seed_counts_alone(self):
        old, new = trial("old", 0, 0.5, started=1), trial("new", 0, 0.9, started=2)
        [group] = group_trials([old, new])
        assert [found.run_id for found in group.trials] == ["new"]

    def test_a_metric_that_is_no_number_is_left_out_and_never_zero(self):
        trials = [trial("a", 0, math.nan), trial("b", 1, 0.8)]
        [group] = group_trials(trials)
        assert group.spread("image_auroc") == Spread(0.8, None)
        assert group.spread("pixel_ap") is None


class TestRank:
    def test_the_best_first_and_those_without_the_metric_last(self):
        groups = group_trials(
            [
                trial("nan", auroc=math.nan, knob=1),
                trial("low", auroc=0.8, knob=2),
                trial("high", auroc=0.9, knob=3),
            ]
        )
        order = [group.trials[0].run_id for group in ranked(groups, "image_auroc")]
        assert order == ["high", "low", "nan"]

    def test_only_the_keys_that_differ(self):
        groups = group_trials([trial("a", same=1, knob=1), trial("b", same=1, knob=2, more=1)])
        assert differing_keys(groups) == ("knob", "more")


class Runs:
    """Runs of a category of its own."""

    def __init__(self, settings) -> None:
        self.settings, self.category = settings, f"c{uuid4().hex[:8]}"
        self.client = connect(settings.uri)

    def add(
        self, seed: int, auroc: float, data: str = "d", finished: bool = True, **more: object
    ) -> RunLogger:
        run = open_run(self.settings, uuid4().hex, self.category)
        run.log_params({"seed": seed, "training.epochs": 24, **more})
        run.log_metrics({"image_auroc": auroc, "training_seconds": 60.0})
        run.log_lineage({"data_digest": data})
        if finished:
            run.finish()
        return run

    def compare(self, *runs: str, last: int = 20):
        return compare(
            self.client, self.settings.experiment, self.category, "image_auroc", last, runs
        )


@pytest.fixture
def runs(settings) -> Runs:
    return Runs(settings)


class TestCompare:
    def test_finished_runs_of_the_category(self, runs, settings):
        made = [runs.add(seed, 0.9 + seed / 100) for seed in range(2)]
        runs.add(2, 0.5, finished=False)
        Runs(settings).add(0, 0.99)
        found = runs.compare()
        [group] = found.groups
        assert {trial.run_id for trial in group.trials} == {run.run_id for run in made}
        assert group.config == {"training.epochs": "24"}
        assert found.same_data
        assert found.differing == ()

    def test_runs_of_before_a_knob_moved_are_of_the_same_config(self, runs):
        runs.add(0, 0.9, **{"scoring.fusion": "sum"})
        runs.add(1, 0.9, **{"research.fusion": "sum"})
        [group] = runs.compare().groups
        assert group.config == {"training.epochs": "24", "research.fusion": "sum"}
        assert len(group.trials) == 2

    def test_a_recalibrated_version_does_not_hide_the_one_it_is_made_from(self, runs):
        runs.add(0, 0.9)
        for version in ("2", "3"):
            made = runs.add(0, 0.9)
            made.log_lineage({"recalibrated_from": "1", "registered_version": version})
        found = runs.compare()
        assert [group.trials[0].version for group in found.groups] == [3, 2, None]
        assert found.differing == ("recalibrated version",)

    def test_the_page_is_what_mlflow_understands(self, runs):
        run = runs.add(0, 0.9)
        found = runs.compare()
        assert found.page == (
            f'#/compare-runs?runs=["{run.run_id}"]&experiments=["{found.experiment_id}"]'
        )

    def test_other_data_is_seen(self, runs):
        runs.add(0, 0.9)
        runs.add(1, 0.9, data="e")
        assert not runs.compare().same_data

    def test_unknown_data_is_not_the_same(self, runs):
        runs.add(0, 0.9, data="")
        assert not runs.compare().same_data

    def test_the_last_ones(self, runs):
        runs.add(0, 0.9)
        last = runs.add(1, 0.8)
        [group] = runs.compare(last=1).groups
        assert [trial.run_id for trial in group.trials] == [last.run_id]

    def test_named_runs_also_unfinished_ones_by_the_start_of_their_id(self, runs):
        runs.add(0, 0.9)
        wanted = runs.add(1, 0.8, finished=False)
        [group] = runs.compare(wanted.run_id[:12], wanted.run_id).groups
        assert [trial.run_id for trial in group.trials] == [wanted.run_id]

    def test_what_is_not_there_is_named(self, runs):
        with pytest.raises(TrackingError, match=f"no finished run of category '{runs.category}'"):
            runs.compare()
        runs.add(0, 0.9)
        runs.add(1, 0.9)
        with pytest.raises(TrackingError, match="run nope: no run of category"):
            runs.compare("nope")
        with pytest.raises(TrackingError, match="run : 2 runs of category"):
            runs.compare("")
        with pytest.raises(TrackingError, match="no experiment 'other'"):
            compare(runs.client, "other", runs.category, "image_auroc", 20)
