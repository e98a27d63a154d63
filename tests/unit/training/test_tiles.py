"""A category whose parts are seen in tiles: cached, learnt from and calibrated part by part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from gtrans_core.config import GTransConfig, load_config
from gtrans_core.data.images import decode_view, encode_png
from gtrans_core.data.manifest import Manifest
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.engine import OnnxEngine
from gtrans_core.detector.int8 import quantise
from gtrans_core.detector.onnx import export_onnx
from gtrans_core.detector.packaging import reading
from gtrans_core.detector.thresholds import promised_threshold
from gtrans_core.features.cache import CachedFeatures, build_cache, load_cache, tile_positions
from gtrans_core.features.cache_index import cache_identity
from gtrans_core.features.reading import StreamedFeatures
from gtrans_core.features.weights import load_guide
from gtrans_core.network.agn import Agn
from gtrans_core.network.build import build_trans
from gtrans_core.network.scene import SceneModel, TileScenes
from gtrans_core.network.scorer import Scorer
from gtrans_core.network.tiling import Tiling
from gtrans_core.training.closed_form import fit_closed_form, is_better_per_tile
from gtrans_core.training.loop import train_trans
from gtrans_core.training.split import split_images
from tests.support.images import photo
from tests.support.records import detector_info
from tests.support.tiny import photos, tiny_config

TILES = ("image.tiles=[2, 3]", "image.size=[48, 64]", "image.overlap=16", "training.epochs=1")


@dataclass(frozen=True)
class Tiled:
    config: GTransConfig
    manifest: Manifest
    agn: Agn
    folder: Path
    features: CachedFeatures


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Tiled:
    root, config = tmp_path_factory.mktemp("tiles"), tiny_config(*TILES)
    manifest = photos(root / "photos", 11)
    guide = load_guide(config.agn, root)
    identity = cache_identity(manifest, guide.agn.spec, guide.weights_sha256, config.image)
    report = build_cache(root / "cache", identity, manifest, guide.agn, lambda *_: None)
    assert build_cache(
        root / "cache", identity, manifest, guide.agn, lambda *_: None
    ).reused  # its shards have the shapes that are looked for
    return Tiled(config, manifest, guide.agn, report.folder, load_cache(report.folder))


def test_the_cache_holds_the_tiles_of_each_part(tiled: Tiled) -> None:
    samples, tiling = tiled.manifest.in_content_order(), Tiling(tiled.config.image)
    assert tiled.features.digests == tuple(sample.sha256 for sample in samples)
    assert (tiled.features.tiles, len(tiled.features.views)) == (6, 66)
    for position, sample in enumerate(samples):
        data = (Path(tiled.manifest.root) / sample.path).read_bytes()
        view = torch.from_numpy(decode_view(data, "photo", tiled.config.image))
        own = tiled.features.subset(tile_positions([position], 6))
        assert own.digests == (sample.sha256,) * 6
        assert torch.equal(tiling.paste(own.views), view)


def test_streamed_tiles_are_those_in_memory(tiled: Tiled) -> None:
    streamed, some = StreamedFeatures(tiled.folder), [0, 17, 65]
    assert (streamed.digests, streamed.tiles) == (tiled.features.digests, 6)
    expected, found = tiled.features.subset(some), streamed.subset(some)
    assert found.digests == expected.digests
    assert torch.equal(found.views, expected.views)
    assert torch.equal(found.maps[2], expected.maps[2])


def test_a_batch_is_of_tiles_so_that_memory_does_not_grow_with_them(
    tiled: Tiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine of eleven parts are learnt from: 54 tiles in batches of four, of many parts each."""
    asked: list[tuple[int, ...]] = []
    request = CachedFeatures.request

    def noted(self: CachedFeatures, positions: tuple[int, ...]):
        asked.append(positions)
        return request(self, positions)

    monkeypatch.setattr(CachedFeatures, "request", noted)
    result = train_trans(
        tiled.features,
        tiled.agn.spec,
        tiled.config,
        tmp_path,
        on_progress=lambda *_: None,
        say=lambda _: None,
        stop_requested=lambda: False,
    )
    assert result.steps == 13
    split = split_images(tiled.features.digests, tiled.config)
    held_out = set(tile_positions(split.watched, 6))
    learnt = {p for positions in asked for p in positions} - held_out
    assert all(len(positions) <= 4 for positions in asked)
    assert len(learnt) == 13 * 4
    assert not learnt & held_out


@pytest.mark.parametrize("per_tile", ["yes", "no"])
def test_a_detector_of_tiles_scores_the_same_wherever_it_runs(
    tiled: Tiled, tmp_path: Path, per_tile: str
) -> None:
    config = tiny_config(*TILES, f"scene.per_tile={per_tile}", "scoring.place_exponent=0.3")
    scene, memory = fit_closed_form(tiled.features, range(9), config)
    assert isinstance(scene, TileScenes if per_tile == "yes" else SceneModel)
    trans = build_trans(tiled.agn.spec, config)
    scorer = Scorer(tiled.agn, trans, scene, config, memory)
    graph = export_onnx(scorer, config.image.view_shape)
    Detector(scorer, detector_info(config), OnnxEngine(graph)).save(tmp_path / "d")
    loaded = Detector.load(tmp_path / "d")
    view = loaded.view(photo(3), "photo")
    assert view.shape == (3, 80, 160)
    heat_map, score = scorer.score_view(view)
    assert heat_map.shape == (80, 160)
    light = OnnxEngine(quantise(graph))
    for engine, rel in ((loaded.engine, 1e-4), (loaded.scorer, 1e-6), (light, 1e-2)):
        assert engine.score_view(view)[1] == pytest.approx(score, rel=rel)
    assert reading(scorer, view, config)[0] == score
    for graph_engine in (loaded.graph, light):
        assert graph_engine is not None
        assert graph_engine.score_alone(view) == graph_engine.score_view(view)[1]
    assert loaded.judge_view(view).is_anomalous is loaded.predict_view(view).is_anomalous


