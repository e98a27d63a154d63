from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from gtrans_core.data.manifest import Manifest, Sample, data_digest
from gtrans_core.errors import TrackingError
from gtrans_core.tracking import runs
from gtrans_core.tracking.client import TrackingAddress, connect
from gtrans_core.tracking.runs import RunLogger, fail_run, find_or_create_run, open_run


def key() -> str:
    return uuid4().hex


def make_run(settings, **tags: str) -> str:
    """A run made by somebody else."""
    client = connect(settings.uri)
    open_run(settings, key(), "other")  # makes the experiment
    experiment = client.get_experiment_by_name(settings.experiment)
    return client.create_run(experiment.experiment_id, tags=tags).info.run_id


def manifest(split: str, root: str = "/data") -> Manifest:
    sample = Sample(path="a.png", sha256="0" * 64, defect="good", width=8, height=8)
    return Manifest(category="bottle", source="folder", split=split, root=root, samples=(sample,))


class TestFinding:
    def test_steps_of_one_pipeline_run_share_the_run(self, settings):
        first = key()
        made = find_or_create_run(settings, first, "bottle")
        assert find_or_create_run(settings, first, "bottle") == made
        assert find_or_create_run(settings, first, "tile") != made
        assert find_or_create_run(settings, key(), "bottle") != made

    def test_name_shows_category_and_key(self, settings):
        run = open_run(settings, "0123456789abcdef", "bottle")
        assert run.client.get_run(run.run_id).info.run_name == "bottle-0123456789abcdef"

    def test_one_filter_gives_all_runs_of_a_category(self, settings):
        category = f"c-{key()}"
        made = {find_or_create_run(settings, key(), category) for _ in range(2)}
        client = connect(settings.uri)
        experiment = client.get_experiment_by_name(settings.experiment)
        found = client.search_runs(
            [experiment.experiment_id], f"tags.`gtrans.category` = '{category}'"
        )
        assert {run.info.run_id for run in found} == made

    def test_earliest_of_several_runs_counts_and_the_others_are_withdrawn(self, settings):
        """As a maker leaves them that was killed, or was told twice that it had not made one."""
        tags = {runs.CATEGORY_TAG: "bottle", runs.RUN_KEY_TAG: key()}
        made = [make_run(settings, **tags) for _ in range(3)]
        assert find_or_create_run(settings, tags[runs.RUN_KEY_TAG], "bottle") == made[0]
        client = connect(settings.uri)
        stages = [client.get_run(run).info.lifecycle_stage for run in made]
        assert stages == ["active", "deleted", "deleted"]

    def test_second_of_two_simultaneous_makers_withdraws(self, settings, monkeypatch):
        tags = {runs.CATEGORY_TAG: "bottle", runs.RUN_KEY_TAG: key()}
        other = make_run(settings, **tags)
        search, first_look = runs._earliest, iter([None])  # too early to see the other's run
        monkeypatch.setattr(runs, "_earliest", lambda *a: next(first_look, search(*a)))
        assert find_or_create_run(settings, tags[runs.RUN_KEY_TAG], "bottle") == other
        client = connect(settings.uri)
        experiment = client.get_experiment_by_name(settings.experiment).experiment_id
        left = client.search_runs(
            [experiment], f"tags.`gtrans.run_key` = '{tags[runs.RUN_KEY_TAG]}'"
        )
        assert [run.info.run_id for run in left] == [other]

    def test_deleted_experiment_is_named(self, settings):
        settings = replace(settings, experiment=f"e-{key()}")
        open_run(settings, key(), "bottle")
        client = connect(settings.uri)
        experiment = client.get_experiment_by_name(settings.experiment)
        client.delete_experiment(experiment.experiment_id)
        with pytest.raises(TrackingError, match=f"{settings.experiment} was deleted"):
            find_or_create_run(settings, key(), "bottle")

    def test_quote_in_a_key_is_refused(self, settings):
        with pytest.raises(TrackingError, match="quote"):
            find_or_create_run(settings, "it's", "bottle")


class TestAdoption:
    @pytest.mark.parametrize("tags", [{}, {"mlflow.parentRunId": "0" * 32}])
    def test_injected_run_is_adopted_by_its_id(self, settings, monkeypatch, tags):
        injected = make_run(settings, **tags)
        monkeypatch.setenv("MLFLOW_RUN_ID", injected)
        run = open_run(settings, key(), "bottle")
        assert run.run_id == injected
        assert run.client.get_run(injected).data.tags["gtrans.category"] == "bottle"

    def test_injected_run_is_ended_by_its_owner(self, settings, monkeypatch):
        injected = make_run(settings)
        monkeypatch.setenv("MLFLOW_RUN_ID", injected)
        run = open_run(settings, key(), "bottle")
        run.finish()
        assert run.client.get_run(injected).info.status == "RUNNING"

    def test_unknown_injected_run_is_named(self, settings, monkeypatch):
        monkeypatch.setenv("MLFLOW_RUN_ID", "f" * 32)
        with pytest.raises(TrackingError, match="f" * 32):
            find_or_create_run(settings, key(), "bottle")


