"""What Kubeflow shows beside each input and output of a component."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

INPUTS = {
    "run_key": "Identifies the pipeline run; Kubeflow fills it in.",
    "category": "Name of the category; the registered model is gtrans-<category>.",
    "categories": "Of each category, its name (category) and its gate (gate, as JSON).",
    "source": "Where the images are: a folder, an s3:// prefix, or a known source such as demo.",
    "config": "Every knob, as JSON; absent keys take the product's defaults.",
    "seed": "Random seed; -1: what config says.",
    "epochs": "Passes over the training images; -1: what config says.",
    "image_size": "Side in pixels that images are resized to; -1: what config says.",
    "effort": "How long Trans learns: fast, standard or best; empty: what config says.",
    "gate": "Thresholds for becoming champion, as JSON.",
    "data_digest": "Identity of both splits, by content; from ingest.",
    "store": "Folder of data sets, caches and trainings; one shared volume on a cluster.",
    "cache_store": "Where feature caches are shared between machines; empty: nowhere.",
    "tracking_uri": "The MLflow server or database that holds the record.",
    "experiment": "The MLflow experiment of the run.",
    "unsigned_models": "refuse or allow: whether a model may be registered without a signature.",
    "since": "First day, such as 2026-01-31, or 7d for the last seven; empty: all.",
    "alpha": "How often a model that did not drift may be reported.",
    "defect_share": "Largest share of defective images in use that is no drift.",
    "fail_on_drift": "Whether drift ends the run as failed.",
    "train_data": "Manifest of the good images that are trained on.",
    "test_data": "Manifest of the test images; only evaluate reads it.",
    "features": "Where the feature cache is, and its key.",
    "model": "The trained networks.",
    "detector": "The packaged detector: networks, preprocessing, threshold.",
    "evaluation": "Record, manifests, figures and report, as register needs them.",
}
OUTPUTS = {
    "train_data": INPUTS["train_data"],
    "test_data": INPUTS["test_data"],
    "features": INPUTS["features"],
    "model": INPUTS["model"],
    "detector": INPUTS["detector"],
    "evaluation": INPUTS["evaluation"],
    "metrics": "Image and pixel metrics of the test split.",
    "classification": "ROC curve and confusion matrix of the test images.",
    "headline": "The outcome in words: defects caught and missed, false alarms, threshold.",
    "report": "The evaluation report, one HTML page.",
    "ranking": "Every category's metrics, best first, as JSON.",
    "summary": "The same as a table, with what failed.",
    "data_digest": INPUTS["data_digest"],
    "config": "The config of all further steps: that of the run with the knobs given beside it.",
}


def described(output: str = "") -> Callable[[Function], Function]:
    """Give a component's function the sections of its docstring that Kubeflow reads.

    Args:
        output: what the function returns, where that is one value.

    Raises:
        KeyError: when an input or an output artifact has no description here.
    """

    def write(function: Function) -> Function:
        names = inspect.signature(function).parameters
        made = [name for name, one in names.items() if "Output[" in _kind(one.annotation)]
        inputs = {name: INPUTS[name] for name in names if name not in made}
        outputs = {name: OUTPUTS[name] for name in made}
        fields = getattr(function.__annotations__.get("return"), "_fields", ())
        outputs |= {name: OUTPUTS[name] for name in fields}
        if output:
            outputs["Output"] = output
        text = inspect.cleandoc(function.__doc__ or "")
        for title, lines in (("Args", inputs), ("Returns", outputs)):
            text += f"\n\n{title}:\n" + "\n".join(f"    {n}: {about}" for n, about in lines.items())
        function.__doc__ = text
        return function

    return write


def _kind(annotation: Any) -> str:
    from kfp.dsl.types import type_annotations

    is_output = type_annotations.is_Input_Output_artifact_annotation(
        annotation
    ) and type_annotations.is_artifact_wrapped_in_Output(annotation)
    return "Output[" if is_output else ""
