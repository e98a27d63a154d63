"""Measure speed: ``python -m benchmarks.speed [--only score,cache]``.

Each part's numbers go into ``benchmarks/results/speed.json`` as it is done, its table into
``docs/appendix/speed.md``. A part is measured anew whenever it is asked for; the others keep what
they have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from benchmarks.speed import cache, decoding, floor, growth, metrics, overhead, score, training
from gtrans_core.storage import write_atomic

RESULTS = Path("benchmarks/results/speed.json")
PAGE = Path("docs/appendix/speed.md")


class Part(NamedTuple):
    """One thing that is measured; ``measure`` gets the folder to keep things in."""

    measure: Callable[[Path], dict[str, Any]]
    table: Callable[[dict[str, Any]], str]


PARTS = {
    module.__name__.rpartition(".")[2]: Part(module.measure, module.table)
    for module in (score, decoding, training, cache, overhead, metrics, growth)
}


def main(
    store: Annotated[Path, typer.Option(help="Weights, images and caches.")] = Path("gtrans-store"),
    only: Annotated[str, typer.Option(help="Parts, comma-separated; all.")] = "",
    results: Annotated[Path, typer.Option(help="Where the numbers go.")] = RESULTS,
    page: Annotated[Path, typer.Option(help="Where the tables go.")] = PAGE,
) -> None:
    """Measure every part, or some."""
    wanted = only.split(",") if only else list(PARTS)
    unknown = sorted(set(wanted) - set(PARTS))
    if unknown:
        raise typer.BadParameter(f"no part is called {unknown[0]}; known: {', '.join(PARTS)}")
    for name in wanted:
        found = PARTS[name].measure(store / "speed")
        record(results, name, found)
        show(page, name, PARTS[name].table(found))
        typer.echo(f"{name}\n{PARTS[name].table(found)}\n")


def record(path: Path, part: str, found: dict[str, Any]) -> None:
    """Put a part's numbers in the place of its old ones."""
    known = json.loads(path.read_bytes()) if path.is_file() else {}
    known |= {"machine": floor.cpu_name(), part: found}
    write_atomic(path, (json.dumps(known, indent=1) + "\n").encode())


def show(path: Path, part: str, table: str) -> None:
    """Put a part's table between its two marks on the page."""
    begin, end = f"<!-- {part} -->", f"<!-- end of {part} -->"
    text, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}",
        lambda _: f"{begin}\n{table}\n{end}",
        path.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError(f"{path}: expected one place between {begin} and {end}, found {count}")
    write_atomic(path, text.encode())


if __name__ == "__main__":
    typer.run(main)
