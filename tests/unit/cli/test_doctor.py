"""``gtrans doctor``: what is wrong is said in plain words, with what to do."""

import importlib
import json
import shutil
import sqlite3
import sys
from collections import namedtuple
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from gtrans.cli import doctor
from gtrans.cli.doctor import Finding, findings, version_differences
from gtrans.cli.main import app
from gtrans_core.errors import WeightsError
from gtrans_core.storage import RetryPolicy
from tests.support.kfp_api import kfp_api
from tests.support.odd_server import JSON, ODD_ANSWERS, Answer, answering

SUBJECTS = [
    "python",
    "torch",
    "torchvision",
    "timm",
    "kfp",
    "mlflow",
    "versions",
    "weights",
    "store",
    "tracking",
    "machine",
    "extra",
]


@pytest.fixture
def broken_import(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Exception], None]:
    """Make the import of one package raise."""
    as_before = importlib.import_module

    def break_it(name: str, error: Exception) -> None:
        def import_module(wanted: str) -> ModuleType:
            if wanted == name:
                raise error
            return as_before(wanted)

        monkeypatch.setattr(importlib, "import_module", import_module)

    return break_it


def check(store: Path) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings("local", str(store))}


def test_this_installation_is_whole(tmp_path: Path):
    result = CliRunner().invoke(app, ["doctor", "--store", str(tmp_path)])
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert [line[:2] for line in lines] == [["ok", subject] for subject in SUBJECTS]
    assert not list(tmp_path.iterdir())


def test_where_only_scoring_is_installed_training_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("torch", "torchvision", "timm", "kfp"):
        monkeypatch.setitem(sys.modules, name, None)
    result = CliRunner().invoke(app, ["doctor", "--store", str(tmp_path)])
    assert result.exit_code == 0, result.output
    subjects = [line.split()[1] for line in result.output.splitlines()]
    left_out = {"torch", "torchvision", "timm", "kfp", "mlflow", "weights"}
    assert set(subjects) == {*SUBJECTS, "onnxruntime"} - left_out
    assert "train: not installed; this machine scores and serves" in result.output


def test_builds_of_torch_that_do_not_fit_are_said_plainly(
    tmp_path: Path, broken_import: Callable[[str, Exception], None]
):
    broken_import("torchvision", RuntimeError("operator torchvision::nms does not exist"))
    found = check(tmp_path)["torchvision"]
    assert found.text == "operator torchvision::nms does not exist"
    assert "torch and torchvision are of different builds" in found.advice
    assert "make setup" in found.advice


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("No module named 'timm'"), OSError("libcuda.so: no such file")]
)
def test_one_broken_package_hides_none_of_the_other_checks(
    tmp_path: Path, broken_import: Callable[[str, Exception], None], error: Exception
):
    broken_import("timm", error)
    found = check(tmp_path)
    assert list(found) == SUBJECTS
    assert found["timm"] == Finding("timm", str(error), found["timm"].advice)
    assert [subject for subject, finding in found.items() if finding.advice] == ["timm"]


def test_a_problem_ends_with_its_own_code_and_an_arrow(
    tmp_path: Path, broken_import: Callable[[str, Exception], None]
):
    broken_import("kfp", ModuleNotFoundError("No module named 'kfp'"))
    result = CliRunner().invoke(app, ["doctor", "--store", str(tmp_path)])
    assert result.exit_code == doctor.PROBLEM == 11
    lines = result.output.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("problem"))
    assert lines[place].split()[:2] == ["problem", "kfp"]
    assert lines[place + 1].strip().startswith("-> run `make setup`")


def test_weights_that_are_not_the_pinned_ones_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any, **__: Any) -> None:
        raise WeightsError("net.pth: sha256 00 is not the pinned one; reinstall the package")

    monkeypatch.setattr("gtrans_core.features.weights.load_guide", refuse)
    assert "not the pinned one" in check(tmp_path)["weights"].advice


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 2**29))
    found = check(tmp_path)["store"]
    assert "0.5 GiB free" in found.text
    assert "free some space" in found.advice


def test_a_folder_without_database_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_locks(_: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite3, "connect", no_locks)
    assert "SQLite cannot write here (disk I/O error)" in check(tmp_path)["store"].advice


def test_an_unwritable_store_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in check(tmp_path / "file")["store"].advice


def test_a_store_that_is_not_there_yet_is_not_made(tmp_path: Path):
    found = check(tmp_path / "new" / "store")
    assert found["store"].text.startswith(f"{tmp_path}/new/store, writable")
    assert not found["store"].advice
    assert not found["tracking"].advice
    assert not list(tmp_path.iterdir())


