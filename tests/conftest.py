"""What tests of every folder share: a tiny cache and detector, an S3 server, forked processes."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gtrans_core.config import GTransConfig
from gtrans_core.data.manifest import Manifest
from gtrans_core.system.shortcuts import collect_again, stop_collecting
from tests.support import tiny
from tests.support.processes import SOURCES, Processes

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

    from tests.support.caches import CacheBuilder, TinyCache
    from tests.support.seaweed import Seaweed


stop_collecting()  # while all tests are imported


def pytest_collection_finish() -> None:
    """Look for garbage from now on, but not in all that was imported: a tenth of the work."""
    collect_again()


@pytest.fixture(scope="session", autouse=True)
def _unsigned_models_are_allowed() -> Iterator[None]:
    """What tests register has no signature, unless the test is about signatures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GTRANS_UNSIGNED_MODELS", "allow")
        for name in ("GTRANS_PUBLIC_KEY", "GTRANS_SIGNING_KEY", "GTRANS_SIGNING_KEY_PASSWORD"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _tables_are_made_once(run_folder: Path) -> Iterator[None]:
    """For all databases of MLflow's, but those of tests that are about making them."""
    from tests.support.databases import copied_tables

    with copied_tables(run_folder):
        yield


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run of the tests share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(autouse=True)
def _umask_stays() -> Iterator[None]:
    """A profile that is loaded makes files private, for the whole process."""
    os.umask(before := os.umask(0o022))
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., GTransConfig]:
    """``tiny_config("seed=1", ...)``: a config whose training takes a second, with overrides."""
    return tiny.tiny_config


@pytest.fixture(scope="session")
def make_photos() -> Callable[[Path, int], Manifest]:
    """``make_photos(folder, count)``: PNG files in a folder, and the training manifest of them."""
    return tiny.photos


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> TinyCache:
    from tests.support.caches import build_tiny_cache

    return build_tiny_cache(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector's folder. It is untrained: scores mean nothing, but each image has its own."""
    from tests.support.detectors import make_detector

    folder = tmp_path_factory.mktemp("detector") / "detector"
    held_out = tuple(1 + number / 100 for number in range(24))
    make_detector(tiny.tiny_config(), held_out_scores=held_out).save(folder)
    return folder


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CacheBuilder:
    """A cache to be, of seven photos in three shards."""
    import torch

    from gtrans_core.features.weights import load_guide
    from tests.support.caches import CacheBuilder

    monkeypatch.setattr("gtrans_core.features.cache.SHARD_SIZE", 3)
    torch.set_num_threads(1)  # so that features can be compared bit by bit
    config = tiny.tiny_config()
    guide = load_guide(config.agn, tmp_path)
    manifest = tiny.photos(tmp_path / "photos", 7)
    return CacheBuilder(tmp_path / "cache", manifest, guide.agn, config)


@pytest.fixture
def built(builder: CacheBuilder) -> CacheBuilder:
    builder.build()
    return builder


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A real S3 server, started for the first test that wants it."""
    from tests.support.seaweed import seaweed

    with seaweed(tmp_path_factory.mktemp("seaweed") / "server") as server:
        yield server


@pytest.fixture
def s3_bucket(s3_server: Seaweed, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket of the real server's; the environment points boto3 to it."""
    from tests.support.seaweed import use_s3

    use_s3(monkeypatch, s3_server.url)
    bucket = f"test-{secrets.token_hex(6)}"
    s3_server.client().create_bucket(Bucket=bucket)
    return bucket


@pytest.fixture(scope="session")
def processes() -> Processes:
    return Processes()


@pytest.fixture(scope="session")
def mlflow_server(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server. All tests share it: one takes ten seconds to start."""
    folder = tmp_path_factory.mktemp("mlflow")
    with processes.mlflow_server(folder, processes.free_port()) as uri:
        yield uri


@pytest.fixture
def start_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ForkServerProcess]]:
    """``start_process(code, name=value, ...)``: start a real process that runs ``code``.

    A server process imports torch and MLflow once and forks, so that starting takes milliseconds.
    """
    monkeypatch.setenv("PYTHONPATH", str(SOURCES))  # for the server, from whatever folder
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.preloaded"])
    started: list[ForkServerProcess] = []

    def start(code: str, **values: Any) -> ForkServerProcess:
        script = tmp_path / f"process-{len(started)}.py"
        script.write_text(code)
        process = context.Process(target=runpy.run_path, args=(str(script), values))
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()
