"""Where a category comes from: a folder, S3, a published data set, the demo.

=====================  ==============================================================
``DIR``                ``DIR/CATEGORY`` in MVTec layout, used where it is; in that of
                       another data set, arranged in the local store
``s3://bucket/path``   ``CATEGORY`` below it, mirrored into the local store
``mvtec``,             the official archive, downloaded and unpacked once; ``mpdd``
``mvtec_ad_2``,        has no direct link, so the environment must name one
``mvtec_loco``,
``visa``, ``btad``,
``mpdd``
``elpv``               solar cells from the package ``elpv-dataset``, written once
``demo``               the built-in procedural category, generated once
=====================  ==============================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from gtrans_core.config import digest_of
from gtrans_core.data.sources.folder import categories_of_folder, fetch_folder
from gtrans_core.data.sources.known import (
    KNOWN_SOURCES,
    OnProgress,
    Say,
    require_category_name,
)
from gtrans_core.errors import DataError
from gtrans_core.storage import open_store, prepare_folder

DEMO_SEED = 0
"""Of what ``generate_demo`` draws: other pictures are another folder."""


class Fetch(Protocol):
    """What makes a category of a known source ready."""

    def __call__(self, category: str, store: Path, *, say: Say, on_progress: OnProgress) -> Path:
        """The category's local folder."""


def fetch_category(
    source: str, category: str, store: Path, *, say: Say, on_progress: OnProgress
) -> Path:
    """The local folder (MVTec layout) of a category, made ready if need be.

    Args:
        source: a folder, ``s3://bucket/prefix``, or one of KNOWN_SOURCES.
        category: a plain name: letters, digits, ``_``, ``-``, ``.``.
        store: folder for downloads and prepared data sets (not used for a local folder in the
            MVTec layout).
        say: gets lines such as where the data come from and under what licence.
        on_progress: gets bytes or files done.

    Raises:
        DataError: for a source or category that is not there (listing those that are), or data
            that are damaged, unsafe or not the pinned ones.
        StorageError: when a server or the local store cannot be read or written.
        ConfigError: for an unusable setting in the environment.
    """
    require_category_name(category)
    if source == "demo":
        return _fetch_demo(category, store, say=say)
    if source in KNOWN_SOURCES:
        categories, fetch = _known(source)
        if category not in categories:
            raise DataError(
                f"{source}: has no category '{category}'; it has {', '.join(categories)}"
            )
        return fetch(category, store, say=say, on_progress=on_progress)
    if source.startswith("s3://"):
        return _fetch_s3(source, category, store, say=say, on_progress=on_progress)
    return fetch_folder(source, category, store, say=say, on_progress=on_progress)


def categories_of(source: str) -> tuple[str, ...]:
    """All categories of a source, by name.

    Args:
        source: as for ``fetch_category``; a local folder may also be one category's own.

    Raises:
        DataError: for a source that is not there or holds no category.
        StorageError: when S3 refuses or does not answer.
    """
    if source == "demo":
        return ("demo",)
    if source in KNOWN_SOURCES:
        return _known(source)[0]
    if source.startswith("s3://"):
        return _categories_in_s3(source)
    return categories_of_folder(source)


def _known(source: str) -> tuple[tuple[str, ...], Fetch]:
    """The categories of a source with a name, and what fetches one."""
    # Imported on use: most runs need neither the HTTP client nor the package.
    match source:
        case "mvtec":
            from gtrans_core.data.sources import mvtec

            return mvtec.CATEGORIES, mvtec.fetch_mvtec
        case "mvtec_ad_2":
            from gtrans_core.data.sources import mvtec_ad_2

            return mvtec_ad_2.CATEGORIES, mvtec_ad_2.fetch_mvtec_ad_2
        case "mvtec_loco":
            from gtrans_core.data.sources import mvtec_loco

            return mvtec_loco.CATEGORIES, mvtec_loco.fetch_mvtec_loco
        case "visa":
            from gtrans_core.data.sources import visa

            return visa.CATEGORIES, visa.fetch_visa
        case "btad":
            from gtrans_core.data.sources import btad

            return btad.CATEGORIES, btad.fetch_btad
        case "mpdd":
            from gtrans_core.data.sources import mpdd

            return mpdd.CATEGORIES, mpdd.fetch_mpdd
        case _:
            from gtrans_core.data.sources import elpv

            return elpv.CATEGORIES, elpv.fetch_elpv


def _fetch_demo(category: str, store: Path, *, say: Say) -> Path:
    from gtrans_core.data.sources.demo import DEMO_VERSION, generate_demo

    folder = store / "datasets" / f"demo-{DEMO_SEED}-v{DEMO_VERSION}" / category

    def build(unfinished: Path) -> None:
        say(f"generating the built-in demo category (seed {DEMO_SEED})")
        generate_demo(unfinished, seed=DEMO_SEED)

    prepare_folder(folder, build)
    return folder


def _fetch_s3(
    source: str, category: str, store: Path, *, say: Say, on_progress: OnProgress
) -> Path:
    from gtrans_core.data.sources.s3 import mirror_category

    folder = store / "datasets" / f"s3-{digest_of(source.rstrip('/'))[:12]}" / category
    mirror_category(source, category, folder, say=say, on_progress=on_progress)
    return folder


def _categories_in_s3(source: str) -> tuple[str, ...]:
    there = tuple(open_store(source.rstrip("/")).folders())
    if not there:
        raise DataError(f"{source}: holds no folder, expected one for each category")
    return there