def test_a_profile_that_cannot_be_used_hides_no_other_check(tmp_path: Path):
    subjects = [finding.subject for finding in findings(str(tmp_path / "no.toml"), None)]
    places = ("store", "tracking")
    expected = [subject for subject in SUBJECTS if subject not in places]
    assert subjects == [*expected[:-2], "profile", *expected[-2:]]


class TestServers:
    """What the preflight says, said before there is a run; secrets are never shown."""

    PLACES = ("tracking", "cache_store", "kubeflow")
    CLUSTER = """
        store = "/store/here"
        tracking_uri = "{mlflow}"
        cache_store = "s3://parts/caches"
        [cluster]
        host = "{kubeflow}"
        volume = {{ claim = "gtrans", mount = "/store" }}
    """

    @pytest.fixture(autouse=True)
    def _alone(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        monkeypatch.setattr(doctor, "_TO_TRAIN", ())
        monkeypatch.setattr("gtrans_core.storage.QUICKLY", RetryPolicy(budget_s=0.05))
        monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SECRET-CANARY-ID")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET-CANARY-KEY")
        monkeypatch.setenv("GTRANS_KFP_TOKEN", "SECRET-CANARY-TOKEN")
        monkeypatch.delenv("GTRANS_KFP_HOST", raising=False)

    def look(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mlflow: str, s3: str, kubeflow: str
    ) -> dict[str, Finding]:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3)
        profile = tmp_path / "mine.toml"
        profile.write_text(self.CLUSTER.format(mlflow=mlflow, kubeflow=kubeflow))
        made = sorted(tmp_path.iterdir())
        found = {finding.subject: finding for finding in findings(str(profile), None)}
        assert sorted(tmp_path.iterdir()) == made
        assert "CANARY" not in str(found)
        assert not found["store"].advice
        return found

    def test_all_that_is_right(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        with answering(_mlflow) as mlflow, answering(_bucket) as s3, kfp_api() as kubeflow:
            kubeflow.token = "SECRET-CANARY-TOKEN"
            found = self.look(monkeypatch, tmp_path, mlflow.url, s3.url, kubeflow.url)
        assert [found[place].advice for place in self.PLACES] == ["", "", ""]
        assert found["tracking"].text == f"MLflow at {mlflow.url} takes runs"
        assert {method for method, _ in s3.requests} == {"GET"}
        assert not kubeflow.runs

    def test_all_that_are_down(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        nobody = "http://127.0.0.1:9"
        found = self.look(monkeypatch, tmp_path, nobody, nobody, nobody)
        for place in self.PLACES:
            assert "; is it running?" in found[place].advice
        assert found["tracking"].advice.endswith("runs go on, and register needs it")

    @pytest.mark.parametrize("odd", ["a login page", "an empty object", "401", "no JSON"])
    def test_all_that_are_something_else(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, odd: str
    ):
        with answering(ODD_ANSWERS[odd]) as other:
            found = self.look(monkeypatch, tmp_path, other.url, other.url, other.url)
        for place in self.PLACES:
            assert found[place].advice
            assert "\n" not in found[place].advice

    def test_a_cluster_whose_address_nobody_says(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ):
        nobody = "http://127.0.0.1:9"
        found = self.look(monkeypatch, tmp_path, nobody, nobody, "")
        assert found["kubeflow"].advice.startswith("set host under [cluster]")


def _mlflow(method: str, path: str) -> Answer:
    """A server without our experiment and model, which refuses what lacks a field."""
    status = 404 if method == "GET" else 400
    code = "RESOURCE_DOES_NOT_EXIST" if method == "GET" else "INVALID_PARAMETER_VALUE"
    return Answer(status, json.dumps({"error_code": code, "message": "no"}).encode(), JSON)


def _bucket(method: str, path: str) -> Answer:
    body = b"<?xml version='1.0'?><ListBucketResult><Name>parts</Name></ListBucketResult>"
    return Answer(200, body, {"Content-Type": "application/xml"})


def test_versions_are_compared_with_every_line_of_the_lock():
    typer = metadata.version("typer")
    rich = metadata.version("rich")
    lock = (
        f"typer=={typer} \\\n    --hash=sha256:00\n"
        "rich==1.0.0 ; python_version < '3' \\\n    --hash=sha256:00\n"
        f"rich=={rich} ; python_version >= '3'\n"
        "pydantic==0.0.1\n"
        "not-installed-here==3.0\n"
    )
    installed = metadata.version("pydantic")
    assert list(version_differences(lock)) == [f"pydantic {installed} (lock: 0.0.1)"]
