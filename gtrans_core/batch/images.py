"""Which images a command line stands for: files, folders and ``s3://`` prefixes, in order."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from gtrans_core.data.folders import files_below, is_hidden
from gtrans_core.data.pictures import (
    MAX_FILE_BYTES,
    SUFFIXES,
    by_suffix,
    has_suffix,
    is_picture,
    is_picture_name,
    starts_as_picture,
    why_not_read,
)
from gtrans_core.errors import DataError, StorageError
from gtrans_core.storage import Entry, Store, TooLargeError, checked_name, open_store
from gtrans_core.system.text import cut_to_bytes, printable

_S3 = "s3://"
_LONGEST_NAME = 240

OnLeftOut = Callable[[str], None]
"""Gets the name of each file that is not an image."""


@dataclass(frozen=True)
class ImageRef:
    """An image that is not read yet.

    Attributes:
        path: how it is called in the table: as the user gave it, or the folder and its name there;
            bytes of a name that are not UTF-8 as ``\\xdf``, control characters as ``\\x1b``.
        drawing: name of its heat map below the heat maps' folder, without suffix.
        tag: changes when the file does (size and time, or the ETag); ``""`` where not known.
        read: all its bytes. Raises DataError when this one image cannot be read, and StorageError
            when the store itself does not answer.
    """

    path: str
    drawing: str
    tag: str
    read: Callable[[], bytes]


def find_images(
    arguments: Iterable[str], left_out: OnLeftOut = lambda _name: None
) -> list[ImageRef]:
    """The images of all arguments, each once; those of a folder or prefix by name.

    Args:
        arguments: files, folders, ``s3://`` prefixes or objects, patterns such as ``~/a/*.png``.
        left_out: called with each file of a folder or prefix that is not an image.

    Raises:
        DataError: for a folder or prefix that holds no image or cannot be listed, and for a
            pattern that nothing matches.
        StorageError: for a prefix that cannot be listed.
    """
    found: dict[str, ImageRef] = {}
    for argument in arguments:
        for image in _images_of(argument, left_out):
            found.setdefault(image.path, image)
    return list(found.values())


def single_image(path: str) -> ImageRef:
    """The one image that a path, an ``s3://`` object or a pattern stands for.

    Raises:
        DataError: as ``find_images``, and when it stands for several.
        StorageError: as ``find_images``.
    """
    found = find_images([path])
    if len(found) > 1:
        raise DataError(f"{printable(path)}: holds {len(found)} images; name one of them")
    return found[0]


def image_shown_as(path: str) -> ImageRef:
    """The image that a table calls so: of a name that cannot be shown it has what was shown.

    Raises:
        DataError, StorageError: as ``single_image``.
    """
    file = Path(path)
    if not path.startswith(_S3) and not os.path.lexists(path) and file.parent.is_dir():
        alike = (one for one in file.parent.iterdir() if printable(one.name) == file.name)
        path = str(next(alike, file))
    return single_image(path)


def heat_map_files(images: Sequence[ImageRef], out: Path) -> Iterator[Path]:
    """A file for each image, named after it; no two are the same."""
    taken: set[str] = set()
    for image in images:
        drawing = _short_enough(image.drawing)
        name, number = drawing, 1
        while name in taken:
            number += 1
            name = f"{drawing}-{number}"
        taken.add(name)
        yield out / f"{name}.png"


def _short_enough(drawing: str) -> str:
    """A long name leaves room for a number and the suffix; as ``\\xdf`` characters take more."""
    folder, separator, name = drawing.rpartition("/")
    return f"{folder}{separator}{cut_to_bytes(name, _LONGEST_NAME)}"


def _images_of(argument: str, left_out: OnLeftOut) -> list[ImageRef]:
    if argument.startswith(_S3):
        if is_picture_name(argument):
            folder, _, name = argument.rpartition("/")
            read = partial(_read_object, open_store(folder), name, argument)
            return [ImageRef(argument, _after_its_folder(argument.removeprefix(_S3)), "", read)]
        return _some(argument, partial(_objects_below, argument.rstrip("/")), left_out)
    return [image for path in _expanded(argument) for image in _images_at(path, left_out)]


def _expanded(argument: str) -> list[str]:
    """What a shell would have made of ``~`` and of a pattern; a file of that very name is itself.

    Raises:
        DataError: when nothing matches a pattern.
    """
    if os.path.lexists(argument):
        return [argument]
    argument = os.path.expanduser(argument)  # noqa: PTH111 - Path's raises for unknown users
    if os.path.lexists(argument) or not glob.has_magic(argument):
        return [argument]
    matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 - keeps ./ and absolute
    if not matches:
        raise DataError(f"{printable(argument)}: matches no file")
    return matches


def _images_at(path: str, left_out: OnLeftOut) -> list[ImageRef]:
    if os.path.isdir(path):  # noqa: PTH112 - Path's raises for a name that is too long
        return _some(path, partial(_files_below, path.rstrip("/") or "/"), left_out)
    file = Path(path)
    return [_file(file, printable(path), _after_its_folder(str(file.absolute())), _read_file)]


def _some(
    argument: str, images: Callable[[OnLeftOut], Iterable[ImageRef]], left_out: OnLeftOut
) -> list[ImageRef]:
    others: list[str] = []
    found = sorted(images(others.append), key=lambda image: image.path)
    if not found:
        there = f"; it holds {by_suffix(others)}" if others else ""
        shown = printable(argument.rstrip("/") or "/")
        raise DataError(f"{shown}: holds no image ({', '.join(SUFFIXES)}){there}")
    for name in others:
        left_out(name)
    return found


def _objects_below(prefix: str, left_out: OnLeftOut) -> Iterator[ImageRef]:
    store = open_store(prefix)
    for entry in store.list():
        if any(map(is_hidden, entry.name.split("/"))):
            continue
        if not _is_picture(store, entry):
            left_out(entry.name)
        else:
            path = printable(f"{prefix}/{entry.name}")
            read = partial(_read_object, store, entry.name, path)
            drawing = printable(_without_suffix(entry.name).strip("/"))
            yield ImageRef(path, drawing, entry.etag, read)


def _is_picture(store: Store, entry: Entry) -> bool:
    """By the suffix; an object without one by its first bytes."""
    if is_picture_name(entry.name) or has_suffix(entry.name) or not entry.size:
        return is_picture_name(entry.name)
    try:
        return starts_as_picture(store.read(checked_name(entry.name), MAX_FILE_BYTES))
    except StorageError:
        return True  # it becomes a row with the reason


def _files_below(root: str, left_out: OnLeftOut) -> Iterator[ImageRef]:
    for path in files_below(Path(root)):
        if is_picture(path):
            place = printable(str(path.relative_to(root)))
            shown = f"{printable(root).removesuffix('/')}/{place}"
            yield _file(path, shown, _without_suffix(place), _read_found)
        else:
            left_out(path.name)


def _file(path: Path, shown: str, drawing: str, read: Callable[[Path, str], bytes]) -> ImageRef:
    return ImageRef(shown, printable(drawing), _tag_of(path), partial(read, path, shown))


def _read_found(path: Path, shown: str) -> bytes:
    """A file that nobody named: a pipe among the images would never end."""
    if path.is_symlink() and not path.exists():
        raise DataError(f"{shown}: a link to nothing")
    if path.exists() and not path.is_file():
        raise DataError(f"{shown}: not a file that can be read")
    return _read_file(path, shown)


def _read_file(path: Path, shown: str) -> bytes:
    if reason := why_not_read(path.name):
        raise DataError(f"{shown}: {reason}")
    try:
        with path.open("rb") as file:  # a device has no size, and a pipe may be named
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DataError(f"{shown}: cannot be read ({error.strerror})") from None
    if len(data) > MAX_FILE_BYTES:
        raise DataError(f"{shown}: too large, more than {MAX_FILE_BYTES:,} bytes")
    return data


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _read_object(store: Store, name: str, path: str) -> bytes:
    if reason := why_not_read(name):
        raise DataError(f"{path}: {reason}")
    try:
        checked_name(name)
    except StorageError as error:
        raise DataError(f"{path}: {error}") from None
    try:
        return store.read(name, MAX_FILE_BYTES)
    except TooLargeError:
        raise DataError(f"{path}: too large, more than {MAX_FILE_BYTES:,} bytes") from None
    except StorageError:
        # A single object that went away is that image's fault; anything else is the store's.
        if store.exists(name):
            raise
        raise DataError(f"{path}: cannot be read (there is no such object)") from None


def _tag_of(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _after_its_folder(path: str) -> str:
    pure = PurePosixPath(path)
    return "-".join(filter(None, (pure.parent.name, pure.stem)))
