"""``gtrans bench``: many categories and seeds, one after the other, in one table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gtrans.cli.shared.category_list import ALL, all_categories, named_categories
from gtrans.cli.shared.category_run import explain_failure, run_category
from gtrans.cli.shared.options import (
    SOURCES,
    ConfigFile,
    Experiment,
    Overrides,
    ProfileName,
    Store,
    Verbose,
)
from gtrans_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gtrans.pipelines.embedded.category_run import CategoryRun
    from gtrans_core.bench.table import Benchmark, Failure, Run
    from gtrans_core.config import GTransConfig

_TABLE_WIDTH = 200
"""A number is never cut or broken, whatever the terminal's width."""


def bench(
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "-d",
            metavar=SOURCES,
            help="Where the categories are: a folder that holds them (in MVTec, VisA or BTAD "
            "layout), an S3 prefix, or a known source.",
        ),
    ],
    categories: Annotated[
        str,
        typer.Option("--categories", metavar="all|A,B,...", help="Names separated by commas."),
    ] = "all",
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="0,1,...",
            help="Run each category with each of these; default: the config's.",
        ),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="For the tables; default: in the store."),
    ] = None,
    profile_name: ProfileName = "local",
    store: Store = None,
    experiment: Experiment = None,
    verbose: Verbose = False,
) -> None:
    """Run many categories and seeds, and put their metrics into one table.

    Each is a run like that of gtrans run. If one fails, the others still finish.
    """
    from rich.console import Console

    from gtrans.pipelines.embedded.category_run import source_of
    from gtrans.pipelines.embedded.local import new_run_key
    from gtrans.pipelines.gates import load_gate
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.data.sources.catalogue import categories_of
    from gtrans_core.storage import require_writable

    profile = load_profile(profile_name, store=store, experiment=experiment)
    configs = _configs(config, overrides or (), seeds)
    source = source_of(data)
    named = named_categories([categories])
    there = categories_of(source)
    chosen = all_categories(source) if named == [ALL] else _chosen(named, there, data)
    folder = output or Path(profile.store) / "bench" / new_run_key()
    require_writable(folder)
    console = Console()
    done = _planned(data, there, configs)
    jobs = [(category, seed) for category in chosen for seed in configs]
    for number, (category, seed) in enumerate(jobs, start=1):
        _say(console, f"\n{category}, seed {seed} ({number} of {len(jobs)})")
        run = run_category(
            profile, category, source, configs[seed], load_gate(category), verbose=verbose
        )
        done = _with_run(done, category, seed, run, profile_name)
        _write(done, folder)  # each time: a benchmark takes hours, and may be stopped
    _show(console, done, folder)
    if done.failures:
        which = "; ".join(f"{failure.category}, seed {failure.seed}" for failure in done.failures)
        sys.stderr.write(f"error: {len(done.failures)} of {len(jobs)} runs failed: {which}\n")
        raise typer.Exit(done.failures[0].exit_code)


def _configs(
    path: Path | None, overrides: Sequence[str], seeds: str | None
) -> dict[int, GTransConfig]:
    """The config of each seed; all are read before anything starts."""
    from gtrans_core.config import load_config

    if seeds is None:
        config = load_config(path, overrides)
        return {config.seed: config}
    texts = [text.strip() for text in seeds.split(",")]
    if not all(text.isdecimal() for text in texts):
        raise ConfigError(f"--seeds {seeds}: expected whole numbers and commas, such as 0,1")
    return {int(text): load_config(path, [*overrides, f"seed={int(text)}"]) for text in texts}


def _chosen(names: list[str], there: Sequence[str], data: str) -> list[str]:
    """The categories asked for, all of which must be there."""
    unknown = [name for name in names if name not in there]
    if unknown:
        raise DataError(f"{data}: has no category '{unknown[0]}'; it has {', '.join(there)}")
    return names


def _planned(data: str, there: Sequence[str], configs: Mapping[int, GTransConfig]) -> Benchmark:
    """The benchmark before its first run."""
    from gtrans_core.bench.published import GTRANS_ON_MVTEC
    from gtrans_core.bench.table import Benchmark
    from gtrans_core.config import digest_of, flatten
    from gtrans_core.data.sources.mvtec import CATEGORIES, OBJECTS, TEXTURES
    from gtrans_core.lineage import collect_lineage

    # A folder that holds all of MVTec's categories is MVTec; one "screw" may be anybody's.
    is_mvtec = set(there) == set(CATEGORIES)
    kinds = {"textures": TEXTURES, "objects": OBJECTS} if is_mvtec else {}
    knobs = flatten(next(iter(configs.values())))
    del knobs["seed"]
    return Benchmark(
        source=data,
        seeds=tuple(configs),
        groups={**kinds, "all": tuple(there)},
        config=knobs,
        config_digest=digest_of(knobs),
        lineage=collect_lineage(),
        published=GTRANS_ON_MVTEC if is_mvtec else None,
    )


def _with_run(
    done: Benchmark, category: str, seed: int, run: CategoryRun, profile_name: str
) -> Benchmark:
    if run.outcome.exit_code:
        explain_failure(run, profile_name)
        return replace(done, failures=(*done.failures, _failure(category, seed, run)))
    return replace(done, runs=(*done.runs, _finished(category, seed, run)))


def _failure(category: str, seed: int, run: CategoryRun) -> Failure:
    from gtrans_core.bench.table import Failure

    outcome = run.outcome
    return Failure(category, seed, outcome.exit_code, outcome.error, str(run.job.log))


def _finished(category: str, seed: int, run: CategoryRun) -> Run:
    from gtrans_core.bench.table import Run
    from gtrans_core.evaluation.record import EvaluationRecord

    record = EvaluationRecord.read(run.evaluation)
    rest = record.model_dump(mode="json", exclude={"category", "metrics", "config"})
    return Run(category, seed, record.metrics, rest)


def _write(done: Benchmark, folder: Path) -> None:
    from gtrans_core.bench.table import render_json, render_markdown
    from gtrans_core.storage import write_atomic

    write_atomic(folder / "bench.json", render_json(done).encode())
    write_atomic(folder / "bench.md", render_markdown(done).encode())


def _show(console: Console, done: Benchmark, folder: Path) -> None:
    from rich.console import Console

    from gtrans_core.bench.table import notes

    console.print()
    if done.runs:
        Console(width=_TABLE_WIDTH).print(_table(done))
        _say(console, "\n".join(["", *notes(done)]))
    _say(console, f"\nTable    {folder / 'bench.md'}\nNumbers  {folder / 'bench.json'}")


def _table(done: Benchmark) -> Table:
    from rich.table import Table
    from rich.text import Text

    from gtrans_core.bench.table import cells, headings

    title = Text(f"{done.source}: test splits")
    table = Table(title=title, title_justify="left", box=None)
    for number, heading in enumerate(headings(done)):
        table.add_column(heading, justify="right" if number > 1 else "left")
    for row in done.category_rows():
        table.add_row(*cells(row))
    for row in done.group_rows():
        table.add_row(*cells(row), style="bold")
    return table


def _say(console: Console, text: str) -> None:
    # Not wrapped: a path is copied whole.
    console.print(text, soft_wrap=True, markup=False, highlight=False)
