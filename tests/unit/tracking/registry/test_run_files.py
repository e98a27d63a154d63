"""Files of a run are looked at before they are fetched, wherever MLflow keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gtrans_core.errors import ModelError, StorageError, TrackingError
from gtrans_core.tracking.client import import_mlflow
from gtrans_core.tracking.registry import download, run_files
from gtrans_core.tracking.registry.run_files import (
    fetch_run_file,
    fetch_run_folder,
    find_run_file,
)
from tests.support.odd_server import Answer, answering
from tests.support.shelf import Shelf


@pytest.fixture
def kept(shelf: Shelf) -> tuple[Any, str]:
    shelf.run.log_artifact_bytes("record.json", b"{}")
    shelf.run.log_artifact_bytes("release/1/card.md", b"card")
    shelf.run.log_artifact_bytes("release/1/figures/roc.png", b"png")
    return shelf.client, shelf.run.run_id


def test_a_file_and_a_folder(kept: tuple[Any, str], tmp_path: Path):
    assert fetch_run_file(*kept, "record.json", tmp_path).read_bytes() == b"{}"
    assert find_run_file(*kept, "release", tmp_path) is None  # a folder
    folder = fetch_run_folder(*kept, "release/1", tmp_path)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"card.md", "figures/roc.png"}


def test_one_that_is_not_there(kept: tuple[Any, str], tmp_path: Path):
    assert find_run_file(*kept, "report.html", tmp_path) is None
    with pytest.raises(TrackingError, match=r"has no file report\.html"):
        fetch_run_file(*kept, "report.html", tmp_path)


def test_too_much_is_not_fetched(
    kept: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_files, "LARGEST", 1)
    with pytest.raises(TrackingError, match=r"record\.json has more than 1 bytes; refused"):
        fetch_run_file(*kept, "record.json", tmp_path)
    monkeypatch.setattr(download, "MOST_FILES", 1)
    with pytest.raises(ModelError, match="so it is not a folder of gtrans's"):
        fetch_run_folder(*kept, "release/1", tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".json", ".md")]


SIZES = {"huge": (2**40, TrackingError, "has more than"), "another": (9, StorageError, "changed")}


@pytest.mark.parametrize("listed", SIZES)
def test_in_s3(
    listed: str, tmp_path: Path, s3_at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    """MLflow's own way there reads whatever comes, however large."""
    monkeypatch.setenv("GTRANS_RETRY_SECONDS", "0")
    import_mlflow()
    size, kind, says = SIZES[listed]
    digest = hashlib.md5(b"wrong", usedforsecurity=False).hexdigest()
    listing = (
        "<ListBucketResult><Contents><Key>1/r/artifacts/report.html</Key>"
        f"<Size>{size}</Size><ETag>{'e' * 32}</ETag></Contents></ListBucketResult>"
    )
    asked = []

    def answer(_: str, path: str) -> Answer:
        asked.append(path)
        headers = {"ETag": f'"{digest}"', "Content-Type": "application/xml"}
        return Answer(body=listing.encode() if "list-type" in path else b"wrong", headers=headers)

    info = SimpleNamespace(artifact_uri="s3://plant/1/r/artifacts")
    client: Any = SimpleNamespace(
        get_run=lambda _: SimpleNamespace(info=info), tracking_uri="http://mlflow"
    )
    with answering(answer) as server:
        s3_at(server.url)
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", server.url)
        with pytest.raises(kind, match=says):
            fetch_run_file(client, "r", "report.html", tmp_path)
    assert len(asked) == (1 if listed == "huge" else 2)
    assert not list(tmp_path.iterdir())
