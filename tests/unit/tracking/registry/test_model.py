from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from gtrans_core.errors import ModelError, StorageError
from gtrans_core.system.shortcuts import requirements_believed
from gtrans_core.tracking.registry import model
from gtrans_core.tracking.registry.model import file_digests, log_model
from tests.support.shelf import Shelf


def test_digests_of_all_files_below(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.json").write_bytes(b"a")
    (tmp_path / "sub/b.safetensors").write_bytes(b"b")
    assert file_digests(tmp_path) == {
        "a.json": hashlib.sha256(b"a").hexdigest(),
        "sub/b.safetensors": hashlib.sha256(b"b").hexdigest(),
    }


@pytest.mark.parametrize("name", ["x.pkl", "x.pt", "x.bin", "x.py", "x"])
def test_only_plain_files_are_taken(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=f"{name}: a detector holds safetensors, ONNX"):
        file_digests(tmp_path)


def test_links_are_refused(tmp_path):
    (tmp_path / "a.json").symlink_to(__file__)
    with pytest.raises(ModelError, match=r"a\.json"):
        file_digests(tmp_path)


@pytest.mark.parametrize("name", [".", "absent"])
def test_no_detector_at_all(tmp_path, name):
    with pytest.raises(ModelError, match="no detector there"):
        file_digests(tmp_path / name)


class TestNothingHalfWritten:
    @pytest.fixture(autouse=True)
    def _light(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A model of the detector alone."""

        def package(detector: Path, _: bytes, destination: Path) -> object:
            from mlflow.models import Model

            shutil.copytree(detector, destination / "artifacts/detector")
            return Model()

        monkeypatch.setattr(model, "package", package)

    def models(self, shelf: Shelf) -> list[object]:
        experiment = shelf.client.get_run(shelf.run.run_id).info.experiment_id
        mine = f"source_run_id = '{shelf.run.run_id}'"
        return list(shelf.client.search_logged_models([experiment], filter_string=mine))

    def test_room_is_looked_for_first(self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("gtrans_core.storage.atomic._free_bytes", lambda _: 10)
        with pytest.raises(StorageError, match=r"packaging the model needs .* and 10 are free"):
            log_model(shelf.client, shelf.run.run_id, shelf.detector("one"), b"")
        assert self.models(shelf) == []

    def test_what_cannot_be_stored_whole_goes_away_again(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ):
        store, stored = shelf.client.log_model_artifacts, []

        def fill_up(model_id: str, folder: str) -> None:
            store(model_id, folder)
            place = shelf.client.get_logged_model(model_id).artifact_location
            stored.append(Path(place.removeprefix("file://")))
            assert list(stored[0].rglob("detector.json"))
            raise OSError(28, "No space left on device", str(stored[0]))

        monkeypatch.setattr(shelf.client, "log_model_artifacts", fill_up)
        with pytest.raises(StorageError, match="the disk is full; make room"):
            log_model(shelf.client, shelf.run.run_id, shelf.detector("one"), b"")
        assert not list(stored[0].rglob("*"))
        assert self.models(shelf) == []


def test_packaging_reads_no_other_packages_files(monkeypatch: pytest.MonkeyPatch):
    from mlflow.utils import environment

    asked = []
    monkeypatch.setattr(
        environment, "warn_dependency_requirement_mismatches", lambda names: asked.extend(names)
    )
    with requirements_believed():
        environment._process_pip_requirements(None, ["mlflow==3", "numpy==1"])
    assert asked == []
    environment._process_pip_requirements(None, ["mlflow==3", "numpy==1"])
    assert asked == ["mlflow==3", "numpy==1"]
