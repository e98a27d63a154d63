"""The feature cache: keyed by content, never trained on when damaged, computed no more than once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import gtrans_core.cache
from gtrans_core.cache import (
    INDEX_NAME,
    CacheIdentity,
    CacheReport,
    build_cache,
    cache_identity,
    load_cache,
)
from gtrans_core.config import GTransConfig
from gtrans_core.data.images import decode_image, preprocess
from gtrans_core.data.manifest import Manifest
from gtrans_core.errors import DataError, StorageError
from gtrans_core.network.agn import Agn
from gtrans_core.verified import write_verified
from gtrans_core.weights import load_guide

SHARD_SIZE = 3


@pytest.fixture(autouse=True)
def small_shards_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven images in three shards; one thread, so that features can be compared bit by bit."""
    monkeypatch.setattr(gtrans_core.cache, "SHARD_SIZE", SHARD_SIZE)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def agn(tiny_config) -> Agn:
    return load_guide(tiny_config().agn, Path()).agn


class Builder:
    """A cache of seven photos under one guide."""

    def __init__(self, root: Path, manifest: Manifest, agn: Agn, config: GTransConfig) -> None:
        self.root = root
        self.manifest = manifest
        self.agn = agn
        self.identity = cache_identity(manifest, agn.spec, "0" * 64, config.image)
        self.folder = root / self.identity.key
        self.progress: list[tuple[int, int]] = []

    def build(self) -> CacheReport:
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


@pytest.fixture
def builder(tmp_path: Path, make_photos, agn: Agn, tiny_config) -> Builder:
    return Builder(tmp_path / "cache", make_photos(tmp_path / "photos", 7), agn, tiny_config())


@pytest.fixture
def built(builder: Builder) -> Builder:
    builder.build()
    return builder


def test_holds_the_views_and_the_maps_of_every_image(built: Builder) -> None:
    features = load_cache(built.folder)
    samples = built.manifest.in_content_order()
    assert features.digests == tuple(s.sha256 for s in samples)
    for sample, view in zip(samples, features.views, strict=True):
        data = (Path(built.manifest.root) / sample.path).read_bytes()
        expected = preprocess(decode_image(data, "photo"), built.identity.image)
        assert torch.equal(view, torch.from_numpy(expected))
    maps = built.agn(built.agn.spec.normalise(features.views))
    for cached, computed in zip(features.maps, maps, strict=True):
        assert cached.dtype == torch.float16
        assert cached.shape == computed.shape
        torch.testing.assert_close(cached.float(), computed, rtol=2e-3, atol=1e-4)


def test_build_reports_what_it_did(builder: Builder) -> None:
    report = builder.build()
    assert (report.folder, report.key) == (builder.folder, builder.identity.key)
    assert (report.computed, report.damaged_shards, report.reused) == (7, 0, False)
    assert builder.progress == [(3, 7), (6, 7), (7, 7)]


def test_second_build_computes_nothing_and_touches_nothing(built: Builder) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.folder.iterdir()}
    report = built.build()
    assert (report.computed, report.damaged_shards, report.reused) == (0, 0, True)
    assert {path: path.stat().st_mtime_ns for path in built.folder.iterdir()} == before


