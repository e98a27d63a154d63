"""A tiny factory: photographs of one part, a small guide, the cache of its features, processes."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import runpy
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from gtrans_core.config import GTransConfig, load_config
from gtrans_core.data.manifest import Manifest, Sample

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

    from gtrans_core.features.cache import CacheReport
    from gtrans_core.network.agn import Agn, BackboneSpec
    from tests.support.seaweed import Seaweed

TINY = (
    "image.size=64",
    "agn.backbone=test_efficientnet",
    "agn.taps=[4, 8, 16]",
    "agn.weights=random:0",
    "trans.backbone=test_resnet",
    "trans.token_width=16",
    "trans.tokens_per_map=4",
    "training.epochs=4",
    "training.batch_size=4",
    "training.checkpoint_every=1",
    "training.device=cpu",
    "training.threads=1",
)
SHARD_SIZE = 3


@dataclass(frozen=True)
class TinyCache:
    """Features of eleven photos: two are held out, nine make two steps an epoch."""

    folder: Path
    key: str
    weights_sha256: str
    spec: BackboneSpec


class Builder:
    """A cache of seven photos under one guide."""

    def __init__(self, root: Path, manifest: Manifest, agn: Agn, config: GTransConfig) -> None:
        from gtrans_core.features.cache import cache_identity

        self.root = root
        self.manifest = manifest
        self.agn = agn
        self.identity = cache_identity(manifest, agn.spec, "0" * 64, config.image)
        self.folder = root / self.identity.key
        self.progress: list[tuple[int, int]] = []

    def build(self) -> CacheReport:
        from gtrans_core.features.cache import build_cache

        self.progress.clear()
        return build_cache(
            self.root,
            self.identity,
            self.manifest,
            self.agn,
            lambda done, total: self.progress.append((done, total)),
        )

    def shards(self) -> list[Path]:
        return sorted(self.folder.glob("shard-*.safetensors"))

    def files(self) -> dict[str, bytes]:
        """Every file but what was set aside."""
        paths = [p for p in self.folder.iterdir() if not p.name.endswith(".damaged")]
        return {path.name: path.read_bytes() for path in paths}


@pytest.fixture(scope="session", autouse=True)
def _unsigned_models_are_allowed() -> Iterator[None]:
    """What tests register has no signature, unless the test is about signatures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GTRANS_UNSIGNED_MODELS", "allow")
        for name in ("GTRANS_PUBLIC_KEY", "GTRANS_SIGNING_KEY", "GTRANS_SIGNING_KEY_PASSWORD"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., GTransConfig]:
    """``tiny_config("seed=1", ...)``: a config whose training takes a second, with overrides."""
    return lambda *overrides: load_config(overrides=[*TINY, *overrides])


@pytest.fixture(scope="session")
def make_photos() -> Callable[[Path, int], Manifest]:
    """``make_photos(folder, count)``: PNG files in a folder, and the training manifest of them."""
    return photos


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> TinyCache:
    from gtrans_core.features.cache import build_cache, cache_identity
    from gtrans_core.features.weights import load_guide

    root = tmp_path_factory.mktemp("tiny")
    config = load_config(overrides=TINY)
    manifest = photos(root / "photos", 11)
    guide = load_guide(config.agn, root)
    identity = cache_identity(manifest, guide.agn.spec, guide.weights_sha256, config.image)
    report = build_cache(root / "cache", identity, manifest, guide.agn, lambda done, total: None)
    return TinyCache(report.folder, report.key, guide.weights_sha256, guide.agn.spec)


@pytest.fixture(scope="session")
def tiny_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector's folder. It is untrained: scores mean nothing, but each image has its own."""
    import torch

    from gtrans_core.detector.detector import Detector
    from gtrans_core.detector.files import DetectorInfo
    from gtrans_core.features.weights import load_guide
    from gtrans_core.network.build import build_trans
    from gtrans_core.network.scene import fit_scene
    from gtrans_core.network.scorer import Scorer

    config = load_config(overrides=TINY)
    folder = tmp_path_factory.mktemp("detector")
    guide = load_guide(config.agn, folder)
    torch.manual_seed(0)
    trans = build_trans(guide.agn.spec, config)
    shapes = guide.agn.spec.map_shapes(config.image.input_size)
    scene = fit_scene([torch.rand(6, *shape) for shape in shapes], rank=2)
    info = DetectorInfo(
        category="part",
        config=config,
        threshold=1.0,
        held_out_scores=tuple(1 + number / 100 for number in range(24)),
        data_digest="0" * 64,
        training_key="1" * 64,
        weights_sha256=guide.weights_sha256,
    )
    Detector(Scorer(guide.agn, trans, scene, config.scoring), info).save(folder / "detector")
    return folder / "detector"


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    """A cache to be, of seven photos in three shards."""
    import torch

    from gtrans_core.features.weights import load_guide

    monkeypatch.setattr("gtrans_core.features.cache.SHARD_SIZE", SHARD_SIZE)
    torch.set_num_threads(1)  # so that features can be compared bit by bit
    config = load_config(overrides=TINY)
    guide = load_guide(config.agn, tmp_path)
    return Builder(tmp_path / "cache", photos(tmp_path / "photos", 7), guide.agn, config)


@pytest.fixture
def built(builder: Builder) -> Builder:
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
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"test-{secrets.token_hex(6)}"
    s3_server.client().create_bucket(Bucket=bucket)
    return bucket


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[..., ForkServerProcess]]:
    """``start_process(code, name=value, ...)``: start a real process that runs ``code``.

    A server process imports torch and timm once and forks, so that starting takes milliseconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "gtrans_core.training.loop",
            "gtrans_core.features.weights",
            "gtrans_core.batch.run",
            "gtrans_core.detector.detector",
        ]
    )
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


def photos(folder: Path, count: int) -> Manifest:
    folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for number in range(count):
        data = photo(number)
        (folder / f"{number:03}.png").write_bytes(data)
        samples.append(
            Sample(
                path=f"{number:03}.png",
                sha256=hashlib.sha256(data).hexdigest(),
                defect="good",
                width=80,
                height=72,
            )
        )
    return Manifest(
        category="part", source="test", split="train", root=str(folder), samples=tuple(samples)
    )


def photo(number: int) -> bytes:
    """A PNG, 80 x 72, of a bright disc on a rough surface, never twice the same."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:72, :80]
    disc = np.hypot(y - 36 - rng.integers(-4, 5), x - 40 - rng.integers(-4, 5)) < 20
    grey = 90 + 80 * disc + rng.normal(0, 12, disc.shape)
    image = np.stack([grey, grey * 0.9, grey * 0.8], axis=2).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
