"""What a person sees while a run goes on."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from gtrans.pipelines.embedded.progress_view import progress_view

STEPS = ("ingest", "train")


def event(step: str, kind: str, time: float = 0.0, **fields: Any) -> dict[str, Any]:
    return {"time": time, "step": step, "kind": kind, **fields}


def show(events: Iterator[dict[str, Any]], *, terminal: bool, verbose: bool = False) -> str:
    console = Console(
        file=io.StringIO(),
        force_terminal=terminal,
        width=100,
        color_system=None,
        legacy_windows=False,
    )
    with progress_view(console, STEPS, verbose) as on_event:
        for one in events:
            on_event(one)
    return console.file.getvalue()


def last_frame(output: str) -> list[str]:
    lines = [line.rstrip() for line in output.replace("\x1b[?25h", "").splitlines()]
    return [line.rpartition("\x1b[2K")[2] for line in lines][-len(STEPS) :]


def test_plain_lines_tell_starts_words_and_ends_with_seconds():
    output = show(
        iter(
            [
                event("ingest", "started", 100.0),
                event("ingest", "said", 101.0, text="12 images [of steel]"),
                event("ingest", "finished", 103.5, results={}),
                event("train", "started", 104.0),
                event("train", "finished", 104.5, results={"reused": True}),
            ]
        ),
        terminal=False,
    )
    assert output.splitlines() == [
        "[ingest] started",
        "[ingest] 12 images [of steel]",
        "[ingest] done in 3.5 s",
        "[train] started",
        "[train] reused in 0.5 s",
    ]


def test_plain_progress_comes_now_and_then_only():
    events = [event("train", "started", 0.0)]
    events += [
        event("train", "advanced", float(i), what="steps", done=i, total=60, note="")
        for i in range(1, 61)
    ]
    lines = show(iter(events), terminal=False).splitlines()
    assert lines == ["[train] started", *(f"[train] {i}/60 steps" for i in range(10, 61, 10))]


def test_a_terminal_shows_a_line_a_step_with_its_state():
    started = event("ingest", "started")
    advanced = event("ingest", "advanced", what="images", done=3, total=12, note="so far")
    running = last_frame(show(iter([started, advanced]), terminal=True))
    assert running[0].startswith("ingest running")
    assert running[0].endswith("3/12 images so far")
    assert running[1].split() == ["train", "waiting"]


def test_a_terminal_shows_that_the_next_step_is_loading():
    assert last_frame(show(iter([]), terminal=True))[0].split() == ["ingest", "starting"]
    events = [event("ingest", "started"), event("ingest", "finished", results={})]
    assert last_frame(show(iter(events), terminal=True))[1].split() == ["train", "starting"]


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        (event("ingest", "finished", results={}), "done"),
        (event("ingest", "finished", results={"reused": True}), "reused"),
        (event("ingest", "failed", text="bad", exit_code=4), "failed"),
    ],
)
def test_a_terminal_shows_how_a_step_ended(ending: dict[str, Any], state: str):
    frame = last_frame(show(iter([event("ingest", "started"), ending]), terminal=True))
    assert frame[0].split()[:2] == ["ingest", state]
    assert "━" * 20 in frame[0]


@pytest.mark.parametrize(("verbose", "count"), [(True, 1), (False, 0)])
def test_a_terminal_shows_words_when_asked(verbose: bool, count: int):
    said = event("ingest", "said", text="12 images")
    assert show(iter([said]), terminal=True, verbose=verbose).count("[ingest] 12 images") == count


@pytest.mark.parametrize("terminal", [True, False])
def test_a_note_is_shown_once_whatever_is_asked_for_and_obeys_nothing(terminal: bool):
    events = [
        event("ingest", "started"),
        event("ingest", "noted", text="3 images [of\x1b[31m] steel"),
        event("ingest", "finished", results={}),
    ]
    output = show(iter(events), terminal=terminal)
    assert output.count("[ingest] note: 3 images [of\\x1b[31m] steel") == 1
