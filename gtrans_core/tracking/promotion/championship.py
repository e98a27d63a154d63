"""One category's champion in one registry: reading it, judging versions, and writing moves.

``promotion`` makes its verbs of this.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.detector.files import detector_digest
from gtrans_core.detector.model_name import CHALLENGER, CHAMPION, model_name
from gtrans_core.errors import ModelError
from gtrans_core.evaluation.gate import Evidence, Gate, Verdict, check_gate
from gtrans_core.storage import exclusive
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.tracking.address import SQLITE_SCHEME
from gtrans_core.tracking.client import (
    database_path,
    error_code,
    set_alias,
    translate_mlflow_errors,
)
from gtrans_core.tracking.promotion.ledger import (
    Ledger,
    Move,
    Recorded,
    append_move,
    mark_settled,
    newest_contender,
    read_ledger,
    tag_champion,
    told,
    withdraw_move,
)
from gtrans_core.tracking.promotion.verdicts import (
    Judgement,
    describe,
    undone_before,
    unsigned,
    write_verdict,
)
from gtrans_core.tracking.registry.evidence import evidence_of
from gtrans_core.tracking.registry.registry import fetch_model
from gtrans_core.tracking.registry.signed_evidence import signed_evidence
from gtrans_core.trust.policy import TrustPolicy

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion


class Championship:
    """Reads and writes one category's champion. Raises what MLflow raises: use it ``entered``.

    Args:
        client: the registry.
        category: the category.
        dry_run: whether nothing may be written.
        trust: whose models may be champion; by default what the environment says.
    """

    def __init__(
        self, client: MlflowClient, category: str, dry_run: bool, trust: TrustPolicy | None = None
    ) -> None:
        self.client, self.category, self.dry_run = client, category, dry_run
        self.trust = trust or TrustPolicy.from_environment()
        self.name = model_name(category)
        self._notes: list[str] = []
        self._own_moves: set[str] = set()
        self._evidence: dict[int, Evidence | None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What else was found or set right, one sentence each."""
        return tuple(dict.fromkeys(self._notes))

    @contextlib.contextmanager
    def entered(self, doing: str) -> Iterator[None]:
        """MLflow's errors become one line; on an embedded registry other promoters wait meanwhile.

        Raises:
            TrackingError: when MLflow refuses or cannot be reached.
        """
        uri = self.client.tracking_uri
        with contextlib.ExitStack() as stack:
            if uri.startswith(SQLITE_SCHEME) and not self.dry_run:
                stack.enter_context(exclusive(database_path(uri).with_name(self.name)))
            stack.enter_context(translate_mlflow_errors(uri, f"{doing} {self.name}"))
            yield

    def read(self) -> Ledger:
        """The ledger as it is now."""
        return read_ledger(self.client, self.category)

    def aliases(self) -> dict[str, int]:
        """Versions by alias.

        Raises:
            ModelError: when the category has no registered model.
        """
        from mlflow.exceptions import MlflowException

        try:
            model = self.client.get_registered_model(self.name)
        except MlflowException as error:
            if error_code(error) != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise ModelError(
                f"{self.name} is not in the registry; `gtrans run --category {self.category}` "
                "registers it"
            ) from None
        if model.name != self.name:
            raise ValueError("another model")
        return {alias: int(version) for alias, version in model.aliases.items()}

    def challenger(self) -> int | None:
        """The version that wants to be champion."""
        return self.aliases().get(CHALLENGER)

    def champion(self, ledger: Ledger) -> int | None:
        """What the ledger says; before the first move, what the alias says."""
        return ledger.head.move.champion if ledger.head else self.aliases().get(CHAMPION)

    def predecessor(self, ledger: Ledger) -> MlflowVersion:
        """The last champion before the present one that is still in the registry.

        Raises:
            ModelError: when there is none.
        """
        for number in reversed(ledger.reigns[:-1]):
            found = self._found(number)
            if found is not None:
                return found
        raise ModelError(f"{self.name}: there is no earlier champion to go back to")

    def version(self, number: int) -> MlflowVersion:
        """A version with its tags.

        Raises:
            ModelError: when there is no such version.
        """
        found = self._found(number)
        if found is None:
            raise ModelError(f"{self.name} has no version {number}")
        return found

    def verify(self, number: int) -> str:
        """Check the files of a version against the digests of its tags and its signature.

        Returns:
            The detector's digest.

        Raises:
            ModelError: naming the file that is missing, extra or changed, or that it is not signed.
            ConfigError: when signatures are asked for and there is no public key.
        """
        with scratch_folder() as folder:
            uri = f"models:/{self.name}/{number}"
            return detector_digest(fetch_model(self.client, uri, Path(folder), self.trust))

    def judge(
        self,
        gate: Gate,
        candidate: MlflowVersion,
        champion: int | None,
        ledger: Ledger,
        again: bool,
    ) -> Judgement:
        """Hold a version to the gate; one that was rolled back returns only when told ``again``."""
        holder = None if champion is None else self._found(champion)
        theirs = None if holder is None else self._signed_evidence(holder, required=False)
        ours = self._signed_evidence(candidate)
        rival = theirs if holder is None else theirs or evidence_of(holder.tags)
        verdict = check_gate(gate, ours or evidence_of(candidate.tags), rival)
        version = int(candidate.version)
        if theirs is not None and ours is None:
            verdict = Verdict((*verdict.checks, unsigned(self.category, version)))
        undone = None if again else ledger.rolled_back(version)
        if undone is not None:
            verdict = Verdict((*verdict.checks, undone_before(undone)))
        return Judgement(version, champion, verdict)

    def metrics(self, version: MlflowVersion) -> Mapping[str, float]:
        """The metrics of a version: signed ones where there are any, else its tags'."""
        return (self._signed_evidence(version) or evidence_of(version.tags)).metrics

    def _signed_evidence(self, version: MlflowVersion, required: bool = True) -> Evidence | None:
        number = int(version.version)
        if number not in self._evidence:
            self._evidence[number] = signed_evidence(
                self.client, version, self.trust, self.category, required=required
            )
        return self._evidence[number]

    def write_verdict(self, judgement: Judgement, gate: Gate) -> None:
        """Verdict and evidence, as tags of the version."""
        if not self.dry_run:
            write_verdict(self.client, self.name, judgement, gate)
            describe(self.client, self.name, self.version(judgement.version), judgement)

    def make(self, move: Move, approval: str = "") -> Ledger:
        """Write a move down and have the rest follow; a move that came too late is withdrawn.

        Args:
            move: the move.
            approval: the same, signed (``approval.sign_approval``).

        Returns:
            The ledger afterwards; whether the move counted is what it ``has``.
        """
        self._own_moves.add(move.token)
        append_move(self.client, self.category, move, approval)
        ledger = self.settled()
        if not ledger.has(move.token):
            withdraw_move(self.client, self.category, move.token)
        return ledger

    def settled(self) -> Ledger:
        """The ledger, once aliases and tags agree with it (on a dry run: as it is).

        Setting an alias may overwrite a later one. So both are read again afterwards, the alias
        first: a promoter who was overtaken while writing sees it, and sets what is right by then.
        The mark that a move is settled is written last of all, so that an earlier crash shows.
        """
        while True:
            alias, ledger = self.aliases().get(CHAMPION), self.read()
            head = ledger.head
            if self.dry_run or head is None:
                return ledger
            if alias == head.move.champion:
                self._settle(head)
                return ledger
            self._note_difference(head, alias)
            if not self._set_champion(head.move.champion):
                return ledger

    def drop_challenger(self, number: int) -> None:
        """Take the alias ``challenger`` from a version that has it.

        MLflow deletes an alias whoever has it by then: perhaps a version registered since we
        looked. So the newest version above this one is given it, until no newer one comes.
        """
        if self.dry_run or self.challenger() != number:
            return
        self.client.delete_registered_model_alias(self.name, CHALLENGER)
        given: int | None = None
        while (newest := newest_contender(self.client, self.category, number)) not in (None, given):
            if given is None and self.challenger() is not None:
                return
            set_alias(self.client, self.name, CHALLENGER, newest)
            given = newest

    def _set_champion(self, number: int) -> bool:
        """Point the alias; False where the version was deleted."""
        from mlflow.exceptions import MlflowException

        try:
            set_alias(self.client, self.name, CHAMPION, number)
        except MlflowException as error:
            if error_code(error) != "RESOURCE_DOES_NOT_EXIST":
                raise
            self._notes = [f"the champion, version {number}, was deleted from the registry"]
            return False
        return True

    def _settle(self, head: Recorded) -> None:
        if head.settled:
            return
        tag_champion(self.client, self.category, head)
        self.drop_challenger(head.move.champion)
        mark_settled(self.client, self.category, head.number)

    def _note_difference(self, head: Recorded, alias: int | None) -> None:
        if head.settled:
            found = "nothing" if alias is None else f"version {alias}"
            self._notes.append(
                f"the alias {CHAMPION} pointed to {found}, which is not what the history says; "
                f"set back to version {head.move.champion}"
            )
        elif head.move.token not in self._own_moves:
            self._notes.append(f"finished what was begun: {told(head.move)}")

    def _found(self, number: int) -> MlflowVersion | None:
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_model_version(self.name, str(number))
        except MlflowException as error:
            if error_code(error) != "RESOURCE_DOES_NOT_EXIST":
                raise
        return None
