"""Many runs in one table: a row a category, mean and deviation over seeds, means of groups.

Pure: takes the numbers of evaluation records and gives rows, Markdown and JSON. Imports nothing
heavy.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gtrans_core.bench.published import Published
from gtrans_core.evaluation.metric_names import labels_of
from gtrans_core.evaluation.spread import Spread

METRICS = labels_of("image_auroc", "pixel_auroc", "pixel_ap", "au_pro_30")
"""What the table shows, by its name in the evaluation record."""
NOT_AVAILABLE = "not available"

_VERSIONS_SHOWN = ("gtrans", "torch", "timm", "numpy")


@dataclass(frozen=True)
class Run:
    """One category that finished with one seed."""

    category: str
    seed: int
    metrics: Mapping[str, float | None]
    """Of the test split; None where not available."""
    record: Mapping[str, Any]
    """Everything else that the evaluation recorded, kept as it is."""


@dataclass(frozen=True)
class Failure:
    """One category that did not finish with one seed."""

    category: str
    seed: int
    exit_code: int
    error: str
    log: str


@dataclass(frozen=True)
class Row:
    """One line of the table: a category, or the mean over a group of them."""

    name: str
    seeds: tuple[int, ...]
    """Those that the numbers are of."""
    metrics: Mapping[str, Spread | None]
    """By the names in METRICS; None where not available."""
    published: Mapping[str, float | None]
    """What others report, over the very same categories."""


@dataclass(frozen=True)
class Benchmark:
    """What was asked for and what has come of it so far."""

    source: str
    seeds: tuple[int, ...]
    groups: Mapping[str, tuple[str, ...]]
    """Categories of which a mean is shown, by the group's name."""
    config: Mapping[str, Any]
    """Every knob but the seed, flat."""
    config_digest: str
    lineage: Mapping[str, str]
    published: Published | None = None
    runs: tuple[Run, ...] = ()
    failures: tuple[Failure, ...] = ()

    def category_rows(self) -> list[Row]:
        """A row for each category with a finished run, in the order in which they ran."""
        return [self._row(category, (category,)) for category in self._finished()]

    def group_rows(self) -> list[Row]:
        """A row for each group with two finished categories or more.

        The deviation is that of the group's mean over seeds; seeds that some category of the group
        did not finish with are left out. A metric that one category lacks, the group lacks.
        """
        rows = []
        for group, members in self.groups.items():
            there = tuple(category for category in self._finished() if category in members)
            count = str(len(there))
            if len(there) < len(members):
                count += f" of {len(members)}"
            if len(there) > 1:
                rows.append(self._row(f"mean of {group} ({count})", there))
        return rows

    def _finished(self) -> list[str]:
        return list(dict.fromkeys(run.category for run in self.runs))

    def _row(self, name: str, categories: tuple[str, ...]) -> Row:
        runs = {(run.category, run.seed): run for run in self.runs}
        seeds = tuple(s for s in self.seeds if all((c, s) in runs for c in categories))
        metrics: dict[str, Spread | None] = {}
        for metric in METRICS:
            by_seed = [[runs[c, s].metrics.get(metric) for c in categories] for s in seeds]
            means = [mean for values in by_seed if (mean := _mean(values)) is not None]
            complete = len(means) == len(seeds) > 0
            metrics[metric] = Spread.over(means) if complete else None
        return Row(name, seeds, metrics, self._published(categories))

    def _published(self, categories: tuple[str, ...]) -> dict[str, float | None]:
        if self.published is None:
            return {}
        return {
            metric: _mean([values.get(category) for category in categories])
            for metric, values in self.published.metrics.items()
        }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def headings(benchmark: Benchmark) -> list[str]:
    """The table's first line."""
    published = benchmark.published.metrics if benchmark.published else ()
    return ["category", "seeds", *METRICS.values(), *(f"published {METRICS[m]}" for m in published)]


def cells(row: Row) -> list[str]:
    """A row as it is shown."""
    ours = (row.metrics[metric] for metric in METRICS)
    theirs = row.published.values()
    return [
        row.name,
        ", ".join(map(str, row.seeds)) or "none in common",
        *(NOT_AVAILABLE if spread is None else spread.shown(3) for spread in ours),
        *(NOT_AVAILABLE if value is None else f"{value:.3f}" for value in theirs),
    ]


def notes(benchmark: Benchmark) -> list[str]:
    """What must be read with the table, a sentence a line."""
    lines = []
    if len(benchmark.seeds) > 1:
        lines.append("Mean ± sample standard deviation over seeds.")
    if benchmark.published is not None:
        lines.append(f"Published: {benchmark.published.what}.")
        lines += [f"Compare with care: {caveat}." for caveat in benchmark.published.caveats]
    return lines


def render_markdown(benchmark: Benchmark) -> str:
    """The table with where it comes from, as a page of Markdown."""
    return "\n".join(_markdown_lines(benchmark)) + "\n"


def _markdown_lines(benchmark: Benchmark) -> Iterator[str]:
    lineage = benchmark.lineage
    versions = (f"{name} {lineage.get(f'package.{name}', '?')}" for name in _VERSIONS_SHOWN)
    yield f"# GTrans on {benchmark.source}"
    yield ""
    yield f"- seeds: {', '.join(map(str, benchmark.seeds))}"
    yield f"- config (all but the seed): sha256 {benchmark.config_digest}"
    yield f"- code: git {lineage.get('git_sha', '?')}"
    yield f"- versions: {', '.join(versions)}"
    yield ""
    columns = headings(benchmark)
    yield _markdown_row(columns)
    yield _markdown_row(["---"] * len(columns))
    for row in benchmark.category_rows():
        yield _markdown_row(cells(row))
    for row in benchmark.group_rows():
        yield _markdown_row([f"**{cell}**" for cell in cells(row)])
    lines = notes(benchmark)
    if lines:
        yield ""
        yield from (f"- {line}" for line in lines)
    if benchmark.failures:
        yield ""
        yield "Not finished:"
        yield ""
        for failure in benchmark.failures:
            reason = failure.error.partition("\n")[0]
            yield f"- {failure.category}, seed {failure.seed}: {reason}"


def _markdown_row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def render_json(benchmark: Benchmark) -> str:
    """Everything, in full precision: what was asked, each run, each failure, each row."""
    rows = [*benchmark.category_rows(), *benchmark.group_rows()]
    everything = asdict(benchmark) | {"rows": [asdict(row) for row in rows]}
    return json.dumps(everything, indent=1, allow_nan=False) + "\n"
