"""No part does a tenth more work than is recorded; nor less, without being recorded anew."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.counts import PARTS, RESULTS, _python, _torch, libraries

LOSS = 1.1
AGAIN = "run `python -m benchmarks.speed.counts` where that is meant"


@pytest.mark.parametrize("part", PARTS)
def test_a_tenth_more_than_recorded_is_too_much(part: str, tmp_path: Path):
    recorded = json.loads(RESULTS.read_bytes())
    if recorded["libraries"] != libraries():
        pytest.skip(f"recorded with other libraries: {recorded['libraries']}")
    found, expected = PARTS[part](tmp_path), recorded["counts"][part]
    assert found.keys() == expected.keys()
    for name, count in found.items():
        assert count <= LOSS * expected[name], f"{part}, {name}: {AGAIN}"
        assert expected[name] <= LOSS * count, f"{part}, {name} is less than recorded: {AGAIN}"


def test_each_kind_of_work_is_counted():
    import torch

    once, twice = torch.rand(4, 4), torch.rand(8, 4)
    assert _torch(lambda: once @ once) == {"operations": 128, "calls of torch": 1}
    assert _torch(lambda: twice @ once)["operations"] == 256

    def work(times: int) -> None:
        for _ in range(times):
            np.zeros(100_000)

    few, many = (_python(lambda times=times: work(times)) for times in (10, 20))
    assert many["calls"] == few["calls"] + 10
    assert few["bytes"] == pytest.approx(800_000, rel=0.05)
