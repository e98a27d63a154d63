"""The pipeline that watches one category: check_drift alone, made to be run on a schedule."""

from collections.abc import Callable
from typing import Any, cast

from kfp import dsl

from gtrans.components.check_drift.component import check_drift
from gtrans.pipelines.cluster_profile import Cluster
from gtrans.pipelines.graphs.display_names import DISPLAY_NAMES
from gtrans.pipelines.graphs.resources import Placement, equip, with_placement
from gtrans_core.watch.drift import DEFAULT_ALPHA, DEFAULT_DEFECT_SHARE


def drift_pipeline(cluster: Cluster | None = None) -> Callable[..., Any]:
    """The pipeline, its step equipped for a cluster; None: for the embedded runner."""

    @dsl.pipeline(
        name="gtrans-drift",
        description="Scores in use beside those of held-out good images: fine, recalibrate, "
        "retrain.",
    )
    @with_placement
    def pipeline(
        category: str,
        store: str,
        tracking_uri: str,
        since: str = "7d",
        alpha: float = DEFAULT_ALPHA,
        defect_share: float = DEFAULT_DEFECT_SHARE,
        fail_on_drift: bool = True,
        experiment: str = "gtrans",
        *,
        placement: Placement,
    ) -> None:
        """Judge the champion of a category.

        Args:
            category: name of the category; the registered model is gtrans-<category>.
            store: folder where scores are kept, the one that predict and serve use.
            tracking_uri: the MLflow server or database where the model is registered.
            since: first day, such as 2026-01-31, or 7d for the last seven; empty: all.
            alpha: how often a model that did not drift may be reported.
            defect_share: largest share of defective images in use that is no drift.
            fail_on_drift: end the run as failed, which is what a scheduler notices.
            experiment: the MLflow experiment of the category's runs.
        """
        task = check_drift(
            run_key=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            category=category,
            store=store,
            tracking_uri=tracking_uri,
            experiment=experiment,
            since=since,
            alpha=alpha,
            defect_share=defect_share,
            fail_on_drift=fail_on_drift,
        )
        task.set_display_name(DISPLAY_NAMES["check_drift"])
        equip(task, "check_drift", cluster, placement)

    return cast(Callable[..., Any], pipeline)
