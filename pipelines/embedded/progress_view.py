"""How far a run is: a live line for each step on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from gtrans.pipelines.embedded.local import Event
from gtrans_core.system.text import printable_lines

_PLAIN_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress_view(
    console: Console, steps: Sequence[str], verbose: bool
) -> Iterator[Callable[[Event], None]]:
    """A function that draws one progress event after the other."""
    if not console.is_terminal:
        yield _PlainView(console).show
        return
    progress = Progress(
        TextColumn("{task.description}"),
        TextColumn("{task.fields[state]}"),
        _OnceStarted(BarColumn(bar_width=20, complete_style="cyan", finished_style="green")),
        _OnceStarted(TimeElapsedColumn()),
        TextColumn("[dim]{task.fields[note]}"),
        console=console,
    )
    with progress:
        yield _LiveView(progress, steps, verbose).show


def lines_view(console: Console, verbose: bool) -> Callable[[Event], None]:
    """Plain lines for several categories: which one, and how its step goes."""
    view = _PlainView(console)

    def show(event: Event) -> None:
        if event["kind"] in ("started", "noted", "finished", "failed") or verbose:
            who = f"{event['category']} {event['step']}".strip()
            view.show({**event, "step": who})

    return show


class _OnceStarted(ProgressColumn):
    """A column that stays blank for a step that waits (rich would let its bar pulse)."""

    def __init__(self, column: ProgressColumn) -> None:
        super().__init__()
        self._column = column

    def render(self, task: Task) -> RenderableType:
        return self._column.render(task) if task.started else ""


class _LiveView:
    """One line a step: waiting, starting, running with a bar, done or reused with its seconds."""

    def __init__(self, progress: Progress, steps: Sequence[str], verbose: bool) -> None:
        self._progress = progress
        self._verbose = verbose
        self._tasks = {
            step: progress.add_task(step, start=False, total=None, state="[dim]waiting", note="")
            for step in steps
        }
        self._announce_next()

    def show(self, event: Event) -> None:
        task = self._tasks[event["step"]]
        match event["kind"]:
            case "started":
                self._progress.start_task(task)
                self._progress.update(task, state="running")
            case "advanced":
                self._progress.update(
                    task, completed=event["done"], total=event["total"], note=_count(event)
                )
            case "said" if self._verbose:
                self._print(event, event["text"])
            case "noted":
                self._print(event, _note(event))
            case "failed":
                self._end(task, "[red]failed")
            case "finished":
                self._end(task, _verdict(event))
                self._announce_next()

    def _print(self, event: Event, text: str) -> None:
        line = f"[{event['step']}] {printable_lines(text)}"
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _announce_next(self) -> None:
        """A step's libraries take seconds to load before it can say that it runs."""
        waiting = (task for task in self._progress.tasks if not task.started)
        if task := next(waiting, None):
            self._progress.update(task.id, state="[dim]starting")

    def _end(self, task: TaskID, state: str) -> None:
        self._progress.stop_task(task)
        self._progress.update(task, completed=1, total=1, state=state, note="")


class _PlainView:
    """Lines for a log: starts, ends, what is said, and progress now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started: dict[str, float] = {}
        self._last_line = 0.0

    def show(self, event: Event) -> None:
        step, now = event["step"], event["time"]
        match event["kind"]:
            case "started":
                self._started[step] = now
                self._print(event, "started")
            case "advanced" if now - self._last_line >= _PLAIN_SECONDS_BETWEEN_LINES:
                self._print(event, _count(event))
            case "said":
                self._print(event, event["text"])
            case "noted":
                self._print(event, _note(event))
            case "failed":
                self._print(event, "failed")
            case "finished":
                seconds = now - self._started.get(step, now)
                self._print(event, f"{_verdict(event)} in {seconds:.1f} s")

    def _print(self, event: Event, text: str) -> None:
        self._last_line = event["time"]
        self._console.print(
            f"[{event['step']}] {printable_lines(text)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _note(event: Event) -> str:
    return f"note: {event['text']}"


def _verdict(event: Event) -> str:
    return "reused" if event["results"].get("reused") else "done"


def _count(event: Event) -> str:
    return f"{event['done']}/{event['total']} {event['what']} {event['note']}".rstrip()
