"""What is packaged: int8 where held-out good images score and are judged as in fp32."""

from __future__ import annotations

import numpy as np
import pytest

from gtrans_core.config import GTransConfig
from gtrans_core.detector import packaging
from gtrans_core.detector.engine import WITH_MAP
from gtrans_core.detector.int8 import SCENE, quantise
from gtrans_core.detector.packaging import INT8_PARITY, Calibration, _chosen, calibrate
from gtrans_core.detector.thresholds import conformal_threshold
from tests.support.detectors import make_scorer
from tests.support.images import views_of

SCORES = np.array([1.0, 1.1, 1.2, 1.3])


def calibrated(config: GTransConfig, said: list[str]) -> Calibration:
    return calibrate(make_scorer(config), config, lambda: iter(views_of(64)), said.append)


@pytest.fixture
def config(tiny_config) -> GTransConfig:
    return tiny_config("evaluation.false_alarm_rate=0.4")


def test_int8_is_packaged_with_its_own_scores(
    config: GTransConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaging, "INT8_PARITY", 0.1)  # the tiny network is no real one
    said: list[str] = []
    found = calibrated(config, said)
    assert said == []
    assert found.note.startswith(
        "Scene model and patch memory packaged in int8: scores of 4 good images"
    )
    assert found.graph is not None
    assert b"MatMulNBits" in found.graph.graph
    assert WITH_MAP.encode() in found.graph.graph
    own = np.array([found.graph.score_view(view)[1] for view in views_of(64)])
    assert np.array_equal(found.scores, own)
    assert found.threshold == conformal_threshold(own, 0.4)


def test_heat_maps_are_drawn_on_the_scale_of_those_of_good_images(config: GTransConfig) -> None:
    """Scores are read from other maps, so their threshold says nothing about a heat map's pixel."""
    found = calibrated(config, [])
    assert found.graph is not None
    maps = [found.graph.score_view(view)[0] for view in views_of(64)]
    top = round(maps[0].size * config.scoring.top_percent / 100)
    reached = [float(np.sort(map_HW, axis=None)[-top:].mean()) for map_HW in maps]
    assert found.map_middle == pytest.approx(conformal_threshold(reached, 0.4), rel=1e-3)
    assert found.map_middle != found.threshold


def test_where_the_score_is_read_from_the_heat_map_one_scale_serves_both(tiny_config) -> None:
    config = tiny_config("evaluation.false_alarm_rate=0.4", "scoring.image_maps=0")
    found = calibrated(config, [])
    assert found.map_middle == pytest.approx(found.threshold, rel=1e-4)


def test_fp32_stays_where_int8_scores_otherwise(
    config: GTransConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaging, "INT8_PARITY", 1e-12)
    said: list[str] = []
    found = calibrated(config, said)
    whats = ["scene model and patch memory", "patch memory"]
    for line, what in zip(said, whats, strict=True):
        assert line.startswith(f"{what} not packaged in int8: scores of 4 good images")
    assert found.graph is not None
    assert b"MatMulNBits" not in found.graph.graph
    assert b"MatMulIntegerToFloat" not in found.graph.graph
    own = [found.graph.score_view(view)[1] for view in views_of(64)]
    assert found.scores.tolist() == own


@pytest.mark.parametrize(
    ("light", "threshold", "packaged"),
    [
        (SCORES * (1 + 0.9 * INT8_PARITY), 1.202, "packaged in int8"),
        (SCORES * (1 + 1.1 * INT8_PARITY), 1.202, "not packaged in int8"),
        (SCORES, 1.2 - 1e-9, "not packaged in int8"),
        (SCORES * [1, 1, 1, np.nan], 1.2, "not packaged in int8"),
    ],
    ids=["within", "beyond", "a decision flips", "not a number"],
)
def test_the_gate(light: np.ndarray, threshold: float, packaged: str) -> None:
    said: list[str] = []
    full = Calibration(None, SCORES, 1.2, 1.0, 0.4)
    light_one = Calibration(None, light, threshold, 1.0, 0.4)
    found = _chosen(full, light_one, "scene model", said.append)
    assert found.note.startswith(f"Scene model {packaged}: ")
    assert found.scores is (light if packaged == "packaged in int8" else SCORES)
    assert len(said) == (packaged != "packaged in int8")


def test_a_graph_that_int8_does_not_fit_stays(
    config: GTransConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(graph: bytes, parts: tuple[str, ...]) -> bytes:
        raise ValueError("other nodes")

    monkeypatch.setattr(packaging, "quantise", refuse)
    said: list[str] = []
    assert calibrated(config, said).graph is not None
    assert said[0].startswith("scene model and patch memory not packaged in int8: ")


@pytest.mark.parametrize(
    "override",
    [
        "scoring.scene_precision=fp32",
        "scoring.engine=torch",
        "scoring.scene_share=0 scoring.memory_share=0",
    ],
)
def test_nothing_to_choose(tiny_config, override: str) -> None:
    config = tiny_config("evaluation.false_alarm_rate=0.4", *override.split())
    found = calibrated(config, [])
    assert found.note == ""
    assert (found.graph is None) == (override == "scoring.engine=torch")


def test_a_memory_is_searched_in_int8_where_the_scene_model_does_not_bear_it(
    config: GTransConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaging, "INT8_PARITY", 0.1)

    def refuse_scene(graph: bytes, parts: tuple[str, ...]) -> bytes:
        if SCENE in parts:
            raise ValueError("other nodes")
        return quantise(graph, parts)

    monkeypatch.setattr(packaging, "quantise", refuse_scene)
    said: list[str] = []
    found = calibrated(config, said)
    assert len(said) == 1
    assert found.note.startswith("Patch memory packaged in int8: ")
    assert found.graph is not None
    assert b"MatMulIntegerToFloat" in found.graph.graph
    assert b"MatMulNBits" not in found.graph.graph


def test_a_memory_without_a_scene_model_is_searched_in_int8_too(tiny_config) -> None:
    config = tiny_config("evaluation.false_alarm_rate=0.4", "scoring.scene_share=0")
    found = calibrated(config, [])
    assert found.note.startswith("Patch memory packaged in int8: ")
    assert found.graph is not None
    assert b"MatMulIntegerToFloat" in found.graph.graph


def test_a_cross_fitted_threshold_comes_from_the_scores_given(config: GTransConfig):
    cross_fitted = np.array([[3.0, 1.0], [9.0, 2.0], [5.0, 7.0]])
    found = calibrate(
        make_scorer(config), config, lambda: iter(views_of(64)), [].append, cross_fitted
    )
    assert found.scores.tolist() == [3.0, 9.0, 5.0]
    assert (found.threshold, found.map_middle, found.rate) == (9.0, 7.0, 0.4)
    one = calibrate(
        make_scorer(config), config, lambda: iter(views_of(64)), [].append, cross_fitted[:1]
    )
    assert (one.threshold, one.rate) == (3.0, 0.5)
