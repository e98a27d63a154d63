"""Release folders in MLflow: one for each promotion, on the run that made the promoted version.

``release/N`` among the run's artifacts, N the promotion's number in the ledger: beside what the run
logged, never written over by a later promotion of the same version. The ledger's entry names the
folder and the sha256 of its files once everything is uploaded; where it names none, a crash came
before, and the next promotion command writes the folder (again).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.detector.model_name import model_name
from gtrans_core.errors import ModelError, StorageError
from gtrans_core.evaluation import record as evaluation
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.release.facts import Approval, ReleaseFacts, Split
from gtrans_core.release.folder import write_release
from gtrans_core.storage import sha256_file
from gtrans_core.storage.documents import parse_json
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.tracking.client import set_version_tag, translate_mlflow_errors
from gtrans_core.tracking.promotion.ledger import LEDGER_PREFIX, Recorded, read_ledger
from gtrans_core.tracking.promotion.verdicts import gate_said
from gtrans_core.tracking.registry.download import download_file
from gtrans_core.tracking.registry.model import DETECTOR_TAG
from gtrans_core.tracking.registry.model_files import FILES_TAG
from gtrans_core.tracking.registry.run_files import fetch_run_file, fetch_run_folder
from gtrans_core.tracking.runs import PREFIX
from gtrans_core.trust.keys import SigningKey
from gtrans_core.trust.policy import TrustPolicy
from gtrans_core.trust.signature import SIGNATURE_NAME

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

RELEASE_TAG = PREFIX + "release"
"""Of a ledger's entry: a ``Release`` as JSON."""


@dataclass(frozen=True)
class Release:
    """Where the release folder of a promotion is.

    Attributes:
        version: the promoted version.
        run_id: the MLflow run that has it.
        path: of the folder, among the run's artifacts.
        files: sha256 (hex) of each file but the signature, by name.
    """

    version: int
    run_id: str
    path: str
    files: dict[str, str]


def ensure_release(client: MlflowClient, category: str, key: SigningKey | None) -> Release | None:
    """The release folder of the present champion's promotion; written now where there is none.

    Returns:
        None where no promotion is on record, since the alias was set by hand.

    Raises:
        ConfigError: when the key cannot be read.
        ModelError: when the evaluation's record is damaged.
        TrackingError: when MLflow refuses or cannot be reached, or the run lacks what the folder is
            made from; the champion stays as it is, run it again.
    """
    with translate_mlflow_errors(
        client.tracking_uri, f"write the release folder of {model_name(category)}"
    ):
        promotion = _promotion(client, category, None)
        if promotion is None:
            return None
        return _release_of(client, category, promotion) or _write(client, category, promotion, key)


