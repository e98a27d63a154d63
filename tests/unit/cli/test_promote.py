"""``gtrans promote``, ``rollback`` and ``history``: what is handed on, shown, and how they end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

import pytest
from typer.testing import CliRunner, Result

from gtrans.cli.main import app, main
from gtrans.pipelines.gates import load_gate
from gtrans_core.errors import ConfigError, GateError, ModelError, SupersededError, TrackingError
from gtrans_core.evaluation.gate import Check, Verdict
from gtrans_core.tracking.promotion.ledger import Move, Recorded
from gtrans_core.tracking.promotion.promotion import ChampionHistory, PromotionResult
from gtrans_core.tracking.promotion.releases import Release
from gtrans_core.tracking.promotion.verdicts import Judgement
from gtrans_core.trust.keys import SigningKey, make_key_pair
from gtrans_core.trust.policy import TrustPolicy

PROMOTION = "gtrans_core.tracking.promotion.promotion"
RELEASE = "gtrans_core.tracking.promotion.releases.ensure_release"


@pytest.fixture
def client() -> Iterator[MagicMock]:
    connect = patch("gtrans_core.tracking.client.connect_existing", autospec=True)
    release = patch(RELEASE, return_value=None)
    with connect as connected, release:
        yield connected.return_value


def gtrans(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})


def move(kind: str, previous: int | None, champion: int, why: str = "") -> Recorded:
    made = Move(
        kind=kind,
        champion=champion,
        previous=previous,
        after=0,
        token="t",
        who="ada",
        when="2026-01-31T12:00:00+00:00",
        why=why,
        metrics={"image_auroc": 0.97},
    )
    return Recorded(1, made, True)


class TestPromote:
    def test_it_hands_on_what_it_was_told(self, client: MagicMock, tmp_path: Path):
        (tmp_path / "gate.toml").write_text("minimum_test_images = 5")
        outcome = PromotionResult(champion=3, previous=2, moved=True)
        with patch(f"{PROMOTION}.promote", autospec=True, return_value=outcome) as promoted:
            options = ["--version", "3", "--why", "more light", "--again", "--dry-run"]
            gate = tmp_path / "gate.toml"
            result = gtrans("promote", "bottle", *options, "--gate", str(gate))
        assert result.exit_code == 0, result.output
        assert promoted.call_args.args == (client, "bottle", load_gate("bottle", gate), 3)
        told = promoted.call_args.kwargs
        assert (told["why"], told["again"], told["dry_run"]) == ("more light", True, True)

    def test_failed_checks_are_shown_the_rest_is_counted_and_then_the_champion(
        self, client: MagicMock
    ):
        checks = (Check(True, "image_auroc [0.9]"), Check(False, "data [e]"), Check(True, "x"))
        verdict = Verdict(checks)

        def promoted(*arguments: Any, on_verdict: Any, **options: Any) -> PromotionResult:
            on_verdict(Judgement(3, 2, verdict))
            return PromotionResult(3, 2, True, ("a note",))

        with patch(f"{PROMOTION}.promote", promoted):
            lines = gtrans("promote", "bottle", "--store", "a store").output.splitlines()
        assert lines[:5] == [
            "gtrans-bottle version 3, champion version 2",
            "  refused data [e]",
            "  ok      2 other checks",
            "a note",
            "gtrans-bottle version 3 is the champion (was: version 2)",
        ]
        assert lines[-1].endswith("gtrans rollback bottle --store 'a store'")

    @pytest.mark.parametrize(
        ("outcome", "options", "text"),
        [
            (PromotionResult(1, None, True), [], "version 1 is the champion (was: none)"),
            (
                PromotionResult(1, None, True),
                ["--dry-run"],
                "version 1 would be the champion (was: none)",
            ),
            (PromotionResult(1, 1, False), [], "version 1 is the champion already"),
        ],
    )
    def test_how_it_came_out(
        self, client: MagicMock, outcome: PromotionResult, options: list[str], text: str
    ):
        with patch(f"{PROMOTION}.promote", return_value=outcome):
            result = gtrans("promote", "bottle", *options)
        assert result.output == f"gtrans-bottle {text}\n"

    @pytest.mark.parametrize("moved", [True, False])
    def test_the_release_folder_is_ensured_and_told(self, client: MagicMock, moved: bool):
        made = Release(3, "run1", "release/7", {})
        outcome = patch(f"{PROMOTION}.promote", return_value=PromotionResult(3, None, moved))
        with outcome, patch(RELEASE, return_value=made) as ensured:
            lines = gtrans("promote", "bottle", "--store", "a store").output.splitlines()
        ensured.assert_called_once_with(client, "bottle", None)
        assert lines[-2] == "Release folder: release/7 on MLflow run run1; to fetch it:"
        assert lines[-1].endswith("gtrans release bottle --out NEW-DIR --store 'a store'")

    def test_a_dry_run_writes_no_release(self, client: MagicMock):
        outcome = patch(f"{PROMOTION}.promote", return_value=PromotionResult(3, None, True))
        with outcome, patch(RELEASE) as ensured:
            gtrans("promote", "bottle", "--dry-run")
        ensured.assert_not_called()

    def test_a_key_that_cannot_be_read_stops_it_before_the_move(
        self, client: MagicMock, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("GTRANS_SIGNING_KEY", "/none.pem")
        with patch(f"{PROMOTION}.promote") as promoted:
            result = gtrans("promote", "bottle")
        assert isinstance(result.exception, ConfigError)
        promoted.assert_not_called()

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (GateError("not promoted"), 12),
            (SupersededError("superseded"), 13),
            (ModelError("no such version"), 8),
            (TrackingError("no answer"), 7),
        ],
    )
    def test_each_ending_has_its_line_and_its_code(
        self,
        client: MagicMock,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        error: Exception,
        code: int,
    ):
        monkeypatch.setattr(sys, "argv", ["gtrans", "promote", "bottle"])
        with patch(f"{PROMOTION}.promote", side_effect=error), pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == code
        assert capsys.readouterr().err == f"error: {error}\n"

    @pytest.mark.parametrize("verb", ["promote", "rollback", "history"])
    def test_a_store_without_a_record_is_refused_and_not_made(self, tmp_path: Path, verb: str):
        result = gtrans(verb, "bottle", "--store", str(tmp_path / "typo"))
        assert isinstance(result.exception, TrackingError)
        assert "typo/mlflow.db" in str(result.exception)
        assert not (tmp_path / "typo").exists()

    def test_version_0_is_no_version(self):
        assert gtrans("promote", "bottle", "--version", "0").exit_code == 2


def test_rollback_hands_on_what_it_was_told(client: MagicMock):
    outcome = PromotionResult(champion=2, previous=3, moved=True)
    with patch(f"{PROMOTION}.rollback", autospec=True, return_value=outcome) as rolled_back:
        result = gtrans("rollback", "bottle", "--why", "odd scores")
    rolled_back.assert_called_once_with(
        client,
        "bottle",
        why="odd scores",
        dry_run=False,
        trust=TrustPolicy(unsigned="allow"),
        key=None,
    )
    assert "version 2 is the champion (was: version 3)" in result.output


@pytest.mark.parametrize("verb", ["promote", "rollback"])
def test_where_models_must_be_signed_so_must_moves(
    client: MagicMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
):
    private, public = make_key_pair(tmp_path / "keys")
    monkeypatch.setenv("GTRANS_PUBLIC_KEY", str(public))
    result = gtrans(verb, "bottle")
    assert isinstance(result.exception, ConfigError)
    assert "GTRANS_SIGNING_KEY names no private key" in str(result.exception)
    monkeypatch.setenv("GTRANS_SIGNING_KEY", str(private))
    outcome = PromotionResult(champion=2, previous=3, moved=True)
    with patch(f"{PROMOTION}.{verb}", autospec=True, return_value=outcome) as moved:
        gtrans(verb, "bottle")
    assert moved.call_args.kwargs["key"] == SigningKey(private)


class TestHistory:
    def show(self, history: ChampionHistory) -> list[str]:
        with patch(f"{PROMOTION}.read_history", return_value=history):
            return gtrans("history", "bottle").output.splitlines()

    def test_a_row_for_each_move(self, client: MagicMock):
        moves = (move("promote", None, 2), move("rollback", 2, 1, "odd [scores]"))
        lines = self.show(ChampionHistory(moves, alias=1))
        rows = [line.split() for line in lines[2:]]
        head = ["2026-01-31T12:00:00", "ada"]
        assert rows == [
            [*head, "promote", "none", "2", "0.9700", "-", "-"],
            [*head, "rollback", "2", "1", "0.9700", "-", "-", "odd", "[scores]"],
        ]

    def test_an_alias_that_says_something_else_is_told(self, client: MagicMock):
        lines = self.show(ChampionHistory((move("promote", None, 2),), alias=1))
        assert lines[-1].startswith("the alias champion points to version 1, not to version 2")

    def test_json_has_every_move(self, client: MagicMock):
        history = ChampionHistory((move("promote", None, 2),), alias=2)
        with patch(f"{PROMOTION}.read_history", return_value=history):
            found = json.loads(gtrans("history", "bottle", "--json").output)
        assert found["champion_alias"] == 2
        [only] = found["moves"]
        assert (only["kind"], only["champion"], only["who"]) == ("promote", 2, "ada")
        assert "token" not in only

    def test_no_promotion_yet(self, client: MagicMock):
        assert self.show(ChampionHistory((), alias=None))[-1] == (
            "no promotion yet; the alias champion points to nothing"
        )
