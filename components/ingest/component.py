"""ingest: a source of images becomes two validated manifests."""

from kfp import dsl

from gtrans.components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(
    run_key: str,
    category: str,
    source: str,
    config: str,
    store: str,
    tracking_uri: str,
    experiment: str,
    train_data: dsl.Output[dsl.Dataset],
    test_data: dsl.Output[dsl.Dataset],
) -> str:
    """Validate every image of the category; returns the data digest."""
    from pathlib import Path

    from gtrans_core.steps.context import RunContext
    from gtrans_core.steps.ingest import ingest as step
    from gtrans_core.steps.reporting import run_step

    context = RunContext(run_key, category, store, tracking_uri, experiment)
    with run_step("ingest", context):
        return step(context, source, config, Path(train_data.path), Path(test_data.path))
