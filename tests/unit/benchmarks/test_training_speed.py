"""The training benchmark: it measures the product's own loop, on this machine's device."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.speed.training import _Bench, matrix_rate, measure_loops


@pytest.mark.slow
def test_the_loops_are_measured_side_by_side(tiny_config):
    found = measure_loops(tiny_config(), rounds=1, images=20)
    rates = found["images_per_second"]
    assert set(rates) == {"loop", "bare", "without_cache"}
    assert all(rate > 0 for rate in rates.values())
    assert found["loop_to_bare"] == pytest.approx(rates["loop"] / rates["bare"], abs=0.002)
    assert set(found["scored_per_second"]) == {"1", "64"}
    assert 0 < found["share_of_matrix_rate"] < 1


def test_operations_of_a_step_are_three_times_the_forwards(tiny_config, monkeypatch):
    bench = _Bench(tiny_config(), torch.device("cpu"), images=10)
    pointwise = nn.Conv2d(3, 8, 1, bias=False)
    size = bench.views.shape[-1]
    monkeypatch.setattr(
        "benchmarks.speed.training.build_trans",
        lambda *_: lambda inputs, maps: pointwise(inputs),
    )
    assert bench.flops_an_image() == 3 * 2 * 3 * 8 * size**2


def test_the_matrix_rate_is_plausible():
    assert 1e8 < matrix_rate(torch.device("cpu"), torch.float32) < 1e14
