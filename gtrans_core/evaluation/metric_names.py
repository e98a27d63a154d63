"""The eight metrics of a test split, by the names that files, MLflow and gates know them by."""

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
]
