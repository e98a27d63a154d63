"""Where a category comes from: a folder, S3, MVTec's archives, the ELPV package, the demo.

=====================  ==============================================================
``DIR``                ``DIR/CATEGORY`` in MVTec layout, used where it is
``s3://bucket/path``   ``CATEGORY`` below it, mirrored into the local store
``mvtec``              the official archive, downloaded and unpacked once
``elpv``               solar cells from the package ``elpv-dataset``, written once
``demo``               the built-in procedural category, generated once
=====================  ==============================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from gtrans_core.config import digest_of
from gtrans_core.errors import DataError
from gtrans_core.storage import prepare_folder, without_secrets

KNOWN_SOURCES = ("mvtec", "elpv", "demo")
DEMO_SEED = 0
"""Of what ``generate_demo`` draws: other pictures are another folder."""
_CATEGORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

Say = Callable[[str], None]
"""Called with a line a person wants to read."""
OnProgress = Callable[[str, int, int], None]
"""Called with a unit, how many are done, and how many there are (0: not known)."""


def fetch_category(
    source: str, category: str, store: Path, *, say: Say, on_progress: OnProgress
) -> Path:
    """The local folder (MVTec layout) of a category, made ready if need be.

    Args:
        source: a folder, ``s3://bucket/prefix``, or one of KNOWN_SOURCES.
        category: a plain name: letters, digits, ``_``, ``-``, ``.``.
        store: folder for downloads and prepared data sets (not used for a local source).
        say: gets lines such as where the data come from and under what licence.
        on_progress: gets bytes or files done.

    Raises:
        DataError: for a source or category that is not there (listing those that are), or data
            that are damaged, unsafe or not the pinned ones.
        StorageError: when a server or the local store cannot be read or written.
        ConfigError: for an unusable setting in the environment.
    """
    if not _CATEGORY.fullmatch(category):
        raise DataError(
            f"category {category!r}: not a plain name (letters, digits, '_', '-' and '.')"
        )
    if source == "demo":
        return _fetch_demo(category, store, say=say)
    if source in KNOWN_SOURCES:
        return _fetch_known(source, category, store, say=say, on_progress=on_progress)
    if source.startswith("s3://"):
        return _fetch_s3(source, category, store, say=say, on_progress=on_progress)
    return _find_folder(source, category)


def _fetch_demo(category: str, store: Path, *, say: Say) -> Path:
    from gtrans_core.data.demo import DEMO_VERSION, generate_demo

    folder = store / "datasets" / f"demo-{DEMO_SEED}-v{DEMO_VERSION}" / category

    def build(unfinished: Path) -> None:
        say(f"generating the built-in demo category (seed {DEMO_SEED})")
        generate_demo(unfinished, seed=DEMO_SEED)

    prepare_folder(folder, build)
    return folder


def _fetch_known(
    source: str, category: str, store: Path, *, say: Say, on_progress: OnProgress
) -> Path:
    # Imported on use: most runs need neither the HTTP client nor the package.
    if source == "mvtec":
        from gtrans_core.data.mvtec import CATEGORIES, fetch_mvtec

        _require_category(source, category, CATEGORIES)
        return fetch_mvtec(category, store, say=say, on_progress=on_progress)
    from gtrans_core.data.elpv import CATEGORIES as CELL_TYPES
    from gtrans_core.data.elpv import fetch_elpv

    _require_category(source, category, CELL_TYPES)
    return fetch_elpv(category, store, say=say, on_progress=on_progress)


def _fetch_s3(
    source: str, category: str, store: Path, *, say: Say, on_progress: OnProgress
) -> Path:
    from gtrans_core.data.mirror import mirror_category

    folder = store / "datasets" / f"s3-{digest_of(source.rstrip('/'))[:12]}" / category
    mirror_category(source, category, folder, say=say, on_progress=on_progress)
    return folder


def _find_folder(source: str, category: str) -> Path:
    """``SOURCE/CATEGORY``, or SOURCE itself when it is the category's own folder."""
    if "://" in source:
        raise DataError(f"{without_secrets(source)}: no such kind of source; {_expected()}")
    try:
        root = Path(source).expanduser().absolute()
        if not root.is_dir():
            raise DataError(f"{source}: no such folder; {_expected()}")
        if (root / category).is_dir():
            return root / category
        if root.name == category and (root / "train").is_dir():
            return root
        there = sorted(p.parent.parent.name for p in root.glob("*/train/good") if p.is_dir())
    except (OSError, RuntimeError) as error:  # RuntimeError: "~" of an unknown user
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{source}: cannot be read ({reason}); {_expected()}") from None
    raise DataError(
        f"{source}: has no category '{category}'; categories there (folders with train/good): "
        f"{', '.join(there) or 'none'}"
    )


def _require_category(source: str, category: str, valid: Iterable[str]) -> None:
    if category not in valid:
        raise DataError(f"{source}: has no category '{category}'; it has {', '.join(valid)}")


def _expected() -> str:
    return f"expected a folder, s3://bucket/prefix, or one of {', '.join(KNOWN_SOURCES)}"
