"""Register: everything into MLflow, and the detector into the registry as challenger.

Only this step needs MLflow: training and evaluation end well without it, and their files wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.config import ImageConfig
from gtrans_core.data.images import decode_image, encode_png
from gtrans_core.data.manifest import Manifest
from gtrans_core.data.reading import read_image
from gtrans_core.detector.files import read_info, require_intact
from gtrans_core.detector.model_name import CHALLENGER, alias_uri
from gtrans_core.errors import DataError, ModelError, StorageError, TrackingError
from gtrans_core.evaluation import record as files
from gtrans_core.evaluation.contest import contest
from gtrans_core.evaluation.gate import Gate
from gtrans_core.evaluation.image_table import IMAGES, IMAGES_CSV, read_images
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.tracking.duel import images_of_version
from gtrans_core.tracking.journal import replay
from gtrans_core.tracking.promotion.promotion import judge_new_version
from gtrans_core.tracking.promotion.verdicts import Judgement
from gtrans_core.tracking.registry.evidence import evidence_tags
from gtrans_core.tracking.registry.model import log_model
from gtrans_core.tracking.registry.registry import register as register_version
from gtrans_core.tracking.registry.signed_evidence import ModelEvidence
from gtrans_core.tracking.registry.versions import ModelVersion
from gtrans_core.tracking.runs import RunLogger
from gtrans_core.tracking.step_run import end_left_open
from gtrans_core.training.journal import SYSTEM_JOURNAL
from gtrans_core.trust.keys import SigningKey
from gtrans_core.trust.policy import read_unsigned, require_signing

if TYPE_CHECKING:
    from gtrans_core.drawing.registration import Registration

_UNSIGNED = "the model is not signed: no key, and the profile allows it"


def register(
    context: RunContext, gate_json: str, unsigned_models: str, detector: Path, evaluation: Path
) -> str:
    """Log the run, register its detector, and write on the version what the gate says of it.

    The model is signed with the key that ``GTRANS_SIGNING_KEY`` names. The same detector never
    makes a second version.

    Args:
        context: the run.
        gate_json: the thresholds for becoming champion; nothing is promoted here.
        unsigned_models: ``refuse`` or ``allow``: what happens where there is no key.
        detector: folder that ``evaluate`` packaged.
        evaluation: folder with the record, manifests, journal, tables, figures and report.

    Returns:
        The registered version's number.

    Raises:
        ConfigError: when the gate or the key is invalid, or the key is missing.
        TrackingError: when MLflow refuses or stays unreachable, with where the model is kept.
        ModelError: when the folders are damaged or do not belong together.
    """
    progress = Progress("register", context.category)
    progress.started()
    gate = Gate.from_json(gate_json)
    key = SigningKey.from_environment()
    require_signing(read_unsigned(unsigned_models, "unsigned_models"), key)
    record = EvaluationRecord.read(evaluation)
    _require_match(detector, record)
    with _kept_in(evaluation.parent):
        run = context.run.open()
        _log_evaluation(run, record, evaluation, progress)
        # A short training ends before MLflow is reached.
        training = context.root / "training" / record.lineage.get("training_key", "")
        replay(training / SYSTEM_JOURNAL, run.run_id, run.client)
        names = (files.TEST_MANIFEST, files.TRAIN_MANIFEST)
        manifests = [Manifest.read(evaluation / name) for name in names]
        example = input_example(manifests, read_info(detector).config.image)
        made = register_detector(run, record, detector, example, gate, key)
        registration = _registration(run, made, evaluation)
        run.log_artifact_bytes(files.REPORT, _report(evaluation, registration))
        end_left_open(run)
        run.finish()
        run_page = run.page()
    for line in made.lines:
        progress.said(line)
    progress.finished(
        reused=not made.created,
        version=made.version.version,
        model_uri=alias_uri(context.category, CHALLENGER),
        run_id=run.run_id,
        run_page=run_page,
        gate=in_words(made.judgement),
        registration=registration.model_dump(mode="json"),
    )
    return str(made.version.version)


@dataclass(frozen=True)
class Registered:
    """A detector in the registry.

    Attributes:
        version: what it is there.
        created: whether it is new there; False: the same detector was registered before.
        judgement: what the gate says of it.
        signed: whether there was a key to sign it with.
    """

    version: ModelVersion
    created: bool
    judgement: Judgement
    signed: bool

    @property
    def lines(self) -> list[str]:
        """What a person wants to know of it."""
        name = f"{self.version.name} version {self.version.version}"
        return [
            *([] if self.created else [f"this very detector is {name} already"]),
            f"{name} is the {CHALLENGER}",
            *(
                []
                if self.signed
                else ["the model is not signed: no key, and the profile allows it"]
            ),
            in_words(self.judgement),
        ]


def register_detector(
    run: RunLogger,
    record: EvaluationRecord,
    detector: Path,
    example: bytes,
    gate: Gate,
    key: SigningKey | None,
) -> Registered:
    """Log a detector as the model of a run, make it the category's challenger, and judge it.

    Args:
        run: the run that it came from.
        record: its evaluation.
        detector: its folder.
        example: an image that a request to the served model may have.
        gate: thresholds for becoming champion; nothing is promoted here.
        key: signs the model; None: it stays unsigned.

    Raises:
        ModelError: for a folder that is no detector of the record's category.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    evidence = _evidence(record).to_json()
    model_uri = log_model(run.client, run.run_id, detector, example, key, evidence)
    version, created = register_version(
        run.client,
        run.run_id,
        model_uri,
        record.category,
        detector,
        _version_tags(record),
        record.in_short,
    )
    judgement = judge_new_version(run.client, record.category, version.version, gate)
    run.log_lineage({"registered_version": str(version.version)})
    run.describe(f"{record.in_short}; gate {in_words(judgement)}")
    return Registered(version, created, judgement, key is not None)


