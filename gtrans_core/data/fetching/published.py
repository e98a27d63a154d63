"""Data sets that somebody publishes as archives: where they are, and how one is fetched once.

``GTRANS_NAME_URL`` names another archive than the known one (``{category}`` in it is replaced;
without it, it is the archive of all categories), ``GTRANS_NAME_SHA256`` its digest.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gtrans_core.config import digest_of
from gtrans_core.data.fetching.archive import ArchiveLimits, extract_archive
from gtrans_core.data.fetching.download import download
from gtrans_core.data.sources.known import OnProgress, Say
from gtrans_core.errors import ConfigError, DataError
from gtrans_core.storage import prepare_folder, without_secrets


@dataclass(frozen=True)
class Publication:
    """A data set that others publish, and what is known of its archives."""

    name: str
    """As in ``--data NAME`` and ``GTRANS_NAME_URL``."""
    title: str
    licence: str
    page: str
    """Where its authors say how to get it."""
    marker: str
    """The folder below a category's own that tells its layout from others."""
    url: str = ""
    """The public archive; empty: there is no direct link."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """sha256 of an archive by its URL, where public code pins it."""
    limits: ArchiveLimits | None = None

    @property
    def url_variable(self) -> str:
        """The environment variable that names another archive."""
        return f"GTRANS_{self.name.upper()}_URL"

    @property
    def sha256_variable(self) -> str:
        """The environment variable that pins the archive."""
        return f"GTRANS_{self.name.upper()}_SHA256"

    def categories_in(self, folder: Path) -> list[str]:
        """Names of the folders right below that are categories in this layout."""
        return sorted(child.name for child in folder.iterdir() if self.is_category(child))

    def is_category(self, folder: Path) -> bool:
        """Whether a folder is that of one category in this layout."""
        return (folder / self.marker).is_dir()


@dataclass(frozen=True)
class PublishedArchive:
    """One archive of a publication, as the environment or our table names it."""

    publication: Publication
    url: str
    sha256: str
    """The pin; empty: none."""
    is_single: bool
    """Whether it holds one category only."""

    @property
    def identity(self) -> str:
        """The URL and the pin decide what is in the folder, so they are in its name."""
        return f"{self.publication.name}-{digest_of([self.url, self.sha256])[:12]}"

    @property
    def file_name(self) -> str:
        """A readable name that differs for every URL."""
        digest = hashlib.sha256(self.url.encode("utf-8")).hexdigest()
        return f"{digest[:12]}-{Path(urlsplit(self.url).path).name or 'archive'}"


def archive_of(publication: Publication, category: str, default_url: str = "") -> PublishedArchive:
    """Where a category is, by the environment or by what is known.

    Args:
        publication: the data set.
        category: replaces ``{category}`` in the URL.
        default_url: used instead of the publication's own, where each category has its archive.

    Raises:
        DataError: when there is no direct link and the environment names none.
        ConfigError: when the environment's URL is not http(s), or its digest is invalid.
    """
    template = os.environ.get(publication.url_variable) or default_url or publication.url
    if not template:
        raise DataError(
            f"{publication.name}: {publication.title} has no direct download link; get it from "
            f"{publication.page} and pass the unpacked folder (--data DIR), or set "
            f"{publication.url_variable} to an archive of it"
        )
    if urlsplit(template).scheme not in ("http", "https"):
        raise ConfigError(
            f"{publication.url_variable}={without_secrets(template)}: expected an http(s) address"
        )
    sha256 = os.environ.get(publication.sha256_variable, publication.pins.get(template, "")).lower()
    if not re.fullmatch(r"([0-9a-f]{64})?", sha256):
        raise ConfigError(f"{publication.sha256_variable}={sha256}: expected 64 hexadecimal digits")
    return PublishedArchive(
        publication=publication,
        url=template.replace("{category}", category),
        sha256=sha256,
        is_single="{category}" in template,
    )


def unpack_published(
    archive: PublishedArchive,
    target: Path,
    store: Path,
    *,
    say: Say,
    on_progress: OnProgress,
    subfolder: str = "",
    keep: bool = False,
) -> None:
    """Download an archive, unless it is here, and unpack it into ``target``, which must not exist.

    Args:
        archive: what to fetch.
        target: appears at the end, complete.
        store: the archive waits in its folder ``downloads``.
        say: gets where the data come from, their licence, and the archive's digest.
        on_progress: gets bytes done.
        subfolder: unpack only this top-level folder; empty: everything.
        keep: whether the archive is of use later, for what was not unpacked.

    Raises:
        DataError: when the archive is not the pinned one, is damaged, is not safe to unpack, or
            does not hold the subfolder; it is deleted then.
        StorageError: when the server refuses or does not answer, or the disk is full.
    """
    publication = archive.publication
    path = store / "downloads" / archive.file_name
    what = f"{publication.title} {subfolder}".rstrip()
    say(f"{what} from {without_secrets(archive.url)} ({publication.licence})")
    found = download(
        archive.url,
        path,
        sha256=archive.sha256,
        advice=f"take the current link from {publication.page} "
        f"and set {publication.url_variable} to it",
        on_progress=lambda done, total: on_progress("bytes downloaded", done, total),
    )
    say(f"sha256 of the archive: {found} ({'as pinned' if archive.sha256 else 'not pinned'})")
    try:
        extract_archive(
            path,
            target,
            subfolder=subfolder,
            limits=publication.limits,
            on_progress=lambda done, total: on_progress("bytes unpacked", done, total),
        )
    except DataError:
        path.unlink()  # a page instead of an archive, a damaged or a hostile one
        raise
    if not keep:
        path.unlink()


def fetch_official(
    archive: PublishedArchive, store: Path, *, say: Say, on_progress: OnProgress
) -> Path:
    """The folder that holds the categories of an archive as published; unpacked once, whole.

    Raises:
        DataError: as ``unpack_published``, and when nothing in it has the publication's layout.
        StorageError: as ``unpack_published``.
    """
    folder = store / "datasets" / archive.identity / "official"

    def build(unfinished: Path) -> None:
        unpack_published(archive, unfinished, store, say=say, on_progress=on_progress)
        _root_in(unfinished, archive)

    if not prepare_folder(folder, build):
        publication = archive.publication
        say(f"{publication.title}: downloaded earlier ({publication.licence})")
    return _root_in(folder, archive)


def require_category(folder: Path, category: str, publication: Publication) -> None:
    """Refuse a folder without the category, listing what is there.

    Raises:
        DataError: when it is not there in the publication's layout.
    """
    if not publication.is_category(folder / category):
        there = ", ".join(publication.categories_in(folder)) or "none"
        raise DataError(
            f"{folder}: has no category '{category}' in the layout of {publication.title} "
            f"(CATEGORY/{publication.marker}); categories there: {there}"
        )


def _root_in(folder: Path, archive: PublishedArchive) -> Path:
    """The folder itself, or the one right below (archives differ) that holds the categories."""
    publication = archive.publication
    for root in (folder, *sorted(child for child in folder.iterdir() if child.is_dir())):
        if publication.categories_in(root):
            return root
    raise DataError(
        f"{without_secrets(archive.url)}: nothing in it has the layout of {publication.title} "
        f"(CATEGORY/{publication.marker}); set {publication.url_variable} to an archive that has"
    )
