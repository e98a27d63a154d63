"""check_drift: scores in use against held-out good ones; fails when the model must be looked at."""

from kfp import dsl

from gtrans.components.described import described
from gtrans.components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@described("fine, recalibrate, retrain or not enough images.")
def check_drift(
    run_key: str,
    category: str,
    store: str,
    tracking_uri: str,
    experiment: str,
    since: str,
    alpha: float,
    defect_share: float,
    fail_on_drift: bool,
) -> str:
    """Compare what the store keeps of the version in use; returns the verdict."""
    from gtrans_core.steps.check_drift import check_drift as step
    from gtrans_core.steps.context import RunContext
    from gtrans_core.steps.reporting import run_step

    context = RunContext(run_key, category, store, tracking_uri, experiment)
    with run_step("check_drift", context):
        return step(
            context,
            since=since,
            alpha=alpha,
            defect_share=defect_share,
            fail_on_drift=fail_on_drift,
        )
