"""``gtrans compare``: the table, what differs, and the page in MLflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from unittest.mock import MagicMock, patch

import pytest
from typer.testing import CliRunner, Result

from gtrans.cli.main import app
from gtrans_core.tracking.comparison import Comparison, Group, Trial

COMPARE = "gtrans_core.tracking.comparison.compare"


def trial(run_id: str, seed: str, auroc: float, norm: str, data: str = "d" * 64) -> Trial:
    metrics = {"image_auroc": auroc, "training_seconds": 61.4}
    return Trial(run_id * 8, 0, seed, {"research.layer_norm": norm, "x": "1"}, data, metrics)


SEVERAL = Group((trial("aaaa", "0", 0.98, "True"), trial("bbbb", "1", 0.96, "True")))
SINGLE = Group((trial("cccc", "0", 0.95, "False"),))
FOUND = Comparison((SEVERAL, SINGLE), "1", ("research.layer_norm",))


@pytest.fixture(autouse=True)
def client() -> Iterator[MagicMock]:
    with patch("gtrans_core.tracking.client.connect_existing", autospec=True) as connect:
        yield connect.return_value


def gtrans_compare(found: Comparison, *options: str) -> Result:
    with patch(COMPARE, return_value=found):
        arguments = ["compare", "--category", "bottle", "--store", "/s p", *options]
        return CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})


def rows(result: Result) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in result.output.splitlines()]


def test_mean_and_deviation_over_seeds_and_the_cost():
    table = rows(gtrans_compare(FOUND))
    assert table[1][:3] == ["#", "seeds", "image AUROC"]
    assert table[1][-1] == "training s"
    assert table[2] == ["1", "2", "0.9700 ± 0.0141", "-", "-", "-", "-", "-", "61 ± 0"]
    assert table[3] == ["2", "1", "0.9500", "-", "-", "-", "-", "-", "61"]


def test_only_what_differs_with_data_and_runs():
    table = rows(gtrans_compare(FOUND))
    start = table.index(["What differs"])
    assert table[start + 1 : start + 4] == [
        ["#", "research.layer_norm", "data", "runs (seed)"],
        ["1", "True", "dddddddd", "aaaaaaaa (0), bbbbbbbb (1)"],
        ["2", "False", "dddddddd", "cccccccc (0)"],
    ]


def test_same_data_is_said_and_other_data_too():
    assert "Data     the same for all\n" in gtrans_compare(FOUND).output
    other = Group((trial("cccc", "0", 0.95, "False", data="e" * 64),))
    output = gtrans_compare(Comparison((SEVERAL, other), "1", ())).output
    assert "Data     NOT the same for all" in output
    assert "All have the same config, but for the seed" in output


def test_the_page_and_the_command_that_opens_it():
    lines = gtrans_compare(FOUND).output.splitlines()
    assert lines[-2].endswith("gtrans ui --store '/s p'")
    ids = ",".join(f'"{letter * 32}"' for letter in "abc")
    page = f'#/compare-runs?runs=[{ids}]&experiments=["1"]&workflowType=machine_learning'
    assert lines[-1] == f"  then http://127.0.0.1:5000/{page}"


def test_it_hands_on_what_it_was_told(client: MagicMock):
    with patch(COMPARE, autospec=True, return_value=FOUND) as compared:
        options = ["--runs", "abc", "--runs", "def", "--by", "pixel_ap", "--experiment", "lab"]
        result = CliRunner().invoke(app, ["compare", "-c", "bottle", *options])
    assert result.exit_code == 0, result.output
    compared.assert_called_once_with(client, "lab", "bottle", "pixel_ap", 20, ["abc", "def"])