def _registration(run: RunLogger, made: Registered, evaluation: Path) -> Registration:
    """What the report says of the version, with the champion beside it where both kept images."""
    from gtrans_core.drawing.registration import MOST_CHANGES, Registration

    champion, against = made.judgement.champion, None
    if champion is not None and champion != made.version.version:
        with suppress(ModelError):  # that of the champion may be damaged: not this run's fault
            theirs = images_of_version(run.client, made.version.name, champion)
            against = contest(theirs, read_images(evaluation / IMAGES)) if theirs else None
    changed = against.changed if against else ()
    return Registration(
        version=made.version.version,
        alias=CHALLENGER,
        gate=in_words(made.judgement),
        champion=champion,
        contest=against and replace(against, changed=changed[:MOST_CHANGES]),
        changed=len(changed),
    )


def _report(evaluation: Path, registration: Registration) -> bytes:
    from gtrans_core.drawing.registration import with_registration

    report = (evaluation / files.REPORT).read_text(encoding="utf-8")
    return with_registration(report, registration).encode()


def _require_match(detector: Path, record: EvaluationRecord) -> None:
    """Check that the folders, which may have been copied since, are intact and of one training."""
    info = require_intact(detector)
    if info.training_key != record.lineage.get("training_key"):
        raise ModelError(f"{detector}: the evaluation beside it is of another detector")


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """Where MLflow or a disk fails, say that the model is not lost."""
    try:
        yield
    except (TrackingError, StorageError) as error:
        raise type(error)(
            f"{error}; the model is kept, `gtrans register --from {folder}` finishes the run"
        ) from None


def _log_evaluation(
    run: RunLogger, record: EvaluationRecord, evaluation: Path, progress: Progress
) -> None:
    run.log_params(record.config)
    run.log_lineage(record.lineage)
    run.log_dataset(
        Manifest.read(evaluation / files.TRAIN_MANIFEST),
        Manifest.read(evaluation / files.TEST_MANIFEST),
    )
    run.log_metrics(
        record.charted()
    )  # before the loss: MLflow's compare page begins with the first
    replay(evaluation / files.HISTORY, run.run_id, run.client)
    tables = (evaluation / IMAGES, evaluation / IMAGES_CSV)
    paths = [
        evaluation / files.REPORT,
        evaluation / files.RECORD,
        *(table for table in tables if table.exists()),  # an earlier version wrote none
        *sorted((evaluation / files.FIGURES).glob("*.png")),
    ]
    for done, path in enumerate(paths, start=1):
        name = path.relative_to(evaluation).as_posix()
        run.log_artifact_bytes(name, path.read_bytes())
        progress.advanced("files logged", done, len(paths))


def input_example(manifests: Iterable[Manifest], image: ImageConfig) -> bytes:
    """The first good image of the first manifest that has one: what a request to the model is.

    As a PNG of 8 bits, but for a detector that needs 16: then as it is.

    Raises:
        DataError: when there is none, or it has changed.
    """
    for manifest in manifests:
        for sample in manifest.in_content_order():
            if sample.is_good:
                return as_example(read_image(manifest, sample), sample.path, image)
    raise DataError("the manifests name no good image")


def as_example(data: bytes, name: str, image: ImageConfig) -> bytes:
    """An encoded image as the example of a request (see ``input_example``)."""
    if image.levels is not None:
        return data
    return encode_png(decode_image(data, name, image.max_megapixels))


def _version_tags(record: EvaluationRecord) -> dict[str, str]:
    """What the gate asks for, and where a recalibrated version comes from."""
    made_from = {k: v for k, v in record.lineage.items() if k.startswith("recalibrated_")}
    return {**evidence_tags(record.evidence()), **made_from}


def _evidence(record: EvaluationRecord) -> ModelEvidence:
    found = record.evidence()
    return ModelEvidence(
        category=record.category,
        data_digest=found.data_digest,
        test_images=found.test_images,
        metrics=dict(found.metrics),
        lineage=record.lineage,
    )


def in_words(judgement: Judgement) -> str:
    """The verdict as a line, such as ``passed (compared with version 2)``."""
    if judgement.champion == judgement.version:
        return "is the champion"
    if judgement.verdict.passed:
        rival = f"compared with version {judgement.champion}"
        return f"passed ({rival if judgement.champion else 'no champion yet'})"
    return f"refused: {'; '.join(judgement.verdict.reasons)}"
