"""The metrics of a test split, by the names that files, MLflow and gates know them by."""

from typing import Literal

MetricName = Literal[
    "image_auroc",
    "image_ap",
    "image_f1_max",
    "pixel_auroc",
    "pixel_ap",
    "pixel_f1_max",
    "au_pro_30",
    "au_pro_05",
    "seg_f1",
    "au_spro_30",
    "au_spro_05",
]
SATURATED: tuple[MetricName, ...] = ("au_spro_30", "au_spro_05")
"""Of categories alone that say how much of a defect is enough; elsewhere nobody speaks of them."""

METRIC_LABELS: dict[MetricName, str] = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1_max": "pixel F1-max",
    "au_pro_30": "AU-PRO@0.3",
    "au_pro_05": "AU-PRO@0.05",
    "seg_f1": "SegF1",
    "au_spro_30": "AU-sPRO@0.3",
    "au_spro_05": "AU-sPRO@0.05",
}
"""What people read; AP is average precision."""


def labels_of(*names: MetricName) -> dict[str, str]:
    """The labels of some metrics, in the order given."""
    return {name: METRIC_LABELS[name] for name in names}
