"""The command line that both accuracy benchmarks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.accuracy.measure import Row, read_rows, write_rows
from benchmarks.accuracy.splits import Category
from benchmarks.accuracy.table import render

Unit = Callable[[Category, int, Path], list[Row]]
"""What is measured in one go: rows of a category under a seed; its last argument is the store."""
RESULTS = Path("benchmarks/results")


def benchmark_command(units: Mapping[str, Unit], name: str) -> None:
    """Measure every unit on every category under every seed.

    ``RESULTS/NAME.json`` and ``NAME.md`` grow as it goes, and what the JSON has is not measured
    again: delete the file to start anew.
    """

    def main(
        data: Annotated[
            list[str], typer.Option(help="Folders in MVTec layout, or SOURCE:CATEGORY.")
        ],
        seeds: Annotated[str, typer.Option(help="Seeds, comma-separated.")] = "0,1,2",
        store: Annotated[Path, typer.Option(help="Caches and checkpoints.")] = Path("gtrans-store"),
        only: Annotated[str, typer.Option(help="Units to measure, comma-separated; all.")] = "",
        results: Annotated[Path, typer.Option(help="Where the table goes.")] = RESULTS,
    ) -> None:
        rows = read_rows(results / f"{name}.json")
        done = {(row.unit, row.category, row.seed) for row in rows}
        categories = [Category.named(one, store) for one in data]
        wanted = only.split(",") if only else units
        for unit, measure in ((unit, units[unit]) for unit in wanted):
            for seed in (int(seed) for seed in seeds.split(",")):
                for category in categories:
                    if (unit, category.name, seed) in done:
                        continue
                    rows += [row.of(unit) for row in measure(category, seed, store / "benchmarks")]
                    write_rows(results / f"{name}.json", rows)
                    (results / f"{name}.md").write_text(render(rows))
                    typer.echo(f"{unit}: {category.name}, seed {seed}")
        typer.echo(render(rows))

    typer.run(main)
