"""A version's files come from where gtrans registers them, and are not fetched without end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gtrans_core.errors import ModelError, StorageError, TrackingError
from gtrans_core.tracking import bounded_answers
from gtrans_core.tracking.client import import_mlflow, translate_mlflow_errors
from gtrans_core.tracking.registry import download, shelves
from gtrans_core.tracking.registry.download import download_file, download_model, own_location
from gtrans_core.tracking.registry.shelves import KeptFile
from tests.support.odd_server import Answer, answering, dripping
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


def test_a_path_that_leads_out_is_refused():
    for name in ("../../etc/cron.d/x", "/etc/cron.d/x"):
        with pytest.raises(ModelError, match="lies outside of the folder"):
            download.moderate([KeptFile(name, 1)], "it")


def test_one_file_by_itself(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shelf.register()
    (shelf.stored(1).parents[1] / "evidence.json").write_text("{}")
    version = shelf.client.get_model_version(shelf.name, "1")
    assert download_file(shelf.client, version, "evidence.json", tmp_path) == b"{}"
    assert download_file(shelf.client, version, "nothing.json", tmp_path) is None
    monkeypatch.setattr(download, "_SMALL", 1)
    with pytest.raises(ModelError, match=r"evidence\.json has more than 1 bytes"):
        download_file(shelf.client, version, "evidence.json", tmp_path)


@pytest.fixture
def fetched(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files, as they are fetched."""
    seen: list[str] = []
    usual = shelves._Repository.fetch

    def fetch(self: Any, file: KeptFile, place: Path, most: int) -> None:
        seen.append(file.name)
        usual(self, file, place, most)

    monkeypatch.setattr(shelves._Repository, "fetch", fetch)
    return seen


def test_what_came_whole_before_is_not_fetched_again(
    shelf: Shelf, tmp_path: Path, fetched: list[str]
):
    shelf.register()
    version = shelf.client.get_model_version(shelf.name, "1")
    model = download_model(shelf.client, version, tmp_path)
    both = ["artifacts/detector/detector.json", "artifacts/detector/trans.safetensors"]
    assert fetched == both
    (model / both[0]).write_text("changed")
    (model / "artifacts/stranger").touch()
    fetched.clear()
    assert download_model(shelf.client, version, tmp_path) == model
    assert fetched == both[:1]
    assert not (model / "artifacts/stranger").exists()


def test_a_file_that_does_not_come_whole_is_no_model(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shelf.register()
    version = shelf.client.get_model_version(shelf.name, "1")
    monkeypatch.setattr(
        shelves._Repository, "fetch", lambda _self, _file, place, _most: place.write_bytes(b"x")
    )
    with pytest.raises(
        TrackingError, match=r"detector\.json did not come whole, 1 of .* try"
    ) as at:
        download_model(shelf.client, version, tmp_path)
    assert at.value.passing


def test_a_folder_without_end_is_not_followed():
    def deeper(folder: str) -> list[Any]:
        return [SimpleNamespace(path=f"{folder}/x", is_dir=True, file_size=None)]

    repository = shelves._Repository(SimpleNamespace(list_artifacts=deeper))
    assert len(list(repository.files())) == shelves._DEEPEST + 1


def test_a_file_is_not_streamed_beyond_its_listed_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    import_mlflow()
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

    start = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"
    with dripping(start, b"x" * 2_000_000) as url:
        found = shelves._Repository(HttpArtifactRepository(f"{url}/api/2.0/mlflow-artifacts/1"))
        with (
            pytest.raises(TrackingError, match="the answer is too large"),
            translate_mlflow_errors(url, "fetch"),
        ):
            found.fetch(KeptFile("f", 100), tmp_path / "f", 100)
    assert (tmp_path / "f").stat().st_size <= 100


def test_nor_is_any_other_file_of_mlflow_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    import_mlflow()
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

    monkeypatch.setattr(bounded_answers, "LARGEST", 100)
    with dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 2_000_000) as url:
        repository = HttpArtifactRepository(f"{url}/api/2.0/mlflow-artifacts/1")
        with (
            pytest.raises(TrackingError, match="the answer is too large"),
            translate_mlflow_errors(url, "fetch"),
        ):
            repository._download_file("report.html", str(tmp_path / "f"))


@pytest.mark.parametrize("wrong", ["etag", "bytes"])
def test_what_comes_from_s3_is_what_was_listed(
    wrong: str, tmp_path: Path, s3_at: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GTRANS_RETRY_SECONDS", "0")
    import_mlflow()
    digest = hashlib.md5(b"right", usedforsecurity=False).hexdigest()
    listed = (
        "<ListBucketResult><Contents><Key>1/models/f</Key><Size>5</Size>"
        f"<ETag>{digest if wrong == 'bytes' else 'e' * 32}</ETag></Contents></ListBucketResult>"
    )

    def answer(_: str, path: str) -> Answer:
        headers = {"ETag": f'"{digest}"', "Content-Type": "application/xml"}
        return Answer(body=listed.encode() if "list-type" in path else b"wrong", headers=headers)

    with answering(answer) as server:
        s3_at(server.url)
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", server.url)
        bucket = shelves.shelf_at("s3://plant/1/models", "http://mlflow")
        [file] = bucket.files()
        with pytest.raises(StorageError, match=r"the object's md5|changed since it was listed"):
            bucket.fetch(file, tmp_path / "f", 5)
    assert not list(tmp_path.iterdir())
