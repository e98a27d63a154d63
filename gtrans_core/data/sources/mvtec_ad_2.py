"""MVTec AD 2: eight products in changing light, from the official archive.

Heckler-Kram et al., "The MVTec AD 2 Dataset: Advanced Scenarios for Unsupervised Anomaly
Detection", arXiv 2503.21622. The data are CC BY-NC-SA 4.0: not for commercial use. Layout::

    CATEGORY/train/good/*.png
    CATEGORY/validation/good/*.png                      good too: for thresholds
    CATEGORY/test_public/{good,bad}/*.png
    CATEGORY/test_public/ground_truth/bad/NAME_mask.png
    CATEGORY/test_private*/*.png                        no labels: for the authors' server, not read
"""

from __future__ import annotations

from pathlib import Path

from gtrans_core.data.fetching.arrange import Layout, Placed, fetch_arranged
from gtrans_core.data.fetching.good_parts import place_good_parts, placed_below
from gtrans_core.data.fetching.published import Publication
from gtrans_core.data.sources.known import OnProgress, Say

CATEGORIES = (
    "can",
    "fabric",
    "fruit_jelly",
    "rice",
    "sheet_metal",
    "vial",
    "wallplugs",
    "walnuts",
)
TEST = "test_public"

# 32,739,596,982 bytes; the digest is the one public code pins.
ARCHIVE_URL = (
    "https://www.mydrive.ch/shares/150997/701c90d3aea6588f404936e32a674602/download/"
    "466712769-1743429042/mvtec_ad_2.tar.gz"
)
ARCHIVE_SHA256 = "c0ded99ef32bfc8e352d52beb44515e5b292b8598cb963aadfa91ca0763505e4"

PUBLICATION = Publication(
    name="mvtec_ad_2",
    title="MVTec AD 2",
    licence="CC BY-NC-SA 4.0: not for commercial use",
    page="https://www.mvtec.com/company/research/datasets/mvtec-ad-2",
    marker=TEST,
    url=ARCHIVE_URL,
    pins={ARCHIVE_URL: ARCHIVE_SHA256},
)


def fetch_mvtec_ad_2(category: str, store: Path, *, say: Say, on_progress: OnProgress) -> Path:
    """The local folder of an official category (see ``fetch_arranged``)."""
    return fetch_arranged(LAYOUT, category, store, say=say, on_progress=on_progress)


def plan_mvtec_ad_2(root: Path, category: str) -> list[Placed]:
    """Where the files of a category belong.

    Raises:
        DataError: when a folder cannot be read.
    """
    top = root / category
    return [
        *place_good_parts(top),
        *placed_below(top / TEST / "good", "test/good"),
        *placed_below(top / TEST / "bad", "test/bad"),
        *placed_below(top / TEST / "ground_truth", "ground_truth"),
    ]


LAYOUT = Layout(PUBLICATION, plan_mvtec_ad_2, has_good_as_mvtec=True)
