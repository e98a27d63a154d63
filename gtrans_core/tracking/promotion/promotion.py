"""Who is champion: promotion through the gate, rollback, history.

A move is made by writing it into the ledger, which settles who was first; everything else (the
aliases, the tags of the version) follows from the ledger and is set again, by whoever comes next,
after a crash at any point. On an embedded registry a file lock also keeps promoters apart, so that
an alias is never wrong in between; over several hosts it can be, for the milliseconds that a
promoter who was overtaken needs to look again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args
from uuid import uuid4

from gtrans_core.detector.model_name import CHAMPION
from gtrans_core.errors import GateError, ModelError, SupersededError
from gtrans_core.evaluation.gate import Gate, Verdict
from gtrans_core.evaluation.metric_names import MetricName
from gtrans_core.tracking.client import translate_mlflow_errors
from gtrans_core.tracking.person import who
from gtrans_core.tracking.promotion.approval import approve_afterwards, sign_approval
from gtrans_core.tracking.promotion.championship import Championship
from gtrans_core.tracking.promotion.ledger import Ledger, Move, Recorded, told, utc_now
from gtrans_core.tracking.promotion.verdicts import Judgement
from gtrans_core.trust.keys import SigningKey
from gtrans_core.trust.policy import TrustPolicy

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

_PATIENCE = 20
"""Times that others may come in between before a promotion is given up."""


@dataclass(frozen=True)
class PromotionResult:
    """What a promotion or a rollback came to.

    Attributes:
        champion: the champion now (on a dry run: as it would be).
        previous: the champion before; None when there was none.
        moved: whether this call moved it (on a dry run: would have).
        notes: what else was found or set right, one sentence each.
    """

    champion: int
    previous: int | None
    moved: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChampionHistory:
    """What a category's ledger says, and what the registry's alias says.

    Attributes:
        moves: the oldest first.
        alias: the version that ``champion`` points to; None when it points to nothing.
    """

    moves: tuple[Recorded, ...]
    alias: int | None


def promote(
    client: MlflowClient,
    category: str,
    gate: Gate,
    version: int | None = None,
    *,
    why: str = "",
    again: bool = False,
    dry_run: bool = False,
    trust: TrustPolicy | None = None,
    key: SigningKey | None = None,
    on_verdict: Callable[[Judgement], None] | None = None,
) -> PromotionResult:
    """Make a version the champion if it passes the gate. A second call changes nothing.

    Args:
        client: the registry.
        category: the category.
        gate: the thresholds.
        version: by default the challenger.
        why: kept in the history.
        again: whether a version that was rolled back may return.
        dry_run: judge and check only; nothing is written.
        trust: whose models may be champion; by default what the environment says.
        key: signs the approval. A champion that is named by its ``version`` and whose approval
            nobody signed is approved afterwards.
        on_verdict: is given each verdict as it falls.

    Raises:
        GateError: when the version does not pass, with every reason.
        SupersededError: when somebody else moved the champion meanwhile and theirs stays.
        ModelError: when there is no such version, or its files are not those registered and signed.
        ConfigError: when signatures are asked for and there is no public key.
        TrackingError: when MLflow refuses or cannot be reached; run it again.
    """
    championship = Championship(client, category, dry_run, trust)
    with championship.entered("promote"):
        ledger = championship.settled()
        wanted = championship.challenger() if version is None else version
        if wanted is None:
            return _nothing_to_promote(championship, ledger)
        candidate = championship.version(wanted)
        digest = championship.verify(wanted) if championship.champion(ledger) != wanted else ""
        for attempt in range(_PATIENCE):
            previous = championship.champion(ledger)
            if previous == wanted:
                championship.drop_challenger(wanted)
                if version is not None and key is not None:
                    _approve_afterwards(championship, ledger, key)
                return PromotionResult(wanted, wanted, False, championship.notes)
            judgement = championship.judge(gate, candidate, previous, ledger, again)
            if on_verdict:
                on_verdict(judgement)
            championship.write_verdict(judgement, gate)
            if not judgement.verdict.passed:
                raise _refusal(championship.name, judgement, overtaken=attempt > 0)
            if dry_run:
                return PromotionResult(wanted, previous, True, championship.notes)
            move = _move(championship, "promote", ledger, candidate, why)
            ledger = championship.make(move, _approval(category, move, digest, key))
            if ledger.has(move.token):
                return _outcome(championship, move, ledger)
        raise SupersededError(
            f"{championship.name} version {wanted}: others keep moving the champion"
        )


def rollback(
    client: MlflowClient,
    category: str,
    *,
    why: str = "",
    dry_run: bool = False,
    trust: TrustPolicy | None = None,
    key: SigningKey | None = None,
) -> PromotionResult:
    """Make the previous champion champion again, after checking its digests and its signature.

    A rollback that a crash cut short is finished, and then no further one is made. ``key`` signs
    the approval.

    Raises:
        ModelError: when there is none to go back to, or its files are not those registered and
            signed.
        ConfigError: when signatures are asked for and there is no public key.
        SupersededError: when somebody else moved the champion meanwhile and theirs stays.
        TrackingError: when MLflow refuses or cannot be reached; run it again.
    """
    championship = Championship(client, category, dry_run, trust)
    with championship.entered("roll back"):
        before, ledger = championship.read(), championship.settled()
        if ledger.number != before.number:
            return _moved_by_others(championship, before, ledger)
        head = before.head
        if head and head.move.kind == "rollback" and not head.settled:
            return _outcome(championship, head.move, ledger)
        target = championship.predecessor(ledger)
        digest = championship.verify(int(target.version))
        move = _move(championship, "rollback", ledger, target, why)
        if dry_run:
            return PromotionResult(move.champion, move.previous, True, championship.notes)
        ledger = championship.make(move, _approval(category, move, digest, key))
        if ledger.has(move.token):
            return _outcome(championship, move, ledger)
        return _moved_by_others(championship, before, ledger)


def read_history(client: MlflowClient, category: str) -> ChampionHistory:
    """All moves of a category's champion. Reads only.

    Raises:
        ModelError: when the category has no registered model.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    championship = Championship(client, category, dry_run=True)
    with championship.entered("read the history of"):
        return ChampionHistory(championship.read().moves, championship.aliases().get(CHAMPION))


