"""register: the run goes to MLflow, its detector into the model registry."""

from kfp import dsl

from gtrans.components.described import described
from gtrans.components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@described("Number of the registered version.")
def register(
    run_key: str,
    category: str,
    store: str,
    tracking_uri: str,
    experiment: str,
    gate: str,
    unsigned_models: str,
    detector: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
) -> str:
    """Register the detector as challenger, judged by the gate; returns the version."""
    from pathlib import Path

    from gtrans_core.steps.context import RunContext
    from gtrans_core.steps.register import register as step
    from gtrans_core.steps.reporting import run_step

    context = RunContext(run_key, category, store, tracking_uri, experiment)
    with run_step("register", context):
        paths = (Path(detector.path), Path(evaluation.path))
        return step(context, gate, unsigned_models, *paths)
