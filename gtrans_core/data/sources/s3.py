"""A category in S3, mirrored into a local folder; what is here already is not fetched again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath

from gtrans_core.errors import DataError, StorageError
from gtrans_core.storage import (
    Entry,
    Store,
    checked_name,
    exclusive,
    open_store,
    require_free_space,
    storage_error,
    write_atomic,
)
from gtrans_core.storage.documents import parse_json

_THREADS = 8

Index = dict[str, tuple[int, str]]
"""What was fetched: size and etag by name."""


def mirror_category(
    source: str,
    category: str,
    folder: Path,
    *,
    say: Callable[[str], None],
    on_progress: Callable[[str, int, int], None],
) -> None:
    """Make ``folder`` hold exactly the files of ``SOURCE/CATEGORY`` (or of SOURCE, if that is it).

    Sizes and etags of what is here are kept in an index beside the folder. Every file appears
    complete or not at all; after a fault, the next call goes on from there.

    Raises:
        DataError: when there is no such category (listing those there are), or a key whose name
            would lead out of the folder.
        StorageError: when the store refuses or does not answer, or the disk is full.
    """
    with exclusive(folder):
        store, entries = _find(source, category)
        _require_safe(source, entries)
        index_path = folder.with_name(f".{folder.name}.index.json")
        index = _read_index(index_path)
        wanted = [entry for entry in entries if not _is_here(entry, folder, index)]
        _remove_others(folder, {entry.name for entry in entries})
        require_free_space(folder, sum(entry.size for entry in wanted), f"mirroring {source}")
        say(f"{source}: {len(entries)} files of {category}, {len(wanted)} to fetch")
        missing = {entry.name for entry in wanted}
        fetched = {e.name: (e.size, e.etag) for e in entries if e.name not in missing}
        try:
            _fetch(store, wanted, folder, fetched, on_progress)
        finally:
            write_atomic(index_path, json.dumps(fetched, indent=1).encode("utf-8"))


def _find(source: str, category: str) -> tuple[Store, Sequence[Entry]]:
    """The store rooted at the category, and its files."""
    root = source.rstrip("/")
    store = open_store(f"{root}/{category}")
    entries = store.list()
    if not entries and root.rpartition("/")[2] == category:
        store = open_store(root)
        entries = store.list()
    if not entries:
        there = ", ".join(open_store(root).folders()) or "nothing"
        raise DataError(f"{root}: has no category '{category}'; folders there: {there}")
    return store, entries


def _require_safe(source: str, entries: Sequence[Entry]) -> None:
    for entry in entries:
        try:
            checked_name(entry.name)
        except StorageError as error:
            raise DataError(f"{source}: {error}") from None
        # A folder would hold it under another name, and lose it when the source is listed again.
        if PurePosixPath(entry.name).as_posix() != entry.name:
            raise DataError(f"{source}: {entry.name!r}: an empty part in its name, rename it")


def _is_here(entry: Entry, folder: Path, index: Mapping[str, tuple[int, str]]) -> bool:
    path = folder / entry.name
    return (
        index.get(entry.name) == (entry.size, entry.etag)
        and path.is_file()
        and path.stat().st_size == entry.size
    )


def _remove_others(folder: Path, names: set[str]) -> None:
    """Delete what the source no longer has, so that the folder equals the source."""
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in names:
            try:
                path.unlink()
            except OSError as error:
                raise storage_error(path, error, needed=0) from None


def _fetch(
    store: Store,
    wanted: Sequence[Entry],
    folder: Path,
    fetched: Index,
    on_progress: Callable[[str, int, int], None],
) -> None:
    """Download in several threads; what has arrived is noted in ``fetched``."""
    with ThreadPoolExecutor(_THREADS) as pool:
        jobs = {pool.submit(store.download, e.name, folder / e.name, e): e for e in wanted}
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                job.result()
                entry = jobs[job]
                fetched[entry.name] = (entry.size, entry.etag)
                on_progress("files fetched", done, len(wanted))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _read_index(path: Path) -> Index:
    try:
        rows = parse_json(path.read_bytes())
        return {name: (int(size), str(etag)) for name, (size, etag) in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
