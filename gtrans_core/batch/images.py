"""Which images a command line stands for: files, folders and ``s3://`` prefixes, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from gtrans_core.data.layout import is_hidden
from gtrans_core.errors import DataError, StorageError
from gtrans_core.storage import Store, checked_name, open_store

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""What is looked for in folders and prefixes, in any case of letters."""

_S3 = "s3://"


@dataclass(frozen=True)
class ImageRef:
    """An image that is not read yet.

    Attributes:
        path: how it is called in the table: as the user gave it, or the folder and its name there;
            bytes of a name that are not UTF-8 as ``\\xdf``.
        drawing: name of its heat map below the heat maps' folder, without suffix.
        tag: changes when the file does (size and time, or the ETag); ``""`` where not known.
        read: all its bytes. Raises DataError when this one image cannot be read, and StorageError
            when the store itself does not answer.
    """

    path: str
    drawing: str
    tag: str
    read: Callable[[], bytes]


def find_images(arguments: Iterable[str]) -> list[ImageRef]:
    """The images of all arguments, each once; those of a folder or prefix by name.

    Raises:
        DataError: for a folder or prefix that holds no image.
        StorageError: for one that cannot be listed.
    """
    found: dict[str, ImageRef] = {}
    for argument in arguments:
        for image in _images_of(argument):
            found.setdefault(image.path, image)
    return list(found.values())


def heat_map_files(images: Sequence[ImageRef], out: Path) -> Iterator[Path]:
    """A file for each image, named after it; no two are the same."""
    taken: set[str] = set()
    for image in images:
        name, number = image.drawing, 1
        while name in taken:
            number += 1
            name = f"{image.drawing}-{number}"
        taken.add(name)
        yield out / f"{name}.png"


def _images_of(argument: str) -> list[ImageRef]:
    if argument.startswith(_S3):
        if _is_image(argument):
            folder, _, name = argument.rpartition("/")
            read = partial(_read_object, open_store(folder), name, argument)
            return [ImageRef(argument, _after_its_folder(argument.removeprefix(_S3)), "", read)]
        return _some(argument, _objects_below(argument.rstrip("/")))
    path = Path(argument)
    if path.is_dir():
        return _some(argument, _files_below(argument.rstrip("/") or "/"))
    return [_file(path, _printable(argument), _after_its_folder(str(path.absolute())))]


def _some(argument: str, images: Iterable[ImageRef]) -> list[ImageRef]:
    found = sorted(images, key=lambda image: image.path)
    if not found:
        raise DataError(f"{argument.rstrip('/') or '/'}: holds no image ({', '.join(SUFFIXES)})")
    return found


def _objects_below(prefix: str) -> Iterator[ImageRef]:
    store = open_store(prefix)
    for entry in store.list():
        if _is_image(entry.name) and not any(map(is_hidden, entry.name.split("/"))):
            path = f"{prefix}/{entry.name}"
            read = partial(_read_object, store, entry.name, path)
            drawing = _without_suffix(entry.name).strip("/")
            yield ImageRef(path, drawing, entry.etag, read)


def _files_below(root: str) -> Iterator[ImageRef]:
    for folder, names in _folders_below(Path(root)):
        for name in names:
            path = folder / name
            if _is_image(name) and not is_hidden(name) and path.is_file():
                place = _printable(str(path.relative_to(root)))
                shown = f"{_printable(root).removesuffix('/')}/{place}"
                yield _file(path, shown, _without_suffix(place))


def _folders_below(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder once, with its files' names: links are followed last, and lead in no circle."""
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


def _file(path: Path, shown: str, drawing: str) -> ImageRef:
    return ImageRef(shown, _printable(drawing), _tag_of(path), partial(_read_file, path, shown))


def _read_file(path: Path, shown: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{shown}: cannot be read ({error.strerror})") from None


def _refuse(error: OSError) -> None:
    raise StorageError(f"{error.filename}: cannot be read ({error.strerror})")


def _printable(name: str) -> str:
    """A name of any bytes as text that every table and picture can hold."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _read_object(store: Store, name: str, path: str) -> bytes:
    try:
        checked_name(name)
    except StorageError as error:
        raise DataError(f"{path}: {error}") from None
    try:
        return store.read(name)
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


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES
