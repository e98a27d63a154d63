"""train: the student learns the guide's maps from the cache alone."""

from kfp import dsl

from gtrans.components.described import described
from gtrans.components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@described("Key of the training.")
def train(
    run_key: str,
    category: str,
    config: str,
    store: str,
    tracking_uri: str,
    experiment: str,
    features: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
) -> str:
    """Train on good images only; returns the train key."""
    from pathlib import Path

    from gtrans_core.steps.context import RunContext
    from gtrans_core.steps.reporting import run_step
    from gtrans_core.steps.train import train as step

    context = RunContext(run_key, category, store, tracking_uri, experiment)
    with run_step("train", context):
        return step(context, config, Path(features.path), Path(model.path))