def test_subset_takes_positions_in_order(built: Builder) -> None:
    features = load_cache(built.folder)
    some = features.subset([4, 1])
    assert some.digests == (features.digests[4], features.digests[1])
    assert torch.equal(some.views, features.views[[4, 1]])
    for chosen, every in zip(some.maps, features.maps, strict=True):
        assert torch.equal(chosen, every[[4, 1]])


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
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_field(self, builder: Builder, change: dict[str, object]) -> None:
        values = builder.identity.model_dump() | change
        assert CacheIdentity.model_validate(values).key != builder.identity.key

    @pytest.mark.parametrize(
        "override", ["image.size=80", "image.crop=48", "image.interpolation=bicubic"]
    )
    def test_preprocessing(self, builder: Builder, tiny_config, override: str) -> None:
        image = tiny_config(override).image
        other = cache_identity(builder.manifest, builder.agn.spec, "0" * 64, image)
        assert other.key != builder.identity.key

    def test_backbone_taps_and_weights_come_from_the_guide(
        self, builder: Builder, tiny_config
    ) -> None:
        keys = {builder.identity.key}
        for override in ("agn.weights=random:1", "agn.taps=[8, 16, 32]", "agn.backbone=test_resnet"):
            config = tiny_config(override)
            guide = load_guide(config.agn, Path())
            keys.add(
                cache_identity(
                    builder.manifest, guide.agn.spec, guide.weights_sha256, config.image
                ).key
            )
        assert len(keys) == 4

    def test_one_byte_of_one_image(self, builder: Builder) -> None:
        first, *rest = builder.manifest.samples
        changed = first.model_copy(update={"sha256": "0" + first.sha256[1:]})
        manifest = builder.manifest.model_copy(update={"samples": (changed, *rest)})
        assert first.sha256 != changed.sha256
        other = cache_identity(
            manifest, builder.agn.spec, "0" * 64, builder.identity.image
        )
        assert other.key != builder.identity.key

    def test_renamed_moved_reordered_and_copied_files_hit(
        self, built: Builder, tmp_path: Path, tiny_config
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
        again = Builder(built.root, manifest, built.agn, tiny_config())
        assert again.identity == built.identity
        assert again.build().reused


class TestDamage:
    """A shard that is not what it was is set aside and made anew, once, and counted."""

    @pytest.mark.parametrize("kind", ["truncated", "empty", "bit flipped", "renamed", "deleted"])
    def test_shard(self, built: Builder, kind: str) -> None:
        original = built.files()
        victim = built.shards()[1]
        data = victim.read_bytes()
        flipped = data[:5000] + bytes([data[5000] ^ 16]) + data[5001:]
        if kind == "renamed":
            victim.rename(victim.with_name("shard-00001-" + "0" * 64 + ".safetensors"))
        elif kind == "deleted":
            victim.unlink()
        else:
            content = {"truncated": data[:-1], "empty": b"", "bit flipped": flipped}[kind]
            victim.write_bytes(content)
        with pytest.raises(DataError, match=f"{victim.name}.*run the pipeline again") as caught:
            load_cache(built.folder)
        assert "\n" not in str(caught.value)
        report = built.build()
        assert report.computed == SHARD_SIZE
        assert report.damaged_shards == (kind != "deleted")
        assert built.files() == original
        assert len(list(built.folder.glob("*.damaged"))) == (kind != "deleted")
        assert built.build().reused
        assert len(load_cache(built.folder).views) == 7

    def test_every_shard(self, built: Builder) -> None:
        original = built.files()
        for path in built.shards():
            path.write_bytes(b"x")
        report = built.build()
        assert (report.computed, report.damaged_shards) == (7, 3)
        assert built.files() == original

    @pytest.mark.parametrize(
        "change",
        [
            lambda t: t | {"map1": t["map1"].float()},
            lambda t: t | {"views": t["views"].to(torch.int16)},
            lambda t: t | {"map2": t["map2"][:, :, :-1].contiguous()},
            lambda t: t | {"views": t["views"][:-1]},
            lambda t: {name: tensor for name, tensor in t.items() if name != "map3"},
        ],
        ids=["fp32 map", "int16 views", "short map", "view missing", "map missing"],
    )
    def test_wrong_content_under_a_right_digest(self, built: Builder, change) -> None:
        """As another version of the code might have written it."""
        original = built.files()
        victim = built.shards()[1]
        tensors = safetensors.torch.load(victim.read_bytes())
        images = load_cache(built.folder).digests[SHARD_SIZE : 2 * SHARD_SIZE]
        victim.unlink()
        data = safetensors.torch.save(change(tensors), {"images": " ".join(images)})
        write_verified(built.folder, "shard-00001", "safetensors", data)
        report = built.build()
        assert (report.computed, report.damaged_shards) == (SHARD_SIZE, 1)
        assert built.files() == original

    @pytest.mark.parametrize("data", [b"", b"not safetensors", b"\2\0\0\0\0\0\0\0[]", b"\xff" * 99])
    def test_no_shard_at_all_under_a_right_digest(self, built: Builder, data: bytes) -> None:
        original = built.files()
        write_verified(built.folder, "shard-00009", "safetensors", data)
        report = built.build()
        assert (report.computed, report.damaged_shards) == (0, 1)
        assert built.files() == original

    @pytest.mark.parametrize(
        "content", [None, b"", b"garbage", b"{}", b"\xff\xfe"], ids=lambda c: repr(c)
    )
    def test_index_is_made_again_from_intact_shards(
        self, built: Builder, content: bytes | None
    ) -> None:
        original = built.files()
        (built.folder / INDEX_NAME).unlink()
        if content is not None:
            (built.folder / INDEX_NAME).write_bytes(content)
        with pytest.raises(DataError, match="no intact feature cache"):
            load_cache(built.folder)
        assert built.build().computed == 0
        assert built.files() == original

    @pytest.mark.parametrize("what", ["fewer shards", "other identity"])
    def test_index_that_does_not_fit(self, built: Builder, what: str) -> None:
        original = built.files()
        path = built.folder / INDEX_NAME
        index = json.loads(path.read_bytes())
        if what == "fewer shards":
            index["shards"].pop()
        else:
            index["identity"]["weights_sha256"] = "1" * 64
        path.write_text(json.dumps(index))
        with pytest.raises(DataError, match="no intact feature cache"):
            load_cache(built.folder)
        assert built.build().computed == 0
        assert built.files() == original


class Interrupted(Exception):
    """The process ends."""


def test_interrupted_build_goes_on(builder: Builder) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2 * SHARD_SIZE:
            raise Interrupted

    with pytest.raises(Interrupted):
        build_cache(builder.root, builder.identity, builder.manifest, builder.agn, stop)
    with pytest.raises(DataError, match="no intact feature cache"):
        load_cache(builder.folder)
    report = builder.build()
    assert (report.computed, report.damaged_shards) == (1, 0)
    assert len(load_cache(builder.folder).views) == 7


BUILD = """
import torch
import gtrans_core.cache
from gtrans_core.weights import load_guide
gtrans_core.cache.SHARD_SIZE = 3
torch.set_num_threads(1)
agn = load_guide(config.agn, root).agn
(root / f"ready-{number}").touch()
while not (root / f"ready-{1 - number}").exists():
    pass
gtrans_core.cache.build_cache(root, identity, manifest, agn, lambda done, total: None)
"""


def test_two_processes_build_the_same_cache(built: Builder, tiny_config, start_process) -> None:
    """Side by side, from nothing and onto a damaged shard: both succeed, the files are the same."""
    original = built.files()
    for round_ in range(4):
        if round_ % 2:
            shutil.rmtree(built.folder)
        else:
            built.shards()[0].write_bytes(b"damaged")
        for ready in built.root.glob("ready-*"):
            ready.unlink()
        processes = [
            start_process(
                BUILD,
                number=number,
                root=built.root,
                config=tiny_config(),
                identity=built.identity,
                manifest=built.manifest,
            )
            for number in (0, 1)
        ]
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0]
        assert built.files() == original
        assert len(load_cache(built.folder).views) == 7