def judge_new_version(client: MlflowClient, category: str, version: int, gate: Gate) -> Judgement:
    """Hold a version against the present champion and write the verdict on it. Moves nothing.

    The champion itself is not judged again.

    Raises:
        TrackingError: when MLflow refuses or cannot be reached.
    """
    # By the tags, which this very run wrote: to move the champion, signed evidence is asked for.
    trust = TrustPolicy(unsigned="allow")
    championship = Championship(client, category, dry_run=False, trust=trust)
    with translate_mlflow_errors(client.tracking_uri, f"judge {championship.name}"):
        ledger = championship.read()
        champion = championship.champion(ledger)
        if champion == version:
            return Judgement(version, champion, Verdict(()))
        judgement = championship.judge(
            gate, championship.version(version), champion, ledger, again=False
        )
        championship.write_verdict(judgement, gate)
    return judgement


def _nothing_to_promote(championship: Championship, ledger: Ledger) -> PromotionResult:
    champion = championship.champion(ledger)
    if champion is None:
        raise ModelError(
            f"{championship.name} has neither a challenger nor a champion; name a --version"
        )
    return PromotionResult(champion, champion, False, championship.notes)


def _outcome(championship: Championship, move: Move, ledger: Ledger) -> PromotionResult:
    if championship.champion(ledger) != move.champion:
        raise SupersededError(
            f"{championship.name} version {move.champion} was champion for a moment "
            f"and is superseded: {_told(ledger)}"
        )
    return PromotionResult(move.champion, move.previous, ledger.has(move.token), championship.notes)


def _refusal(name: str, judgement: Judgement, overtaken: bool) -> GateError | SupersededError:
    reasons = "; ".join(judgement.verdict.reasons)
    subject = f"{name} version {judgement.version}"
    if overtaken:
        return SupersededError(
            f"{subject} is superseded: version {judgement.champion} became champion meanwhile, "
            f"and against it: {reasons}"
        )
    return GateError(f"{subject} is not promoted: {reasons}")


def _approval(category: str, move: Move, digest: str, key: SigningKey | None) -> str:
    return sign_approval(category, move, digest, key) if key else ""


def _approve_afterwards(championship: Championship, ledger: Ledger, key: SigningKey) -> None:
    head = ledger.head
    if head is None or head.approval or championship.dry_run:
        return
    digest = championship.verify(head.move.champion)
    approve_afterwards(championship.client, championship.category, head, digest, key)


def _move(
    championship: Championship,
    kind: Literal["promote", "rollback"],
    ledger: Ledger,
    target: MlflowVersion,
    why: str,
) -> Move:
    metrics = championship.metrics(target)
    shown = {name: metrics.get(name, math.nan) for name in get_args(MetricName)}
    return Move(
        kind=kind,
        champion=int(target.version),
        previous=championship.champion(ledger),
        after=ledger.number,
        token=uuid4().hex,
        who=who(),
        when=utc_now(),
        why=why,
        metrics={name: value for name, value in shown.items() if math.isfinite(value)},
    )


def _moved_by_others(championship: Championship, before: Ledger, ledger: Ledger) -> PromotionResult:
    """The result where others moved the champion after we looked; fine if they rolled it back."""
    head = ledger.head
    champion = championship.champion(before)
    if head and head.move.kind == "rollback" and head.move.previous == champion:
        return PromotionResult(head.move.champion, champion, False, championship.notes)
    raise SupersededError(
        f"{championship.name} is not rolled back: {_told(ledger)} meanwhile; "
        f"see `gtrans history {championship.category}`"
    )


def _told(ledger: Ledger) -> str:
    return told(ledger.head.move) if ledger.head else "the ledger is empty"