def features_of(parts: torch.Tensor) -> CachedFeatures:
    """Of maps [N, T, C, H, W]."""
    count, tiles = parts.shape[:2]
    maps = parts.flatten(0, 1)
    digests = tuple(f"{i:064x}" for i in range(count))
    return CachedFeatures(digests, torch.zeros(count * tiles, 3, 1, 1), (maps, maps, maps), tiles)


def test_parts_that_lie_still_get_a_scene_model_for_each_place_and_others_one() -> None:
    """At each place of a part that lies still, good ones differ in ways of its own."""
    tiles = ("image.tiles=[2, 2]", "image.overlap=16")
    few, config = (tiny_config(*tiles, f"scene.rank={rank}") for rank in (3, 12))
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    ways = torch.randn(4, 3, 5, 4, 4)
    still = torch.einsum("npk,pkchw->npchw", torch.randn(20, 4, 3), ways)
    still += 0.1 * torch.randn(still.shape)
    assert is_better_per_tile(features_of(still), range(20), few)
    moved = torch.stack([part[rng.permutation(4)] for part in still])
    assert not is_better_per_tile(features_of(moved), range(20), config)
    scene, _ = fit_closed_form(features_of(still), range(20), few)
    assert isinstance(scene, TileScenes)


def test_a_small_defect_counts_as_much_in_a_part_of_many_tiles() -> None:
    """The score is of so many pixels as in one tile, wherever they are."""
    from gtrans_core.network.score import image_score

    config = tiny_config(*TILES).scoring
    heat = torch.rand(1, 48, 64)
    whole = torch.zeros(1, 80, 160)
    whole[:, 20:68, 50:114] = heat
    alike, pixels = torch.ones(1, 1, 1), tiny_config(*TILES).image.scored_pixels
    assert image_score(whole, alike, config, pixels) == image_score(heat, alike, config)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("image.tiles=[2, 2]", "image.crop=48"), "a crop is not cut into tiles"),
        (("image.tiles=[2, 2]", "image.overlap=48"), "overlap is more than half a tile"),
        (("image.tiles=[2, 2]", "agn.taps=[8, 16, 32]"), "multiple of the coarsest stride"),
        (("image.tiles=[2, 2]", "research.author_compat=true"), "without image.tiles"),
        (("image.tiles=[0, 2]",), "image.tiles"),
    ],
)
def test_what_cannot_be_cut_is_refused_by_name(overrides: tuple[str, ...], words: str) -> None:
    from gtrans_core.errors import ConfigError

    given = [*overrides, *([] if "image.overlap=48" in overrides else ["image.overlap=16"])]
    with pytest.raises(ConfigError, match="image") as caught:
        tiny_config(*given)
    assert words in str(caught.value)


def test_a_small_defect_is_found_with_tiles_and_missed_without(tmp_path: Path) -> None:
    """A speck of 8 of 384 pixels on cloth with a grain: resized to 96 x 96, and cut.

    Found: its part is flagged, at a threshold from good parts that were held out, and the highest
    pixel of the heat map lies in the speck, or no more than half of its width beside it.
    """
    rng = np.random.default_rng(0)

    def cloth(speck: tuple[int, int] | None = None) -> bytes:
        grain = ndimage.gaussian_filter(rng.normal(0, 1, (384, 384)), 4)
        pixels = 128 + 15 * grain / grain.std()
        if speck:
            row, column = speck
            pixels[row : row + 8, column : column + 8] = 0
        return encode_png(np.repeat(pixels.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))

    fitted, held_out, good = ([cloth() for _ in range(count)] for count in (8, 10, 6))
    specks = [(int(row), int(column)) for row, column in rng.integers(20, 364, (6, 2))]
    bad = [cloth(speck) for speck in specks]

    def found(*overrides: str) -> tuple[int, int]:
        """How many specks are found, and how many good parts are flagged."""
        knobs = ("image.size=96", "scoring.scene_share=1", "scoring.smoothing_sigma=2")
        config = load_config(overrides=[*knobs, *overrides])
        guide, tiling = load_guide(config.agn, tmp_path), Tiling(config.image)

        def views(images: list[bytes]) -> torch.Tensor:
            whole = [torch.from_numpy(decode_view(i, "cloth", config.image)) for i in images]
            return torch.stack(whole)

        tiles = tiling.cut(views(fitted))
        first, second, third = guide.agn(guide.agn.spec.normalise(tiles))
        digests = tuple(f"{i:064x}" for i in range(8))
        features = CachedFeatures(digests, tiles, (first, second, third), tiling.count)
        scene, memory = fit_closed_form(features, range(8), config)
        trans = build_trans(guide.agn.spec, config)
        scorer = Scorer(guide.agn, trans, scene, config, memory)

        def scored(images: list[bytes]) -> list[tuple[np.ndarray, float]]:
            return [scorer.score_view(view.numpy()) for view in views(images)]

        threshold, _ = promised_threshold([score for _, score in scored(held_out)], 0.1)
        in_place = 0
        for (row, column), (heat_map, score) in zip(specks, scored(bad), strict=True):
            scale = 384 / len(heat_map)
            peak = np.array(np.unravel_index(heat_map.argmax(), heat_map.shape))
            away = np.abs((peak + 0.5) * scale - (row + 4, column + 4)).max()
            in_place += bool(score > threshold and away <= 8)
        return in_place, sum(score > threshold for _, score in scored(good))

    assert found("image.tiles=[3, 3]", "scene.per_tile=no") == (6, 0)
    few, _ = found()
    assert few <= 1
