"""``gtrans history``: who was champion of a category, when and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gtrans.cli.shared.options import AsJson, Category, ProfileName, Store
from gtrans.cli.shared.plain_json import print_json
from gtrans_core.detector.model_name import model_name
from gtrans_core.evaluation.metric_names import labels_of

if TYPE_CHECKING:
    from rich.table import Table

    from gtrans_core.tracking.promotion.promotion import ChampionHistory

_METRICS = labels_of("image_auroc", "pixel_auroc", "au_pro_30")


def history(
    category: Category,
    as_json: AsJson = False,
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """List every move of the champion: who, when, from, to, why, and the metrics."""
    from rich.console import Console

    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.tracking.client import connect_existing
    from gtrans_core.tracking.promotion.promotion import read_history

    client = connect_existing(load_profile(profile_name, store=store).tracking_uri)
    found = read_history(client, category)
    if as_json:
        moves = [recorded.move.model_dump(exclude={"token", "after"}) for recorded in found.moves]
        print_json({"champion_alias": found.alias, "moves": moves})
        return
    console = Console()
    if found.moves:
        console.print(f"{model_name(category)}: champions", style="italic", highlight=False)
        console.print(_history_table(found))
    for line in _alias_lines(category, found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _history_table(found: ChampionHistory) -> Table:
    from rich.table import Table

    from gtrans.cli.shared.outside_text import cell

    table = Table(box=None)
    for heading in ("when (UTC)", "who", "what", "from", "to", *_METRICS.values(), "why"):
        table.add_column(heading, no_wrap=heading in ("when (UTC)", "what"))
    for recorded in found.moves:
        move = recorded.move
        table.add_row(
            cell(move.when.removesuffix("+00:00")),
            cell(move.who),
            move.kind,
            str(move.previous or "none"),
            str(move.champion),
            *(_shown(move.metrics.get(name)) for name in _METRICS),
            cell(move.why),
        )
    return table


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _alias_lines(category: str, found: ChampionHistory) -> list[str]:
    """What the registry's alias says, where that differs from the history."""
    champion = found.moves[-1].move.champion if found.moves else None
    alias = "nothing" if found.alias is None else f"version {found.alias}"
    if not found.moves:
        return [f"no promotion yet; the alias champion points to {alias}"]
    if champion == found.alias:
        return []
    return [
        f"the alias champion points to {alias}, not to version {champion}; the next "
        f"`gtrans promote {category}` sets it right"
    ]
