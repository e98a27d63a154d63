"""MPDD: six kinds of painted metal parts, in the MVTec layout.

Jezek et al., "Deep learning-based defect detection of metal parts", ICUMT 2021,
doi 10.1109/ICUMT54235.2021.9631567. The data are CC BY-NC-SA 4.0: not for commercial use. Their
authors share them through a page that no program can download from.
"""

from __future__ import annotations

from pathlib import Path

from gtrans_core.data.fetching.published import (
    Publication,
    archive_of,
    fetch_official,
    require_category,
)
from gtrans_core.data.sources.known import OnProgress, Say

CATEGORIES = (
    "bracket_black",
    "bracket_brown",
    "bracket_white",
    "connector",
    "metal_plate",
    "tubes",
)

PUBLICATION = Publication(
    name="mpdd",
    title="MPDD",
    licence="CC BY-NC-SA 4.0: not for commercial use",
    page="https://github.com/stepanje/MPDD",
    marker="train/good",
)


def fetch_mpdd(category: str, store: Path, *, say: Say, on_progress: OnProgress) -> Path:
    """The local folder of a category, from the archive that ``GTRANS_MPDD_URL`` names.

    Raises:
        DataError: when the environment names none (saying where to get it), or the archive is
            not the pinned one, damaged, unsafe or without the category.
        ConfigError: when the URL or the digest in the environment is invalid.
        StorageError: when the server refuses or does not answer, or the disk is full.
    """
    archive = archive_of(PUBLICATION, category)
    root = fetch_official(archive, store, say=say, on_progress=on_progress)
    require_category(root, category, PUBLICATION)
    return root / category
