"""ingest: a source of images becomes two validated manifests."""

from typing import NamedTuple

from kfp import dsl

from gtrans.components.described import described
from gtrans.components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@described()
def ingest(
    run_key: str,
    category: str,
    source: str,
    config: str,
    seed: int,
    epochs: int,
    image_size: int,
    effort: str,
    store: str,
    tracking_uri: str,
    experiment: str,
    train_data: dsl.Output[dsl.Dataset],
    test_data: dsl.Output[dsl.Dataset],
) -> NamedTuple("Outputs", [("data_digest", str), ("config", str)]):  # type: ignore[valid-type]
    """Validate every image of the category; returns the data digest and the config of the run."""
    from pathlib import Path

    from gtrans_core.config import with_run_parameters
    from gtrans_core.steps.context import RunContext
    from gtrans_core.steps.ingest import ingest as step
    from gtrans_core.steps.reporting import run_step

    context = RunContext(run_key, category, store, tracking_uri, experiment)
    with run_step("ingest", context):
        knobs = {"seed": seed, "epochs": epochs, "image_size": image_size}
        config = with_run_parameters(config, **knobs, effort=effort)
        paths = (Path(train_data.path), Path(test_data.path))
        return (step(context, source, config, *paths), config)
