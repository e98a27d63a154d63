"""The ledger: every move of a category's champion, in the one order that all hosts agree on.

An MLflow alias is a blind overwrite, and so is a tag: with those alone, two promoters on two hosts
cannot settle who was first. The one thing a registry hands out one at a time is the number of a new
model version. So each move is a version, whole from the start and never changed, of a registered
model ``gtrans.promotions.CATEGORY``; it names the last move its maker had seen, and counts only if
no other came in between. The alias ``champion`` follows the ledger (``promotion``).
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from gtrans_core.detector.model_name import model_name, version_uri
from gtrans_core.storage.documents import Facts
from gtrans_core.tracking.client import error_code, set_version_tag
from gtrans_core.tracking.registry.registry import ensure_model
from gtrans_core.tracking.runs import PREFIX, quoted

if TYPE_CHECKING:
    from mlflow import MlflowClient

LEDGER_PREFIX = "gtrans.promotions."
MOVE_TAG = PREFIX + "move"
SETTLED_TAG = PREFIX + "settled"
APPROVAL_TAG = PREFIX + "approval"
PROMOTION_TAG = PREFIX + "promotion"
"""Of a champion: the move that made it one."""


class Move(Facts):
    """One move of the champion, as its maker wrote it down."""

    kind: Literal["promote", "rollback"]
    champion: int
    """The version that becomes champion."""
    previous: int | None
    """The version that was; None: there was none."""
    after: int
    """Number of the last move that its maker had seen; 0: none."""
    token: str
    """Tells this move from all others, even if MLflow's client sent it twice."""
    who: str
    when: str
    """UTC, ISO 8601."""
    why: str = ""
    metrics: dict[str, float] = Field(default={})
    """Of the version that becomes champion."""


@dataclass(frozen=True)
class Recorded:
    """A move that counted.

    Attributes:
        number: its place in the ledger.
        move: what was written down.
        settled: whether alias and tags are known to have followed it.
        approval: the move in a signed envelope (``approval``); empty where nobody signed it.
    """

    number: int
    move: Move
    settled: bool
    approval: str = ""


@dataclass(frozen=True)
class Ledger:
    """The moves that counted, the oldest first."""

    moves: tuple[Recorded, ...] = ()

    @property
    def head(self) -> Recorded | None:
        """The last move."""
        return self.moves[-1] if self.moves else None

    @property
    def number(self) -> int:
        """The last move's number; 0 when there is none."""
        return self.head.number if self.head else 0

    @property
    def reigns(self) -> tuple[int, ...]:
        """Champions that a rollback can go back through; the last one is the present champion."""
        reigns: list[int] = []
        for recorded in self.moves:
            move = recorded.move
            if not reigns and move.previous is not None:
                reigns.append(move.previous)
            if move.kind == "rollback" and move.champion in reigns:
                while reigns[-1] != move.champion:
                    reigns.pop()
            else:
                reigns.append(move.champion)
        return tuple(reigns)

    def has(self, token: str) -> bool:
        """Whether the move with this token counted."""
        return any(recorded.move.token == token for recorded in self.moves)

    def rolled_back(self, version: int) -> Move | None:
        """The rollback that took the championship from a version, if that was its last move."""
        for recorded in reversed(self.moves):
            move = recorded.move
            if move.champion == version:
                return None
            if move.kind == "rollback" and move.previous == version:
                return move
        return None


def read_ledger(client: MlflowClient, category: str) -> Ledger:
    """The moves that counted. What somebody else put into the ledger is passed over."""
    found = client.search_model_versions(f"name = {quoted(LEDGER_PREFIX + category)}")
    moves: list[Recorded] = []
    last = 0
    for version in sorted(found, key=lambda found: int(found.version)):
        move = _parse(version.tags.get(MOVE_TAG, ""))
        if move is not None and move.after >= last:
            last = int(version.version)
            signed = version.tags.get(APPROVAL_TAG, "")
            moves.append(Recorded(last, move, SETTLED_TAG in version.tags, signed))
    return Ledger(tuple(moves))


def append_move(client: MlflowClient, category: str, move: Move, approval: str = "") -> None:
    """Write a move down; whether it counted is seen by reading the ledger again."""
    name = LEDGER_PREFIX + category
    ensure_model(
        client,
        name,
        f"Not a model: the ledger of {model_name(category)}. Each version is one move of its "
        "champion. Do not edit, delete or deploy it; `gtrans history` shows it.",
    )
    client.create_model_version(
        name,
        source=version_uri(category, move.champion),
        tags={
            MOVE_TAG: move.model_dump_json(),
            **({APPROVAL_TAG: approval} if approval else {}),
        },
        description=f"Not a model: {move.kind} {move.previous or 'none'} -> {move.champion}, "
        f"{move.who}",
    )


def withdraw_move(client: MlflowClient, category: str, token: str) -> None:
    """Take a move that did not count out of sight."""
    from mlflow.exceptions import MlflowException

    name = LEDGER_PREFIX + category
    for version in client.search_model_versions(f"name = {quoted(name)}"):
        move = _parse(version.tags.get(MOVE_TAG, ""))
        if move is not None and move.token == token:
            with suppress(MlflowException):  # it does not count in any case
                client.delete_model_version(name, version.version)


def mark_settled(client: MlflowClient, category: str, number: int) -> None:
    """Note that alias and tags have followed a move."""
    from mlflow.exceptions import MlflowException

    try:
        set_version_tag(client, LEDGER_PREFIX + category, number, SETTLED_TAG, "true")
    except MlflowException as error:
        if error_code(error) != "RESOURCE_DOES_NOT_EXIST":  # withdrawn meanwhile
            raise


def _parse(text: str) -> Move | None:
    try:
        return Move.model_validate_json(text)
    except ValidationError:
        return None


def tag_champion(client: MlflowClient, category: str, recorded: Recorded) -> None:
    """Tell on a champion's own page which move made it one."""
    move = recorded.move
    story = {"number": recorded.number, **move.model_dump(exclude={"token", "after"})}
    set_version_tag(client, model_name(category), move.champion, PROMOTION_TAG, json.dumps(story))


def newest_contender(client: MlflowClient, category: str, number: int) -> int | None:
    """The newest version above one, of those that were never champion."""
    champions = {recorded.move.champion for recorded in read_ledger(client, category).moves}
    found = client.search_model_versions(f"name = {quoted(model_name(category))}")
    numbers = {int(version.version) for version in found} - champions
    return max((each for each in numbers if each > number), default=None)


def told(move: Move) -> str:
    """A move as a clause: ``ada promoted version 3 at ...``."""
    verb = "rolled back to" if move.kind == "rollback" else "promoted"
    return f"{move.who} {verb} version {move.champion} at {move.when}"


def utc_now() -> str:
    """Now, ISO 8601, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
