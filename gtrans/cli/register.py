"""``gtrans register``: the last step of a run that ended without it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gtrans.cli.shared.options import Experiment, GateFile, ProfileName, Store


def register(
    source: Annotated[
        Path,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Folder that the step evaluate left: it holds detector/ and evaluation/.",
        ),
    ],
    gate: GateFile = None,
    profile_name: ProfileName = "local",
    store: Store = None,
    experiment: Experiment = None,
) -> None:
    """Register a detector that was trained and evaluated while MLflow could not be reached.

    It goes into the MLflow run of its pipeline run. Running this again changes nothing: the same
    detector never makes a second version.
    """
    from gtrans.pipelines.gates import load_gate
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.evaluation.record import EvaluationRecord
    from gtrans_core.steps.context import RunContext
    from gtrans_core.steps.register import register as step
    from gtrans_core.trust.keys import SigningKey

    profile = load_profile(profile_name, store=store, experiment=experiment)
    profile.trust.require_key(SigningKey.from_environment())
    detector, evaluation = source / "detector", source / "evaluation"
    record = EvaluationRecord.read(evaluation)
    context = RunContext(
        record.run_key, record.category, profile.store, profile.tracking_uri, profile.experiment
    )
    thresholds = load_gate(record.category, gate)
    step(context, thresholds.to_json(), profile.trust.unsigned_now, detector, evaluation)
