"""``gtrans compare``: the table, what differs, and the page in MLflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import MagicMock, patch

import pytest
from typer.testing import CliRunner, Result

from gtrans.cli.main import app
from gtrans.cli.shared.comparison_view import METRICS
from gtrans_core.evaluation.contest import contest
from gtrans_core.tracking.comparison import Comparison, Group, Trial
from gtrans_core.tracking.duel import Duel, Standing
from tests.support.evaluations import image_result

COMPARE = "gtrans_core.tracking.comparison.compare"


def trial(
    run_id: str,
    seed: str,
    auroc: float,
    norm: str,
    data: str = "d" * 64,
    version: int | None = None,
    missed: int = 0,
) -> Trial:
    metrics = {"image_auroc": auroc, "training_seconds": 61.4}
    metrics |= {"defects_missed": missed, "false_alarms": 1}
    config = {"research.layer_norm": norm, "x": "1"}
    return Trial(run_id * 8, 0, seed, config, data, metrics, version)


SEVERAL = Group(
    (
        trial("aaaa", "0", 0.98, "True", version=2, missed=4),
        trial("bbbb", "1", 0.96, "True", version=3, missed=5),
    )
)
SINGLE = Group((trial("cccc", "0", 0.95, "False", version=1, missed=7),))
STANDINGS = {
    1: Standing("c", ("champion",), "passed"),
    2: Standing("a", (), "refused"),
    3: Standing("b", ("challenger",), "passed"),
}
CHAMPION = [
    image_result(kind="dent", score=0.8, path=f"test/dent/{i}", sha256=f"{i:064x}")
    for i in range(20)
]
BETTER = [replace(row, score=1.2, verdict="flagged") for row in CHAMPION]
DUEL = Duel(1, 3, contest(CHAMPION, BETTER))
FOUND = Comparison((SEVERAL, SINGLE), "1", ("research.layer_norm",), STANDINGS, DUEL)


@pytest.fixture(autouse=True)
def client() -> Iterator[MagicMock]:
    with patch("gtrans_core.tracking.client.connect_existing", autospec=True) as connect:
        yield connect.return_value


def gtrans_compare(found: Comparison, *options: str) -> Result:
    with patch(COMPARE, return_value=found):
        arguments = ["compare", "--category", "bottle", "--store", "/s p", *options]
        return CliRunner().invoke(app, arguments, env={"COLUMNS": "100"})


def rows(result: Result) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in result.output.splitlines()]


def test_versions_come_first_in_factory_terms():
    table = rows(gtrans_compare(FOUND))
    headings = ["#", "seeds", "version", "alias", "gate", "missed", "false alarms", "image AUROC"]
    assert table[1] == headings
    assert table[2] == [
        "1",
        "2",
        "2, 3",
        "challenger",
        "refused, passed",
        "4.5±0.7",
        "1.0±0.0",
        "0.970±0.014",
    ]
    assert table[3] == ["2", "1", "1", "champion", "passed", "7", "1", "0.950"]


def test_mean_and_deviation_over_seeds_and_the_cost():
    table = rows(gtrans_compare(FOUND))
    start = next(at for at, row in enumerate(table) if row[-1] == "training s")
    assert table[start + 1] == ["1", "0.970±0.014", "-", "-", "-", "-", "-", "61±0"]
    assert table[start + 2] == ["2", "0.950", "-", "-", "-", "-", "-", "61"]


def test_only_what_differs_with_data_and_runs():
    table = rows(gtrans_compare(FOUND))
    start = table.index(["What differs"])
    assert table[start + 1 : start + 6] == [
        ["# 1", "# 2"],
        ["research.layer_norm", "True", "False"],
        ["data", "dddddddd", "dddddddd"],
        ["run (seed)", "aaaaaaaa (0)", "cccccccc (0)"],
        ["bbbbbbbb (1)"],
    ]


def test_a_knob_that_is_not_set_says_so():
    groups = tuple(
        Group((replace(trial("abcd", "0", 0.9, "True"), config={"training.epochs": epochs}),))
        for epochs in ("12", "None")
    )
    table = rows(gtrans_compare(Comparison(groups, "1", ("training.epochs",))))
    assert ["training.epochs", "12", "not set"] in table


def test_challenger_against_champion_by_kind_and_image():
    lines = gtrans_compare(FOUND).output.splitlines()
    start = lines.index("Challenger (version 3) against champion (version 1)")
    assert lines[start + 2].split() == ["dent", "20", "20", "0", "missed"]
    assert lines[start + 3].split() == [
        "now",
        "caught",
        "0.8",
        "->",
        "1.2",
        "x",
        "threshold",
        "test/dent/0",
    ]
    assert lines[start + 13] == "  and 10 more (all of them: --json)"


def test_without_images_of_one_it_says_so():
    output = gtrans_compare(replace(FOUND, duel=Duel(1, 3, None))).output
    assert "an earlier version of GTrans kept no images of one" in output
    assert "Challenger" not in gtrans_compare(replace(FOUND, duel=None)).output


def test_it_fits_a_hundred_columns_however_much_differs():
    keys = tuple(f"section{i}.a_rather_long_knob" for i in range(3))
    groups = tuple(
        Group(
            tuple(
                replace(
                    trial("abcd", str(seed), 0.9 + seed / 100, "True", version=number),
                    config=dict.fromkeys(keys, f"/a/long/path/to/weights-{number}.safetensors"),
                    metrics=dict.fromkeys((*METRICS, "defects_missed"), 0.9 + seed / 100),
                )
                for seed in range(3)
            )
        )
        for number in range(1, 10)
    )
    output = gtrans_compare(Comparison(groups, "1", keys, STANDINGS, DUEL)).output
    tables = output.partition("\nData ")[0].splitlines()
    assert max(map(len, tables)) <= 100
    assert "\u2026" not in output  # rich's mark of what did not fit
    assert all(f"# {number}" in output for number in range(1, 10))
    assert "...9.safetensors" in output


def test_json_has_no_number_that_json_has_not():
    [group] = (
        replace(
            SINGLE,
            trials=tuple(
                replace(one, metrics={"loss": float("nan"), "au_pro_30": float("inf")})
                for one in SINGLE.trials
            ),
        ),
    )
    output = gtrans_compare(Comparison((group,), "1", ()), "--json").output
    found = json.loads(output, parse_constant=pytest.fail)
    assert found["groups"][0]["runs"][0]["metrics"] == {"loss": None, "au_pro_30": None}


def test_json_says_the_same():
    found = json.loads(gtrans_compare(FOUND, "--json").output)
    assert found["differing"] == ["research.layer_norm"]
    [first, _] = found["groups"][0]["runs"]
    assert (first["version"], first["gate"], first["aliases"]) == (2, "refused", [])
    assert first["metrics"]["defects_missed"] == 4
    assert len(found["challenger_against_champion"]["contest"]["changed"]) == 20
    alone = json.loads(gtrans_compare(Comparison((SINGLE,), "1", ()), "--json").output)
    assert alone["challenger_against_champion"] is None


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
