"""The names of the pipelines' steps."""

CATEGORY_STEPS = ("ingest", "cache_features", "train", "evaluate", "register")
"""Of one category, in the order in which they run; a test compares them with what is compiled."""
SUMMARIZE = "summarize"
"""After all categories, where a run has several."""
CHECK_DRIFT = "check_drift"
"""The one step of the pipeline ``drift``."""
ALL_STEPS = (*CATEGORY_STEPS, SUMMARIZE, CHECK_DRIFT)