class Constant(nn.Module):
    """A backbone whose maps have one value each for a dark image, another for a bright one."""

    def __init__(self, spec, dark: float, bright: float) -> None:
        super().__init__()
        self.spec, self.values = spec, torch.tensor([dark, bright])

    def forward(self, inputs: Tensor) -> list[Tensor]:
        batch, _, height, width = inputs.shape
        value = self.values[(inputs.mean(dim=(1, 2, 3)) > 0).long()].view(-1, 1, 1, 1)
        return [
            value.expand(batch, c, height // s, width // s)
            for c, s in zip(self.spec.channels, self.spec.strides, strict=True)
        ]


def with_constant_guide(builder: Builder, dark: float, bright: float) -> Builder:
    builder.agn = Agn(Constant(builder.agn.spec, dark, bright), builder.agn.spec)
    return builder


def test_features_beyond_fp16_are_kept_in_bf16(builder: Builder) -> None:
    with_constant_guide(builder, 1e5, 1e5).build()
    for feature_map in load_cache(builder.folder).maps:
        assert feature_map.dtype == torch.bfloat16
        assert feature_map.float().unique().tolist() == pytest.approx([1e5], rel=2**-8)
    assert builder.build().reused


def test_shards_of_both_half_formats_are_joined_exactly(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one shard needed bf16 and another did not, nothing is lost in joining them."""
    small = 1 + 2**-10  # has more bits than bf16 keeps
    values = iter([small, 1e5, small])

    def forward(self: Constant, inputs: Tensor) -> list[Tensor]:
        value = next(values)
        shapes = zip(self.spec.channels, self.spec.strides, strict=True)
        return [torch.full((len(inputs), c, 64 // s, 64 // s), value) for c, s in shapes]

    monkeypatch.setattr(Constant, "forward", forward)
    with_constant_guide(builder, 0, 0).build()
    for feature_map in load_cache(builder.folder).maps:
        assert feature_map.dtype == torch.float32
        per_image = feature_map.flatten(1).amax(dim=1).tolist()
        big = float(torch.tensor(1e5).bfloat16())
        assert per_image == [small] * 3 + [big] * 3 + [small]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(builder: Builder, value: float) -> None:
    with pytest.raises(DataError, match="features are not finite"):
        with_constant_guide(builder, value, value).build()
    assert not builder.folder.exists() or not builder.files()


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_image_that_is_not_what_was_ingested(builder: Builder, how: str) -> None:
    path = Path(builder.manifest.root) / builder.manifest.samples[3].path
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"003\.png") as caught:
        builder.build()
    assert "\n" not in str(caught.value)


def test_images_are_not_needed_once_cached(built: Builder) -> None:
    shutil.rmtree(built.manifest.root)
    assert built.build().reused


@pytest.mark.parametrize("missing", [0, 1])
def test_room_for_views_and_maps_is_checked_beforehand(
    built: Builder, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    features = load_cache(built.folder)
    needed = sum(tensor.nbytes for tensor in (features.views, *features.maps))
    shutil.rmtree(built.folder)
    usage = shutil._ntuple_diskusage(10**9, 10**9, needed - missing)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    if not missing:
        assert built.build().computed == 7
        return
    with pytest.raises(StorageError, match=f"feature cache needs {needed:,} bytes and"):
        built.build()
    assert built.progress == []


def test_a_full_disk_does_not_matter_to_a_finished_cache(
    built: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 0))
    assert built.build().reused


def test_folder_without_a_cache(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no intact feature cache here; run cache_features again"):
        load_cache(tmp_path / "nothing")
