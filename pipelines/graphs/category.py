"""The pipeline of one category: ingest, cache_features, train, evaluate, register.

The test split goes from ingest to evaluate and nowhere else, so nothing that is learned or chosen
can have seen it.
"""

from collections.abc import Callable
from typing import Any, cast

from kfp import dsl

from gtrans.components.cache_features.component import cache_features
from gtrans.components.evaluate.component import evaluate
from gtrans.components.ingest.component import ingest
from gtrans.components.register.component import register
from gtrans.components.train.component import train
from gtrans.pipelines.cluster_profile import Cluster
from gtrans.pipelines.gates import load_gate
from gtrans.pipelines.graphs.display_names import DISPLAY_NAMES
from gtrans.pipelines.graphs.resources import Placement, equip, with_placement
from gtrans_core.config import FROM_CONFIG, GTransConfig
from gtrans_core.steps.names import CATEGORY_STEPS


def category_pipeline(cluster: Cluster | None = None) -> Callable[..., Any]:
    """The pipeline, its steps equipped for a cluster; None: for the embedded runner."""

    @dsl.pipeline(
        name="gtrans-category",
        description="Source images of one category in; a registered anomaly detector and a "
        "report out.",
    )
    @with_placement
    def pipeline(
        category: str,
        source: str,
        store: str,
        tracking_uri: str,
        config: str = GTransConfig().to_json(),
        seed: int = FROM_CONFIG,
        epochs: int = FROM_CONFIG,
        image_size: int = FROM_CONFIG,
        effort: str = "",
        experiment: str = "gtrans",
        gate: str = load_gate().to_json(),
        cache_store: str = "",
        unsigned_models: str = "refuse",
        *,
        placement: Placement,
    ) -> None:
        """Train, evaluate and register a detector for one category.

        Args:
            category: name of the category; the registered model is gtrans-<category>.
            source: a folder, an s3:// prefix, or the name of a known data set.
            store: folder of data sets, caches and trainings; on a cluster one shared volume at the
                same path in every pod.
            tracking_uri: the MLflow server or database that holds the record.
            config: every knob, as JSON; absent keys take the product's defaults.
            seed: random seed; -1: what config says.
            epochs: passes over the training images; -1: what config says.
            image_size: side in pixels that images are resized to; -1: what config says.
            effort: how long Trans learns: fast, standard or best; empty: what config says.
            experiment: the MLflow experiment of the run.
            gate: thresholds for becoming champion, as JSON (pipelines/categories).
            cache_store: where feature caches are shared between machines (s3://bucket/prefix or a
                folder that all see); empty: nowhere.
            unsigned_models: refuse or allow: whether a model may be registered unsigned where
                register finds no key (GTRANS_SIGNING_KEY).
        """
        run = {
            "run_key": dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            "category": category,
            "store": store,
            "tracking_uri": tracking_uri,
            "experiment": experiment,
        }
        data = ingest(
            **run,
            source=source,
            config=config,
            seed=seed,
            epochs=epochs,
            image_size=image_size,
            effort=effort,
        )
        train_data, settled = data.outputs["train_data"], data.outputs["config"]
        features = cache_features(
            **run, config=settled, cache_store=cache_store, train_data=train_data
        )
        model = train(**run, config=settled, features=features.outputs["features"])
        verdict = evaluate(
            **run,
            config=settled,
            gate=gate,
            data_digest=data.outputs["data_digest"],
            model=model.outputs["model"],
            features=features.outputs["features"],
            train_data=train_data,
            test_data=data.outputs["test_data"],
        )
        version = register(
            **run,
            gate=gate,
            unsigned_models=unsigned_models,
            detector=verdict.outputs["detector"],
            evaluation=verdict.outputs["evaluation"],
        )
        tasks = (data, features, model, verdict, version)
        for step, task in zip(CATEGORY_STEPS, tasks, strict=True):
            equip(task.set_display_name(DISPLAY_NAMES[step]), step, cluster, placement)

    return cast(Callable[..., Any], pipeline)
