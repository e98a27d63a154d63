"""What ``gtrans compare`` shows: tables that fit a hundred columns, or the same as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gtrans.cli.shared.outside_text import cell
from gtrans_core.evaluation.metric_names import labels_of
from gtrans_core.system.text import printable

if TYPE_CHECKING:
    from rich.table import Table

    from gtrans_core.evaluation.contest import ChangedVerdict, Contest
    from gtrans_core.evaluation.spread import Spread
    from gtrans_core.tracking.comparison import Comparison, Group, Trial
    from gtrans_core.tracking.duel import Duel

METRICS = labels_of(
    "image_auroc", "image_f1_max", "pixel_auroc", "pixel_ap", "au_pro_30", "au_pro_05"
)
MISSED, FALSE_ALARMS = "defects_missed", "false_alarms"
_ID_LENGTH = 8
_VALUE_LENGTH = 16
_SIDE_BY_SIDE = 3
"""Columns of differing values that fit beside each other."""
_MOST_CHANGES = 10


def versions_table(found: Comparison) -> Table:
    """What a factory asks of each version: may it be used, what does it miss."""
    headings = ("#", "seeds", "version", "alias", "gate", "missed", "false alarms", "image AUROC")
    table = _table(*headings)
    for rank, group in enumerate(found.groups, start=1):
        aliases, gates = _standing(found, group.trials)
        table.add_row(
            str(rank),
            str(len(group.trials)),
            _some([str(trial.version or "-") for trial in group.trials]),
            cell(aliases or "-"),
            cell(gates or "-"),
            _shown(group.spread(MISSED), 0 if len(group.trials) == 1 else 1),
            _shown(group.spread(FALSE_ALARMS), 0 if len(group.trials) == 1 else 1),
            _shown(group.spread("image_auroc"), 3),
        )
    return table


def metrics_table(found: Comparison) -> Table:
    """All metrics, and what training cost."""
    from gtrans_core.tracking.comparison import SECONDS

    table = _table("#", *METRICS.values(), "training s")
    for rank, group in enumerate(found.groups, start=1):
        table.add_row(
            str(rank),
            *(_shown(group.spread(name), 3) for name in METRICS),
            _shown(group.spread(SECONDS), 0),
        )
    return table


def differences_tables(found: Comparison) -> Iterator[Table]:
    """Config keys that differ, the data and the runs: a row each, a column a group."""
    for start in range(0, len(found.groups), _SIDE_BY_SIDE):
        groups = found.groups[start : start + _SIDE_BY_SIDE]
        ranks = [f"# {rank}" for rank, _ in enumerate(groups, start=start + 1)]
        table = _table("", *ranks, left=True)
        for key in found.differing:
            values = (_setting(group.config.get(key, "-")) for group in groups)
            table.add_row(cell(key), *map(cell, values))
        table.add_row("data", *(cell(g.data_digest[:_ID_LENGTH]) or "not known" for g in groups))
        for number in range(max(len(group.trials) for group in groups)):
            name = "run (seed)" if number == 0 else ""
            table.add_row(name, *(cell(_run(group, number)) for group in groups))
        yield table


def duel_table(duel: Duel, images: Contest) -> Table:
    """How many images of each kind champion and challenger get wrong."""
    table = _table("kind", "images", f"version {duel.champion}", f"version {duel.challenger}", "")
    for row in images.kinds:
        word = "false alarms" if row.kind == "good" else "missed"
        counts = (row.images, row.champion_wrong, row.challenger_wrong)
        table.add_row(cell(_cut(row.kind, 30)), *map(str, counts), word)
    return table


def duel_lines(duel: Duel) -> list[str]:
    """Which images changed their verdict."""
    if duel.contest is None:
        return [
            "  an earlier version of GTrans kept no images of one: run it again to compare them"
        ]
    changed = duel.contest.changed
    lines = [f"  {_change(each)}" for each in changed[:_MOST_CHANGES]]
    if len(changed) > _MOST_CHANGES:
        lines.append(f"  and {len(changed) - _MOST_CHANGES} more (all of them: --json)")
    if not changed:
        lines.append("  no image changed its verdict")
    if duel.contest.only_one:
        lines.append(f"  {duel.contest.only_one} images were judged by only one of them")
    return lines


def plain(found: Comparison, category: str, by: str) -> dict[str, Any]:
    """Everything that the tables say, as JSON takes it; what is not known is null."""
    return {
        "category": category,
        "ranked_by": by,
        "same_data": found.same_data,
        "differing": list(found.differing),
        "groups": [_plain_group(found, group) for group in found.groups],
        "challenger_against_champion": asdict(found.duel) if found.duel else None,
    }


def _plain_group(found: Comparison, group: Group) -> dict[str, Any]:
    return {
        "config": group.config,
        "data_digest": group.data_digest,
        "runs": [
            {
                "run_id": trial.run_id,
                "seed": trial.seed,
                "version": trial.version,
                "aliases": list(one.aliases) if (one := _of(found, trial)) else [],
                "gate": (one.gate or None) if one else None,
                "metrics": trial.metrics,
            }
            for trial in group.trials
        ],
    }


def _of(found: Comparison, trial: Trial) -> Any:
    return found.standings.get(trial.version) if trial.version else None


def _standing(found: Comparison, trials: Sequence[Trial]) -> tuple[str, str]:
    """Aliases and gates of the versions, each said once."""
    known = [one for trial in trials if (one := _of(found, trial))]
    aliases = dict.fromkeys(alias for one in known for alias in one.aliases)
    gates = dict.fromkeys(one.gate for one in known if one.gate)
    return ", ".join(aliases), ", ".join(gates)


def _table(*headings: str, left: bool = False) -> Table:
    from rich.table import Table

    table = Table(box=None)
    for heading in headings:
        words = left or heading in ("kind", "alias", "gate", "")
        table.add_column(heading, justify="left" if words else "right", no_wrap=True)
    return table


def _shown(spread: Spread | None, digits: int) -> str:
    return "-" if spread is None else spread.shown(digits).replace(" ", "")


def _run(group: Group, number: int) -> str:
    if number >= len(group.trials):
        return ""
    trial = group.trials[number]
    return f"{trial.run_id[:_ID_LENGTH]} ({trial.seed})"


def _some(words: Sequence[str]) -> str:
    """The first three: more of them would not fit."""
    return ", ".join(words[:3]) + (", ..." if len(words) > 3 else "")


def _change(each: ChangedVerdict) -> str:
    scores = f"{each.champion_score:.3g} -> {each.challenger_score:.3g} x threshold"
    return f"{each.change:22}  {scores:30}  {printable(each.path)}"


def _setting(value: str) -> str:
    """A config value; MLflow keeps a knob that is not set as ``None``."""
    return "not set" if value == "None" else _cut(value)


def _cut(text: str, length: int = _VALUE_LENGTH) -> str:
    """The end of a long value, which is where a path differs."""
    return text if len(text) <= length else f"...{text[3 - length :]}"
