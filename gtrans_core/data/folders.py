"""What is in a folder: hidden things left out, links followed, each folder once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from gtrans_core.errors import DataError
from gtrans_core.system.text import printable

_LEFT_BY_FILE_MANAGERS = {"thumbs.db", "desktop.ini", "__macosx"}


def visible(folder: Path) -> list[Path]:
    """What is in a folder, by name, without hidden files and what file managers leave.

    Raises:
        DataError: when it cannot be read.
    """
    try:
        children = sorted(folder.iterdir())
    except OSError as error:
        _refuse(error)
    return [child for child in children if not is_hidden(child.name)]


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or left by a file manager."""
    return name.startswith(".") or name.lower() in _LEFT_BY_FILE_MANAGERS


def files_below(root: Path) -> Iterator[Path]:
    """Every visible file at any depth, and every link to nothing; links lead in no circle.

    Raises:
        DataError: when a folder cannot be read.
    """
    for folder, names in _folders_below(root):
        yield from (folder / name for name in sorted(names) if not is_hidden(name))


def _folders_below(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder once, with its files' names; links to folders are followed last."""
    seen: set[Path] = set()
    waiting = deque([root])
    while waiting:
        for name, below, files in os.walk(waiting.popleft(), onerror=_refuse):
            folder = Path(name)
            below[:] = sorted(child for child in below if not is_hidden(child))
            if folder.resolve() in seen:
                below.clear()
                continue
            seen.add(folder.resolve())
            waiting.extend(folder / child for child in below if (folder / child).is_symlink())
            yield folder, files


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{printable(str(error.filename))}: cannot be read ({error.strerror})")
