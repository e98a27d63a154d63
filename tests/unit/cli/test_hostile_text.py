"""Text that others wrote is shown as it is: the terminal obeys nothing in it, nor does rich."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from gtrans.cli import feedback, history, resolve, runs, submit
from gtrans.cli.shared import comparison_view, promotion_result
from gtrans_core.errors import GTransError
from gtrans_core.evaluation.contest import ChangedVerdict
from gtrans_core.storage.retry import TransientError
from gtrans_core.tracking.comparison import Comparison, Group, Standing, Trial
from gtrans_core.tracking.promotion.ledger import Move, Recorded
from gtrans_core.tracking.promotion.promotion import ChampionHistory, PromotionResult
from gtrans_core.tracking.registry.versions import ModelVersion
from gtrans_core.watch.feedback import Statement

ODD = ["[/]", "[red]", "[link=http://x]y", "\x1b]0;title\x07", "\x1b[2J", "\u202egnp.exe", "a\rb"]


def harmless(text: str) -> None:
    assert not [c for c in text if not c.isprintable() and c not in "\n "], repr(text)


def drawn(table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize("odd", ODD)
def test_a_move_that_somebody_wrote_into_the_registry(odd: str):
    move = Move(
        kind="promote",
        champion=2,
        previous=1,
        after=0,
        token="t",
        who=odd,
        when=odd,
        why=odd,
    )
    text = drawn(history._history_table(ChampionHistory((Recorded(1, move, True),), 2)))
    harmless(text)
    if odd.isprintable():
        assert text.count(odd) == 3


@pytest.mark.parametrize("odd", ODD)
def test_feedback_that_somebody_else_kept(odd: str, capsys: pytest.CaptureFixture[str]):
    said = Statement(
        category="nut",
        version=1,
        digest="d",
        score=1.0,
        threshold=2.0,
        truth="good",
        name=odd,
        who=odd,
        image_sha256="0" * 64,
        said_at=datetime.now(UTC),
    )
    feedback._show("nut", [said])
    harmless(capsys.readouterr().out)


@pytest.mark.parametrize("odd", ODD)
def test_names_and_states_of_a_cluster(odd: str, capsys: pytest.CaptureFixture[str]):
    runs._show(("run", "name", "state", "started (UTC)"), [(odd, odd, odd, odd)])
    submit._tell(odd, odd, odd)
    harmless(capsys.readouterr().out)


@pytest.mark.parametrize("odd", ODD)
def test_runs_and_versions_of_a_registry(odd: str):
    trial = Trial(odd, 0, odd, {odd: odd}, odd, {}, version=1)
    found = Comparison((Group((trial,)),), "1", (odd,), {1: Standing("r", (odd,), odd)})
    shown = [comparison_view.versions_table(found), *comparison_view.differences_tables(found)]
    for table in shown:
        harmless(drawn(table))
    harmless(comparison_view._change(ChangedVerdict(odd, "dent", "newly missed", False, 1, 0.5)))


def test_notes_of_a_promotion(capsys: pytest.CaptureFixture[str]):
    result = PromotionResult(champion=1, previous=None, moved=False, notes=("\x1b[2J",))
    promotion_result.show_promotion("nut", result, dry_run=False)
    harmless(capsys.readouterr().out)


@pytest.mark.parametrize("odd", [*ODD, "a\nerror: all is well", "a\r\n[train] error: b"])
def test_an_error_and_a_line_of_the_log_are_one_line(odd: str):
    """Whatever a server, a tag, a header or a file's name puts into them."""
    for error in (GTransError(f"MLflow says {odd}; so it is"), TransientError(odd)):
        harmless(str(error))
        assert "\n" not in str(error)


def test_an_error_of_several_lines_keeps_them_since_they_are_indented():
    text = "2 problems in plant:\n  a.png: empty\n  b.png: empty"
    assert str(GTransError(text)) == text


@pytest.mark.parametrize("odd", [*ODD, "a\nversion  7"])
def test_a_version_that_is_resolved(odd: str):
    text = resolve._as_text([ModelVersion("gtrans-nut", 1, odd, odd)])
    harmless(text)
    assert len(text.splitlines()) == 5
