"""The pipeline of many categories: each one's own pipeline, so many at once, then a summary.

A category that fails leaves the others as they are; ``summarize`` runs in any case, names the
failed ones and ends the run as failed. It is the exit task of a dsl.ExitHandler, and not a task
after the loop, since Kubeflow's server drops the exit tasks of a loop.
"""

from collections.abc import Callable
from typing import Any, cast

from kfp import dsl

from gtrans.components.summarize.component import summarize
from gtrans.pipelines.cluster_profile import Cluster
from gtrans.pipelines.graphs.category import category_pipeline
from gtrans.pipelines.graphs.display_names import DISPLAY_NAMES
from gtrans.pipelines.graphs.resources import Placement, equip, with_placement
from gtrans_core.config import FROM_CONFIG, GTransConfig


def categories_pipeline(at_once: int, cluster: Cluster | None = None) -> Callable[..., Any]:
    """The pipeline, for at most ``at_once`` categories at a time."""
    one = category_pipeline(cluster)

    @dsl.pipeline(
        name="gtrans-categories",
        description="Many categories, each trained, evaluated and registered; one summary that "
        "ranks them.",
    )
    @with_placement
    def pipeline(
        categories: list[dict[str, str]],
        source: str,
        store: str,
        tracking_uri: str,
        config: str = GTransConfig().to_json(),
        seed: int = FROM_CONFIG,
        epochs: int = FROM_CONFIG,
        image_size: int = FROM_CONFIG,
        effort: str = "",
        experiment: str = "gtrans",
        cache_store: str = "",
        unsigned_models: str = "refuse",
        *,
        placement: Placement,
    ) -> None:
        """Train, evaluate and register a detector for each category.

        Args:
            categories: of each one, its name (category) and its gate (gate, as JSON).
            source: where all of them are: a folder, an s3:// prefix, or a known source.
            store: as in gtrans-category.
            tracking_uri: as in gtrans-category.
            config: every knob, as JSON; absent keys take the product's defaults.
            seed: random seed; -1: what config says.
            epochs: passes over the training images; -1: what config says.
            image_size: side in pixels that images are resized to; -1: what config says.
            effort: how long Trans learns: fast, standard or best; empty: what config says.
            experiment: the MLflow experiment of the runs.
            cache_store: as in gtrans-category.
            unsigned_models: refuse or allow, as in gtrans-category.
        """
        summary = summarize(
            run_key=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            categories=categories,
            store=store,
            tracking_uri=tracking_uri,
            experiment=experiment,
        )
        summary.set_display_name(DISPLAY_NAMES["summarize"])
        equip(summary, "summarize", cluster, placement)
        with (
            dsl.ExitHandler(summary, name="categories"),
            dsl.ParallelFor(categories, name="category", parallelism=at_once) as item,
        ):
            trained = one(
                category=item.category,
                source=source,
                store=store,
                tracking_uri=tracking_uri,
                config=config,
                seed=seed,
                epochs=epochs,
                image_size=image_size,
                effort=effort,
                experiment=experiment,
                gate=item.gate,
                cache_store=cache_store,
                unsigned_models=unsigned_models,
                **placement.parameters(),
            )
            trained.set_display_name("One category")

    return cast(Callable[..., Any], pipeline)