class TestArtifactFolder:
    def test_is_beside_the_database(self, settings, store):
        run = open_run(replace(settings, experiment=f"e-{key()}"), key(), "bottle")
        run.log_artifact_bytes("figures/roc.png", b"roc")
        assert (store / f"artifacts/{run.run_id}/artifacts/figures/roc.png").read_bytes() == b"roc"

    def test_can_be_chosen(self, settings, tmp_path):
        chosen = replace(settings, experiment=f"e-{key()}", artifact_root=tmp_path)
        run = open_run(chosen, key(), "bottle")
        run.log_artifact_bytes("report.html", b"html")
        assert (tmp_path / f"{run.run_id}/artifacts/report.html").read_bytes() == b"html"


class TestWriting:
    def params(self, run: RunLogger) -> dict[str, str]:
        return dict(run.client.get_run(run.run_id).data.params)

    def test_params_beyond_one_request_and_again(self, run):
        params = {f"section.key{i}": i for i in range(250)}
        run.log_params(params)
        run.log_params(params)
        assert self.params(run) == {name: str(value) for name, value in params.items()}

    def test_long_param_is_cut(self, run):
        run.log_params({"long": "x" * 7000})
        assert self.params(run)["long"] == "x" * 6000

    def test_changed_param_is_refused_in_one_line(self, run):
        run.log_params({"epochs": 24})
        with pytest.raises(TrackingError, match=r"log parameters: .*epochs.*24.*25") as error:
            run.log_params({"epochs": 25})
        assert "\n" not in str(error.value)

    def test_final_metric_is_logged_once(self, run):
        for value in (0.5, 0.5, 0.75, 0.75):
            run.log_metrics({"image_auroc": value})
        history = run.client.get_metric_history(run.run_id, "image_auroc")
        assert [metric.value for metric in history] == [0.5, 0.75]

    def test_refused_metric_name_is_told(self, run):
        with pytest.raises(TrackingError, match=r"au_pro@0\.3"):
            run.log_metrics({"au_pro@0.3": 0.9})

    def test_lineage_becomes_tags(self, run):
        run.log_lineage({"git_sha": "abc", "gtrans.package.torch": "2", "long": "x" * 9000})
        tags = run.client.get_run(run.run_id).data.tags
        assert tags["gtrans.git_sha"] == "abc"
        assert tags["gtrans.package.torch"] == "2"
        assert tags["gtrans.long"] == "x" * 6000

    def test_status(self, run):
        run.finish("FAILED")
        assert run.client.get_run(run.run_id).info.status == "FAILED"
        run.finish()
        assert run.client.get_run(run.run_id).info.status == "FINISHED"

    def test_a_failure_that_was_made_up_for_is_no_longer_told(self, run, settings):
        key = run.client.get_run(run.run_id).data.tags["gtrans.run_key"]
        fail_run(settings, key, "bottle", "no MLflow")
        failed = run.client.get_run(run.run_id)
        assert (failed.info.status, failed.data.tags["gtrans.failure"]) == ("FAILED", "no MLflow")
        run.finish()
        finished = run.client.get_run(run.run_id)
        assert finished.info.status == "FINISHED"
        assert "gtrans.failure" not in finished.data.tags

    def test_page_of_the_run(self, run):
        experiment = run.client.get_run(run.run_id).info.experiment_id
        assert run.page() == f"#/experiments/{experiment}/runs/{run.run_id}"


class TestDatasets:
    def test_both_splits_and_the_digest(self, run):
        train, test = manifest("train"), manifest("test")
        run.log_dataset(train, test)
        run.log_dataset(train, test)
        logged = run.client.get_run(run.run_id)
        described = [
            (i.dataset.name, i.dataset.digest, [tag.value for tag in i.tags])
            for i in logged.inputs.dataset_inputs
        ]
        assert sorted(described) == [
            ("bottle-test", test.digest[:36], ["testing"]),
            ("bottle-train", train.digest[:36], ["training"]),
        ]
        assert logged.data.tags["gtrans.data_digest"] == data_digest(train, test)

    @pytest.mark.parametrize("root", ["/data/bottle", "s3://bucket/bottle"])
    def test_mlflow_understands_the_source(self, settings, root):
        import mlflow.data

        # Of its own experiment: MLflow keeps one data set a name and digest.
        run = open_run(replace(settings, experiment=f"e-{key()}"), key(), "bottle")
        run.log_dataset(manifest("train", root), manifest("test", root))
        logged = run.client.get_run(run.run_id).inputs.dataset_inputs[0]
        assert mlflow.data.get_source(logged).uri == root


def test_a_store_that_was_moved_is_refused_until_a_link_leads_there(tmp_path):
    """MLflow keeps full paths; half of the record would be written to the old place."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    before = TrackingAddress(f"sqlite:///{old}/mlflow.db", "lab")
    first = open_run(before, key(), "bottle")
    first.log_artifact_bytes("report/a.json", b"{}")
    old.rename(new)
    moved = TrackingAddress(f"sqlite:///{new}/mlflow.db", "lab")
    with pytest.raises(TrackingError, match=f"leave a link where it was: ln -s {new} {old}"):
        open_run(moved, key(), "bottle")
    assert not old.exists()
    old.symlink_to(new)
    open_run(moved, key(), "bottle")


def test_a_record_whose_artifacts_are_elsewhere_on_purpose_is_not_taken_for_a_moved_one(tmp_path):
    root = tmp_path / "disk"
    root.mkdir()
    settings = TrackingAddress(f"sqlite:///{tmp_path}/mlflow.db", "lab", root)
    open_run(settings, key(), "bottle")
    open_run(replace(settings, artifact_root=None), key(), "bottle")
