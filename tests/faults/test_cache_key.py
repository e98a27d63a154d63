"""Fault 6: what decides the cached bytes changes the key, whatever does not is a hit."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import timm

from gtrans_core.config import digest_of
from gtrans_core.data.layout import scan_category
from gtrans_core.features.cache_index import CacheIdentity, cache_identity
from gtrans_core.features.weights import load_guide
from gtrans_core.network.backbone import agn_spec
from tests.support.categories import put, sound_category
from tests.support.images import png


class TestIdentity:
    """What decides the bytes changes the key; what does not, does not."""

    @pytest.mark.parametrize(
        "change",
        [
            {"weights_sha256": "0" * 63 + "1"},
            {"backbone": "resnet18"},
            {"taps": (8, 16, 32)},
            {"mean": (0.5, 0.5, 0.5)},
            {"std": (0.5, 0.5, 0.5)},
            {"decoder_version": "another"},
            {"drift": "some"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_field(self, builder, change: dict[str, object]) -> None:
        values = builder.identity.model_dump() | change
        assert CacheIdentity.model_validate(values).key != builder.identity.key

    def test_a_clean_guides_key_does_not_mention_drift(self, builder) -> None:
        """Caches made before there was any drift are still found."""
        values = builder.identity.model_dump(mode="json")
        assert (values.pop("drift"), values.pop("brightness")) == ("", 1)
        assert values.pop("blocks") is None
        for later in ("exposure", "levels", "max_megapixels", "overlap", "region", "tiles"):
            del values["image"][later]
        assert digest_of(values) == builder.identity.key

    def test_what_changes_no_pixel_changes_no_key(self, builder, tiny_config) -> None:
        image = tiny_config("image.max_megapixels=90").image
        other = cache_identity(builder.manifest, builder.agn.spec, "0" * 64, image)
        assert other.key == builder.identity.key

    @pytest.mark.parametrize(
        "override",
        [
            "image.size=80",
            "image.crop=48",
            "image.interpolation=bicubic",
            "image.resize=exact",
            "image.exposure=even",
            "image.levels=[0, 4095]",
            "image.tiles=[1, 2]",
            "image.region=[[0, 0], [1, 0], [1, 1]]",
        ],
    )
    def test_preprocessing(self, builder, tiny_config, override: str) -> None:
        image = tiny_config(override).image
        other = cache_identity(builder.manifest, builder.agn.spec, "0" * 64, image)
        assert other.key != builder.identity.key

    def test_backbone_taps_and_weights_come_from_the_guide(self, builder, tiny_config) -> None:
        keys = {builder.identity.key}
        for override in (
            "agn.weights=random:1",
            "agn.taps=[8, 16, 32]",
            "agn.backbone=test_resnet",
        ):
            config = tiny_config(override)
            guide = load_guide(config.agn, Path())
            keys.add(
                cache_identity(
                    builder.manifest, guide.agn.spec, guide.weights_sha256, config.image
                ).key
            )
        assert len(keys) == 4

    def test_blocks_of_a_vit(self, builder, tiny_config) -> None:
        vit = ("agn.backbone=test_vit", "agn.taps=[16, 16, 16]")
        keys = set()
        for blocks in ("[1, 2, 3]", "[1, 2, 4]"):
            config = tiny_config(*vit, f"agn.blocks={blocks}")
            spec = agn_spec(config.agn)
            keys.add(cache_identity(builder.manifest, spec, "0" * 64, config.image).key)
        assert len(keys) == 2

    def test_one_byte_of_one_image(self, builder) -> None:
        first, *rest = builder.manifest.samples
        changed = first.model_copy(update={"sha256": "0" + first.sha256[1:]})
        manifest = builder.manifest.model_copy(update={"samples": (changed, *rest)})
        assert first.sha256 != changed.sha256
        other = cache_identity(manifest, builder.agn.spec, "0" * 64, builder.identity.image)
        assert other.key != builder.identity.key

    def test_renamed_moved_reordered_and_copied_files_hit(
        self, built, tmp_path: Path, tiny_config
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        samples = []
        for number, sample in enumerate(reversed(built.manifest.samples)):
            name = f"renamed-{number}.png"
            shutil.copy(Path(built.manifest.root) / sample.path, elsewhere / name)
            samples.append(sample.model_copy(update={"path": name}))
        copied = samples[0].model_copy(update={"path": "copy.png"})
        manifest = built.manifest.model_copy(
            update={"root": str(elsewhere), "samples": (*samples, copied)}
        )
        again = type(built)(built.root, manifest, built.agn, tiny_config())
        assert again.identity == built.identity
        assert again.build().reused


class TestRealFiles:
    """From bytes on disk to the key, as ``ingest`` and ``cache_features`` find it."""

    @pytest.fixture
    def plant(self, tmp_path: Path, tiny_config) -> Path:
        sound_category(tmp_path / "screw")
        weights = timm.create_model(tiny_config().agn.backbone, pretrained=False).state_dict()
        safetensors.torch.save_file(weights, tmp_path / "w.safetensors")
        return tmp_path

    def key(self, plant: Path, tiny_config, category: str = "screw") -> str:
        config = tiny_config(f"agn.weights=file:{plant}/w.safetensors")
        train, _ = scan_category(plant / category, "screw", "folder")
        guide = load_guide(config.agn, plant)
        identity = cache_identity(train, guide.agn.spec, guide.weights_sha256, config.image)
        return identity.key

    def test_one_changed_byte_of_an_image_is_a_miss(self, plant: Path, tiny_config) -> None:
        before = self.key(plant, tiny_config)
        image = plant / "screw/train/good/003.png"
        image.write_bytes(image.read_bytes() + b"\0")  # after the last chunk: the same pixels
        assert self.key(plant, tiny_config) != before

    def test_one_changed_byte_of_the_weights_is_a_miss(self, plant: Path, tiny_config) -> None:
        before = self.key(plant, tiny_config)
        weights = plant / "w.safetensors"
        data = bytearray(weights.read_bytes())
        data[-3] ^= 1
        weights.write_bytes(data)
        assert self.key(plant, tiny_config) != before

    def test_renamed_touched_moved_and_copied_files_are_a_hit(
        self, plant: Path, tiny_config
    ) -> None:
        before = self.key(plant, tiny_config)
        shutil.copytree(plant / "screw", plant / "elsewhere")
        good = plant / "elsewhere/train/good"
        (good / "000.png").rename(good / "renamed.png")
        os.utime(good / "001.png", (0, 0))
        put(plant / "elsewhere", "train/good/copy.png", png(2))
        assert self.key(plant, tiny_config, "elsewhere") == before
