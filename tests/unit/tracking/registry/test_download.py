"""A version's files come from where gtrans registers them, and are not fetched without end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gtrans_core.errors import ModelError
from gtrans_core.tracking.registry import download
from gtrans_core.tracking.registry.download import download_file, download_model, own_location
from tests.support.shelf import Shelf


class Client:
    """As much of MlflowClient as a look at the address needs."""

    tracking_uri = "http://mlflow"

    def __init__(self, source: str, root: str = "s3://plant/1") -> None:
        self.source, self.root = source, root

    def get_model_version_download_uri(self, name: str, version: str) -> str:
        return self.source

    def get_run(self, run_id: str) -> Any:
        return SimpleNamespace(info=SimpleNamespace(experiment_id="1"))

    def get_experiment(self, experiment: str) -> Any:
        return SimpleNamespace(artifact_location=self.root)


VERSION = SimpleNamespace(name="gtrans-bottle", version="3", run_id="r")
MODEL = "m-" + "0a" * 16
OUTSIDE = [
    "s3://elsewhere/1/models/MODEL/artifacts",
    "s3://plant/2/models/MODEL/artifacts",
    "s3://plant/1/models/MODEL/artifacts/../../../secret",
    "s3://plant/1/models/../models/MODEL/artifacts",
    "s3://plant/1/models/MODEL",
    "s3://plant/1/run/artifacts/model",
    "s3://plant/1",
    "s3://plant/12/models/MODEL/artifacts",
    "s3://plantX1/models/MODEL/artifacts",
    "file:///",
    "/etc",
    "http://169.254.169.254/latest/meta-data",
    "ftp://user:pass@host/models/MODEL/artifacts",  # pragma: allowlist secret
    "models:/gtrans-cable/1",
    "runs:/0/model",
    "dbfs:/x",
    "",
]


@pytest.mark.parametrize("source", OUTSIDE)
def test_another_place_is_refused_before_anything_is_fetched(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_repository(*_: Any) -> Any:
        raise AssertionError("nothing is to be fetched")

    monkeypatch.setattr(
        "mlflow.store.artifact.artifact_repository_registry.get_artifact_repository", no_repository
    )
    client: Any = Client(source.replace("MODEL", MODEL))
    for fetch in (download_model, lambda *a: download_file(a[0], a[1], "model.sig", a[2])):
        with pytest.raises(ModelError, match="version 3: its files are said to be in") as refused:
            fetch(client, VERSION, tmp_path)
        assert "pass" not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "root", ["s3://plant/1", "mlflow-artifacts:/1", "file:///store/artifacts", "s3://b/a+b(1)/2/"]
)
def test_its_own_place_is_taken(root: str):
    source = f"{root.rstrip('/')}/models/{MODEL}/artifacts"
    client: Any = Client(source, root)
    assert own_location(client, VERSION) == source


def test_a_version_that_no_run_made_is_refused():
    client: Any = Client("s3://plant/1")
    with pytest.raises(ModelError, match="no MLflow run made it"):
        own_location(client, SimpleNamespace(name="gtrans-bottle", version="3", run_id=""))


@pytest.mark.parametrize(("limit", "most"), [("MOST_BYTES", 20), ("MOST_FILES", 3)])
def test_too_much_is_refused_before_anything_is_fetched(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
):
    shelf.register()
    monkeypatch.setattr(download, limit, most)
    version = shelf.client.get_model_version(shelf.name, "1")
    with pytest.raises(ModelError, match=r"version 1: more than .* so it is not a detector"):
        download_model(shelf.client, version, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_path_that_leads_out_is_refused(tmp_path: Path):
    evil = SimpleNamespace(path="../../etc/cron.d/x", file_size=1, is_dir=False)
    repository = SimpleNamespace(list_artifacts=lambda _: [evil])
    with pytest.raises(ModelError, match="lies outside of the model"):
        download._moderate_size(repository, "it")


def test_one_file_by_itself(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shelf.register()
    (shelf.stored(1).parents[1] / "evidence.json").write_text("{}")
    version = shelf.client.get_model_version(shelf.name, "1")
    assert download_file(shelf.client, version, "evidence.json", tmp_path) == b"{}"
    assert download_file(shelf.client, version, "nothing.json", tmp_path) is None
    monkeypatch.setattr(download, "_SMALL", 1)
    with pytest.raises(ModelError, match=r"evidence\.json has more than 1 bytes"):
        download_file(shelf.client, version, "evidence.json", tmp_path)
