"""What is known of one promotion: everything that the files of its release are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gtrans_core.detector.model_name import model_name
from gtrans_core.evaluation.record import EvaluationRecord


@dataclass(frozen=True)
class Split:
    """A data split as it was logged with the run.

    Attributes:
        context: ``training`` or ``testing``.
        digest: of its content, as long as MLflow keeps it.
        origin: what the source was called, such as ``mvtec`` or a folder.
        counts: images, and images of each kind.
    """

    context: str
    digest: str
    origin: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Approval:
    """Who made the version champion, and on what grounds.

    Attributes:
        number: of the move in the ledger.
        who: stated, not proven.
        when: UTC, ISO 8601.
        why: may be empty.
        previous: the champion before; None: there was none.
        gate: verdict, every check, the thresholds, the rival, when it was judged.
    """

    number: int
    who: str
    when: str
    why: str
    previous: int | None
    gate: dict[str, Any]


@dataclass(frozen=True)
class ReleaseFacts:
    """One promotion.

    Attributes:
        version: of ``gtrans-CATEGORY``.
        run_id: MLflow run that made it.
        detector_digest: sha256 of ``detector.json``, which names the other files' digests.
        files: sha256 of each file of the detector, by name.
        splits: the data.
        record: what the evaluation found.
        approval: the promotion.
        report: the evaluation's HTML report.
        signature: the model's signature; None where it has none.
    """

    version: int
    run_id: str
    detector_digest: str
    files: dict[str, str]
    splits: tuple[Split, ...]
    record: EvaluationRecord
    approval: Approval
    report: bytes
    signature: bytes | None

    @property
    def name(self) -> str:
        """The registered model's name."""
        return model_name(self.record.category)
