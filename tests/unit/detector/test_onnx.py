"""ONNX Runtime beside torch: the same scores, or it is not packaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import GRAPH_NAME, read_info
from gtrans_core.detector.onnx import (
    PARITY,
    OnnxEngine,
    export_onnx,
    largest_difference,
    package_graph,
)
from gtrans_core.errors import ModelError
from gtrans_core.network.agn import state_sha256
from gtrans_core.network.scorer import Scorer
from tests.support.detectors import make_scorer
from tests.support.images import views_of
from tests.support.records import detector_info


@pytest.fixture(scope="module")
def scorer(tiny_config) -> Scorer:
    return make_scorer(tiny_config())


@pytest.fixture(scope="module")
def graph(scorer: Scorer) -> OnnxEngine:
    return OnnxEngine(export_onnx(scorer, (64, 64)))


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("scoring.scene_share=1",),
        ("scoring.scene_share=0", "research.fusion=product", "research.map_weights=image"),
        ("scoring.scene_share=0", "research.fusion=sum", "scoring.image_score=max"),
        ("research.guidance=none", "scoring.smoothing_sigma=0"),
        ("image.size=[64, 96]",),
        ("agn.backbone=test_vit", "agn.taps=[16, 16, 16]", "image.size=[64, 96]"),
    ],
    ids=" ".join,
)
def test_every_way_to_score_is_the_same_on_both(tiny_config, overrides: tuple[str, ...]) -> None:
    config = tiny_config(*overrides)
    scorer = make_scorer(config)
    engine = OnnxEngine(export_onnx(scorer, config.image.view_shape))
    for view in views_of(config.image.view_shape):
        expected, found = scorer.score_view(view), engine.score_view(view)
        assert found[1] == pytest.approx(expected[1], rel=PARITY)
        assert found[0].dtype == np.float32
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-3, atol=1e-5)


def test_an_image_has_one_score_whatever_came_before_and_on_any_number_of_threads(
    graph: OnnxEngine,
) -> None:
    views = views_of(64)
    first = [graph.score_view(view) for view in views]
    two = OnnxEngine(graph.graph, threads=2)
    for view, (heat_map, score) in reversed(list(zip(views, first, strict=True))):
        for engine in (graph, two):
            again = engine.score_view(view)
            assert again[1] == score
            assert np.array_equal(again[0], heat_map)


def test_weights_are_in_an_order_that_every_process_gives(graph: OnnxEngine) -> None:
    """Else a run that is repeated would register the same detector as a new version."""
    names = [tensor.name for tensor in onnx.load_from_string(graph.graph).graph.initializer]
    assert len(names) > 20
    assert names == sorted(names)


def test_the_largest_difference_is_relative_and_sees_a_nan(scorer: Scorer) -> None:
    class Other:
        def __init__(self, *factors: float) -> None:
            self.factors = iter(factors)

        def score_view(self, view: np.ndarray) -> tuple[np.ndarray, float]:
            heat_map, score = scorer.score_view(view)
            return heat_map, score * next(self.factors)

    views = views_of(64, 3)
    assert largest_difference(scorer, Other(1, 0.9, 1.05), views) == pytest.approx(0.1)
    assert np.isnan(largest_difference(scorer, Other(1, np.nan, 1), views))


@pytest.mark.parametrize("factor", [1 + 3 * PARITY, np.nan])
def test_a_graph_that_scores_otherwise_is_not_packaged(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    said: list[str] = []
    assert package_graph(scorer, views_of(64), said.append) is not None
    assert said == []
    honest = OnnxEngine.score_view

    def score_view(self: OnnxEngine, view: np.ndarray) -> tuple[np.ndarray, float]:
        heat_map, score = honest(self, view)
        return heat_map, score * factor

    monkeypatch.setattr(OnnxEngine, "score_view", score_view)
    assert package_graph(scorer, views_of(64), said.append) is None
    assert "packaged for torch" in said[0]


def test_a_network_that_onnx_cannot_say_is_packaged_for_torch(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        scorer.agn.spec.__class__, "normalise", lambda _, v: torch.linalg.eigh(v)[0]
    )
    assert package_graph(scorer, views_of(64), said.append) is None
    assert "cannot run this network" in said[0]


@pytest.mark.parametrize("data", [b"", b"not a graph"])
def test_what_is_no_graph_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        OnnxEngine(data)


@pytest.fixture
def folder(scorer: Scorer, graph: OnnxEngine, tiny_config, tmp_path: Path) -> Path:
    Detector(scorer, detector_info(tiny_config()), graph).save(tmp_path / "detector")
    return tmp_path / "detector"


def test_a_packaged_graph_scores_after_loading(folder: Path, graph: OnnxEngine) -> None:
    loaded = Detector.load(folder)
    assert loaded.info.engine == "onnxruntime"
    for view in views_of(64):
        assert loaded.predict_view(view).score == graph.score_view(view)[1]


def test_a_packaged_graph_scores_without_torchs_networks(
    folder: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("gtrans_core.detector.networks.build_trans", lambda *_: pytest.fail("built"))
        loaded = Detector.load(folder)
        loaded.predict_view(views_of(64)[0])
    assert state_sha256(loaded.scorer.trans.state_dict()) == state_sha256(scorer.trans.state_dict())


@pytest.mark.parametrize("damage", ["flipped", "gone", "swapped"])
def test_a_damaged_graph_is_refused_by_name(folder: Path, damage: str) -> None:
    path = folder / GRAPH_NAME
    if damage == "flipped":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"other bytes")
    with pytest.raises(ModelError, match=GRAPH_NAME):
        Detector.load(folder)


def test_a_graph_that_the_facts_do_not_name_is_a_stranger(folder: Path) -> None:
    path = folder / "detector.json"
    info = read_info(path.parent)
    path.write_text(info.model_copy(update={"engine": "torch"}).model_dump_json(), encoding="utf-8")
    with pytest.raises(ModelError, match=f"{GRAPH_NAME}: does not belong"):
        Detector.load(folder)
