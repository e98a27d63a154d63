"""Backbone weights from a file, timm's hub, S3 or a seed: the right tensors, or one clear line."""

from __future__ import annotations

import hashlib
import logging
import socket
from pathlib import Path

import huggingface_hub.constants as hub
import pytest
import timm
import torch
from safetensors.torch import save, save_file
from torch import Tensor

from gtrans_core.config import AgnConfig
from gtrans_core.errors import ConfigError, GTransError, WeightsError
from gtrans_core.features.weights import Guide, load_guide
from gtrans_core.network.agn import state_sha256

TINY = "test_efficientnet"
HUB_ID = "timm/test_efficientnet.r160_in1k"


def tiny(**values: str) -> AgnConfig:
    return AgnConfig(backbone=TINY, **values)


def refused(config: AgnConfig, downloads: Path, error: type[GTransError] = WeightsError) -> str:
    """The one line that a user gets."""
    with pytest.raises(error) as caught:
        load_guide(config, downloads)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def tiny_state() -> dict[str, Tensor]:
    torch.manual_seed(3)
    return timm.create_model(TINY).state_dict()


@pytest.fixture
def tiny_file(tmp_path: Path, tiny_state) -> Path:
    save_file(tiny_state, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def assert_loaded(guide: Guide, state: dict[str, Tensor]) -> None:
    """Every tensor of the guide is that of the file, which has more (the classifier)."""
    loaded = guide.agn.backbone.state_dict()
    assert len(loaded) > 50
    for name, tensor in loaded.items():
        assert torch.equal(tensor, state[name])


class TestFile:
    def test_safetensors(self, tiny_file: Path, tiny_state: dict[str, Tensor]) -> None:
        guide = load_guide(tiny(weights=f"file:{tiny_file}"), Path())
        assert_loaded(guide, tiny_state)
        assert guide.weights_sha256 == hashlib.sha256(tiny_file.read_bytes()).hexdigest()

    def test_from_the_home_folder(self, tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tiny_file.parent))
        assert load_guide(tiny(weights="file:~/tiny.safetensors"), Path())

    def test_files_of_torchvisions_time_lack_batchnorms_counter(
        self, tmp_path: Path, tiny_state: dict[str, Tensor]
    ) -> None:
        state = {k: v for k, v in tiny_state.items() if not k.endswith("num_batches_tracked")}
        assert len(state) < len(tiny_state)
        save_file(state, tmp_path / "old.safetensors")
        guide = load_guide(tiny(weights=f"file:{tmp_path / 'old.safetensors'}"), Path())
        assert torch.equal(guide.agn.backbone.conv_stem.weight, state["conv_stem.weight"])

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda s: s.pop("bn1.weight"), "1 keys missing (bn1.weight)"),
            (lambda s: s.update(extra=torch.zeros(1)), "1 keys unexpected (extra)"),
            (
                lambda s: s.update({"bn1.bias": torch.zeros(7)}),
                "1 shapes differ (bn1.bias (7,) instead of (24,))",
            ),
        ],
        ids=["missing", "unexpected", "shape"],
    )
    def test_every_difference_is_named(
        self, tmp_path: Path, tiny_state: dict[str, Tensor], change, words: str
    ) -> None:
        state = dict(tiny_state)
        change(state)
        save_file(state, tmp_path / "w.safetensors")
        message = refused(tiny(weights=f"file:{tmp_path / 'w.safetensors'}"), tmp_path)
        assert words in message
        assert TINY in message

    @pytest.mark.parametrize("suffix", ["pth", "pt", "bin", "ckpt"])
    def test_a_pickle_is_refused_unread(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
    ) -> None:
        path = tmp_path / f"w.{suffix}"
        torch.save({"x": torch.zeros(1)}, path)
        monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
        message = refused(tiny(weights=f"file:{path}"), tmp_path)
        assert str(path) in message
        assert "only .safetensors" in message

    @pytest.mark.parametrize("content", [b"", b"text", None], ids=["empty", "text", "truncated"])
    def test_damaged_file(self, tiny_file: Path, content: bytes | None) -> None:
        tiny_file.write_bytes(tiny_file.read_bytes()[:5000] if content is None else content)
        message = refused(tiny(weights=f"file:{tiny_file}"), Path())
        assert f"{tiny_file}: not a readable safetensors file" in message

    def test_missing_file_and_folder(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none.safetensors", tmp_path):
            assert f"no such file: {path}" in refused(tiny(weights=f"file:{path}"), tmp_path)

    def test_pin(self, tiny_file: Path) -> None:
        sha256 = hashlib.sha256(tiny_file.read_bytes()).hexdigest()
        assert load_guide(tiny(weights=f"file:{tiny_file}", weights_sha256=sha256), Path())
        message = refused(tiny(weights=f"file:{tiny_file}", weights_sha256="a" * 64), Path())
        assert f"sha256 {sha256} is not the pinned {'a' * 64}" in message

    def test_one_changed_byte_is_another_sha256(self, tiny_file: Path) -> None:
        config = tiny(weights=f"file:{tiny_file}")
        before = load_guide(config, Path()).weights_sha256
        data = bytearray(tiny_file.read_bytes())
        data[-1] ^= 1
        tiny_file.write_bytes(bytes(data))
        assert load_guide(config, Path()).weights_sha256 != before


class TestHub:
    """timm's hub, which cannot be reached here: a local cache folder stands in for it."""

    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
        return tmp_path / "hub"

    @pytest.fixture(autouse=True)
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Host names that were looked up; none is found."""
        hosts: list[str] = []

        def lookup(host: str, *_: object, **__: object) -> None:
            hosts.append(host)
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        return hosts

    @staticmethod
    def put(cache: Path, repository: str, state: dict[str, Tensor]) -> Path:
        """A file in the layout of the hub's local cache."""
        folder = cache / f"models--{repository.replace('/', '--')}"
        commit = "c" * 40
        snapshot = folder / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(commit)
        save_file(state, snapshot / "model.safetensors")
        return snapshot / "model.safetensors"

    def test_local_copy_needs_no_network(
        self, cache: Path, asked: list[str], tiny_state: dict[str, Tensor]
    ) -> None:
        path = self.put(cache, HUB_ID, tiny_state)
        guide = load_guide(tiny(weights="hub:"), Path())
        assert_loaded(guide, tiny_state)
        assert guide.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert asked == []

    def test_another_repository(self, cache: Path, tiny_state: dict[str, Tensor]) -> None:
        self.put(cache, "plant/parts", tiny_state)
        assert_loaded(load_guide(tiny(weights="hub:plant/parts"), Path()), tiny_state)

    def test_the_tag_names_the_repository(self, cache: Path, tiny_state: dict[str, Tensor]) -> None:
        self.put(cache, HUB_ID, tiny_state)
        config = AgnConfig(backbone="test_efficientnet.r160_in1k", weights="hub:")
        assert_loaded(load_guide(config, Path()), tiny_state)

    def test_unreachable_hub_is_one_line(
        self, asked: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            message = refused(tiny(weights="hub:"), tmp_path)
        assert f"{HUB_ID} is neither in the local hub cache nor reachable" in message
        assert "file:PATH" in message
        assert asked
        assert caplog.records == []

    def test_offline_mode_is_one_line_at_once(
        self, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
        assert "nor reachable" in refused(tiny(weights="hub:"), tmp_path)
        assert asked == []

    def test_impossible_repository(self, tmp_path: Path) -> None:
        assert "hub:no//such" in refused(tiny(weights="hub:no//such"), tmp_path)

    def test_backbone_without_a_repository(self, tmp_path: Path) -> None:
        config = AgnConfig(backbone="cs3darknet_s", weights="hub:")
        assert "timm names no hub repository for it" in refused(config, tmp_path)

    def test_a_wrong_backbone_or_tap_is_said_before_anything_is_fetched(
        self, asked: list[str], tmp_path: Path
    ) -> None:
        for backbone in ("nosuchnet", "resnet18.nosuchtag", "test_vit"):
            config = AgnConfig(backbone=backbone, weights="hub:")
            assert backbone in refused(config, tmp_path, ConfigError)
        assert asked == []


class TestS3:
    @pytest.fixture
    def put(self, bucket: str, tiny_state: dict[str, Tensor]):
        import boto3

        def store(key: str) -> bytes:
            data = save({**tiny_state, "bn1.bias": torch.full((24,), float(len(key)))})
            boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=data)
            return data

        return store

    def test_object(self, put, tmp_path: Path) -> None:
        data = put("guides/tiny.safetensors")
        config = tiny(weights="s3://factory/guides/tiny.safetensors")
        guide = load_guide(config, tmp_path)
        assert guide.weights_sha256 == hashlib.sha256(data).hexdigest()
        assert float(guide.agn.backbone.bn1.bias[0]) == len("guides/tiny.safetensors")
        assert "is not the pinned" in refused(
            config.model_copy(update={"weights_sha256": "0" * 64}), tmp_path
        )

    @pytest.mark.usefixtures("brief_retries")
    def test_a_pinned_object_is_fetched_once(self, put, s3_at, tmp_path: Path) -> None:
        sha256 = hashlib.sha256(put("tiny.safetensors")).hexdigest()
        config = tiny(weights="s3://factory/tiny.safetensors", weights_sha256=sha256)
        load_guide(config, tmp_path)
        s3_at("http://127.0.0.1:9")  # nobody listens
        assert load_guide(config, tmp_path).weights_sha256 == sha256
        next(tmp_path.rglob("tiny.safetensors")).write_bytes(b"damaged")
        assert "no connection" in refused(config, tmp_path, GTransError)

    def test_equal_names_do_not_collide(self, put, tmp_path: Path) -> None:
        """Many a folder has a model.safetensors; a fan-out may read two of them at once."""
        for key in ("a/model.safetensors", "longer/model.safetensors"):
            put(key)
            load_guide(tiny(weights=f"s3://factory/{key}"), tmp_path)
        assert len(list(tmp_path.rglob("model.safetensors"))) == 2

    def test_missing_object(self, bucket: str, tmp_path: Path) -> None:
        config = tiny(weights="s3://factory/none.safetensors")
        assert "none.safetensors" in refused(config, tmp_path, GTransError)
        assert list(tmp_path.rglob("*.safetensors")) == []

    @pytest.mark.parametrize("weights", ["s3:", "s3://", "s3://factory", "s3://factory/", "s3:x/y"])
    def test_not_an_object(self, weights: str, tmp_path: Path) -> None:
        assert "expected s3://BUCKET/KEY" in refused(tiny(weights=weights), tmp_path)


class TestRandom:
    def test_the_seed_decides(self, tmp_path: Path) -> None:
        torch.manual_seed(1)
        first = load_guide(tiny(weights="random:5"), tmp_path)
        torch.manual_seed(2)
        second = load_guide(tiny(weights="random:5"), tmp_path)
        other = load_guide(tiny(weights="random:6"), tmp_path)
        state = first.agn.backbone.state_dict()
        assert first.weights_sha256 == second.weights_sha256 == state_sha256(state)
        assert first.weights_sha256 != other.weights_sha256
        assert_loaded(second, state)

    def test_leaves_torchs_generator_alone(self, tmp_path: Path) -> None:
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        load_guide(tiny(weights="random:5"), tmp_path)
        assert torch.equal(torch.rand(3), expected)

    @pytest.mark.parametrize("seed", ["", "x", "-1", "1.5"])
    def test_not_a_seed(self, seed: str, tmp_path: Path) -> None:
        assert "expected random:SEED" in refused(tiny(weights=f"random:{seed}"), tmp_path)


@pytest.mark.parametrize("weights", ["", "imagenet", "http://host/w.safetensors", "FILE:x"])
def test_unknown_origin(weights: str, tmp_path: Path) -> None:
    assert "expected package:NAME, hub:, file:PATH" in refused(tiny(weights=weights), tmp_path)
