"""MVTec LOCO AD: five products with structural and logical defects, from the official archive.

Bergmann et al., "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection
and Localization", IJCV 130 (2022) 947-969, doi 10.1007/s11263-022-01578-9. The data are
CC BY-NC-SA 4.0: not for commercial use. Layout::

    CATEGORY/train/good/*.png
    CATEGORY/validation/good/*.png
    CATEGORY/test/{good,logical_anomalies,structural_anomalies}/*.png
    CATEGORY/ground_truth/{logical_anomalies,structural_anomalies}/NAME/*.png   one a defect
    CATEGORY/defects_config.json                how much of each defect counts as all of it

The two kinds of defect are apart in every report. The pixel value of a mask says which defect of
``defects_config.json`` it is, for the authors' metric, the saturated overlap (sPRO).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gtrans_core.data.fetching.arrange import Layout, Placed, fetch_arranged
from gtrans_core.data.fetching.good_parts import place_good_parts, placed_below
from gtrans_core.data.fetching.published import Publication
from gtrans_core.data.saturation import DEFECTS_CONFIG
from gtrans_core.data.sources.known import OnProgress, Say

CATEGORIES = ("breakfast_box", "juice_bottle", "pushpins", "screw_bag", "splicing_connectors")

# The digest is the one public code pins.
ARCHIVE_URL = (
    "https://www.mydrive.ch/shares/48237/1b9106ccdfbb09a0c414bd49fe44a14a/download/"
    "430647091-1646842701/mvtec_loco_anomaly_detection.tar.xz"
)
ARCHIVE_SHA256 = "9e7c84dba550fd2e59d8e9e231c929c45ba737b6b6a6d3814100f54d63aae687"

PUBLICATION = Publication(
    name="mvtec_loco",
    title="MVTec LOCO AD",
    licence="CC BY-NC-SA 4.0: not for commercial use",
    page="https://www.mvtec.com/company/research/datasets/mvtec-loco/downloads",
    marker="test/logical_anomalies",
    url=ARCHIVE_URL,
    pins={ARCHIVE_URL: ARCHIVE_SHA256},
)


def fetch_mvtec_loco(category: str, store: Path, *, say: Say, on_progress: OnProgress) -> Path:
    """The local folder of an official category (see ``fetch_arranged``)."""
    return fetch_arranged(LAYOUT, category, store, say=say, on_progress=on_progress)


def plan_mvtec_loco(root: Path, category: str) -> list[Placed]:
    """Where the files of a category belong.

    Raises:
        DataError: when a folder cannot be read.
    """
    top = root / category
    config = top / DEFECTS_CONFIG
    masks = placed_below(top / "ground_truth", "ground_truth")
    if config.is_file():
        masks = [replace(mask, keeps_values=True) for mask in masks]
        masks.append(Placed(config, DEFECTS_CONFIG))
    return [*place_good_parts(top), *placed_below(top / "test", "test"), *masks]


LAYOUT = Layout(PUBLICATION, plan_mvtec_loco, has_good_as_mvtec=True, version=2)
