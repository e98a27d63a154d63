"""evaluate: a threshold from held-out good images, then the first look at the test split."""

from kfp import dsl

from gtrans.components.described import described
from gtrans.components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@described("The metrics that could be computed, by name.")
def evaluate(
    run_key: str,
    category: str,
    config: str,
    store: str,
    tracking_uri: str,
    experiment: str,
    gate: str,
    data_digest: str,
    model: dsl.Input[dsl.Model],
    features: dsl.Input[dsl.Artifact],
    train_data: dsl.Input[dsl.Dataset],
    test_data: dsl.Input[dsl.Dataset],
    detector: dsl.Output[dsl.Model],
    report: dsl.Output[dsl.HTML],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    classification: dsl.Output[dsl.ClassificationMetrics],
    headline: dsl.Output[dsl.Markdown],
) -> dict[str, float]:
    """Score, report and package the detector; returns the metrics that could be computed."""
    from pathlib import Path

    from gtrans.components.shown import show_evaluation
    from gtrans_core.steps.context import RunContext
    from gtrans_core.steps.evaluate import evaluate as step
    from gtrans_core.steps.reporting import run_step

    context = RunContext(run_key, category, store, tracking_uri, experiment)
    artifacts = (model, features, train_data, test_data, detector, report, evaluation)
    with run_step("evaluate", context):
        values = step(context, config, gate, data_digest, *(Path(a.path) for a in artifacts))
        show_evaluation(Path(evaluation.path), classification, Path(headline.path))
    for name, value in values.items():
        metrics.log_metric(name, value)
    return values
