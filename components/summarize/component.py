"""summarize: the categories of one run, ranked; fails when one of them did."""

from kfp import dsl

from gtrans.components.described import described
from gtrans.components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@described("One line: how many categories are registered, and which failed.")
def summarize(
    run_key: str,
    categories: list[dict[str, str]],
    store: str,
    tracking_uri: str,
    experiment: str,
    ranking: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Rank what the record holds of this run; returns the one line that says how it went."""
    from pathlib import Path

    from gtrans_core.steps.context import RunContext
    from gtrans_core.steps.reporting import run_step
    from gtrans_core.steps.summarize import summarize as step

    context = RunContext(run_key, "", store, tracking_uri, experiment)
    names = [item["category"] for item in categories]
    with run_step("summarize", context):
        return step(context, names, Path(ranking.path), Path(summary.path))