def fetch_release(
    client: MlflowClient, category: str, version: int | None, destination: Path, trust: TrustPolicy
) -> Release:
    """Download the release folder of a version's last promotion; by default of the champion's.

    Its files are compared with the digests in the ledger and, where there are both a signature and
    a public key, with the signature.

    Args:
        client: the registry.
        category: the category.
        version: the promoted version.
        destination: the folder to make.
        trust: whose signature counts.

    Raises:
        ModelError: when there is no such release, or a file is not as it was written.
        StorageError: when the destination is there already or cannot be written.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    name = model_name(category)
    with translate_mlflow_errors(client.tracking_uri, f"read the release folder of {name}"):
        promotion = _promotion(client, category, version)
        release = _release_of(client, category, promotion) if promotion else None
        if release is None:
            which = f"{name} version {version}" if version else f"the champion of {name}"
            raise ModelError(
                f"{which} has no release folder; `gtrans promote {category}` writes it"
            )
        with scratch_folder() as scratch:
            folder = fetch_run_folder(client, release.run_id, release.path, Path(scratch))
            _verify(f"{name} {release.path}", folder, release, trust)
            _copy(folder, destination)
    return release


def _promotion(client: MlflowClient, category: str, version: int | None) -> Recorded | None:
    """The last promotion of a version, by default of the champion."""
    ledger = read_ledger(client, category)
    if version is None and ledger.head:
        version = ledger.head.move.champion
    for recorded in reversed(ledger.moves):
        if recorded.move.kind == "promote" and recorded.move.champion == version:
            return recorded
    return None


def _release_of(client: MlflowClient, category: str, promotion: Recorded) -> Release | None:
    entry = client.get_model_version(LEDGER_PREFIX + category, str(promotion.number))
    text = entry.tags.get(RELEASE_TAG)
    if text is None:
        return None
    release = Release(**parse_json(text))
    if release.path != _path(promotion):
        raise ModelError(
            f"{model_name(category)}: its release folder is said to be {release.path}: expected "
            f"{_path(promotion)}; refused"
        )
    return release


def _path(promotion: Recorded) -> str:
    return f"release/{promotion.number}"


def _write(
    client: MlflowClient, category: str, promotion: Recorded, key: SigningKey | None
) -> Release:
    number = promotion.move.champion
    version = client.get_model_version(model_name(category), str(number))
    with scratch_folder() as scratch:
        folder = Path(scratch) / "release"
        folder.mkdir()
        write_release(_facts(client, version, promotion, Path(scratch)), folder, key)
        path = _path(promotion)
        run_id = _run_id(version)
        client.log_artifacts(run_id, str(folder), path)
        release = Release(number, run_id, path, _digests(folder))
    set_version_tag(
        client,
        LEDGER_PREFIX + category,
        promotion.number,
        RELEASE_TAG,
        json.dumps(asdict(release)),
    )
    return release


def _facts(
    client: MlflowClient, version: ModelVersion, promotion: Recorded, scratch: Path
) -> ReleaseFacts:
    run_id = _run_id(version)
    run = client.get_run(run_id)
    logged = scratch / "logged"
    logged.mkdir()
    for name in (evaluation.RECORD, evaluation.REPORT):
        fetch_run_file(client, run_id, name, logged)
    move = promotion.move
    return ReleaseFacts(
        version=move.champion,
        run_id=run_id,
        detector_digest=version.tags[DETECTOR_TAG],
        files=parse_json(version.tags[FILES_TAG]),
        splits=_splits(run),
        record=EvaluationRecord.read(logged),
        approval=Approval(
            promotion.number, move.who, move.when, move.why, move.previous, gate_said(version.tags)
        ),
        report=(logged / evaluation.REPORT).read_bytes(),
        signature=download_file(client, version, SIGNATURE_NAME, scratch),
    )


def _run_id(version: ModelVersion) -> str:
    if not version.run_id:
        raise ModelError(f"{version.name} version {version.version}: no MLflow run made it")
    return version.run_id


def _splits(run: Run) -> tuple[Split, ...]:
    splits = []
    for found in run.inputs.dataset_inputs if run.inputs else []:
        contexts = [tag.value for tag in found.tags if tag.key == "mlflow.data.context"]
        splits.append(
            Split(
                context=contexts[0] if contexts else "unknown",
                digest=found.dataset.digest,
                origin=parse_json(found.dataset.source).get("origin", "unknown"),
                counts=parse_json(found.dataset.profile or "{}"),
            )
        )
    return tuple(sorted(splits, key=lambda split: split.context, reverse=True))


def _digests(folder: Path) -> dict[str, str]:
    # Two promoters may both write the folder; only the signatures' random part differs then.
    files = (path for path in sorted(folder.iterdir()) if path.name != SIGNATURE_NAME)
    return {path.name: sha256_file(path) for path in files}


def _verify(name: str, folder: Path, release: Release, trust: TrustPolicy) -> None:
    actual = _digests(folder)
    for file in sorted({*actual, *release.files}):
        if actual.get(file) != release.files.get(file):
            raise ModelError(f"{name}: file {file} is missing, extra or was changed")
    if trust.public_key is not None and (folder / SIGNATURE_NAME).is_file():
        trust.verify(folder, name)


def _copy(folder: Path, destination: Path) -> None:
    try:
        destination.mkdir(parents=True)
        for path in folder.iterdir():
            (destination / path.name).write_bytes(path.read_bytes())
    except OSError as error:
        raise StorageError(
            f"{destination}: cannot be made ({error.strerror}); name a new folder"
        ) from None
