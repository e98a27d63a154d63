"""cache_features: each training image decoded once, and the frozen guide's maps of it."""

from kfp import dsl

from gtrans.components.described import described
from gtrans.components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@described("Key of the feature cache.")
def cache_features(
    run_key: str,
    category: str,
    config: str,
    cache_store: str,
    store: str,
    tracking_uri: str,
    experiment: str,
    train_data: dsl.Input[dsl.Dataset],
    features: dsl.Output[dsl.Artifact],
) -> str:
    """Fill the content-addressed cache, or find it filled; returns the cache key."""
    from pathlib import Path

    from gtrans_core.steps.cache_features import cache_features as step
    from gtrans_core.steps.context import RunContext
    from gtrans_core.steps.reporting import run_step

    context = RunContext(run_key, category, store, tracking_uri, experiment)
    with run_step("cache_features", context):
        return step(
            context, config, Path(train_data.path), Path(features.path), cache_store=cache_store
        )
