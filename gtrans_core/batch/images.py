"""Which images a command line stands for: files, folders and ``s3://`` prefixes, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from gtrans_core.errors import DataError, StorageError
from gtrans_core.storage import LocalStore, Store, open_store

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""What is looked for in folders and prefixes, in any case of letters."""

_S3 = "s3://"


@dataclass(frozen=True)
class ImageRef:
    """An image that is not read yet.

    Attributes:
        path: how it is called in the table: as the user gave it, or the folder and its name there.
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
        return _below(argument.rstrip("/"), open_store(argument), _read_object)
    path = Path(argument)
    if path.is_dir():
        return _below(argument.rstrip("/") or "/", LocalStore(path), _read_file)
    read = partial(_read_file, LocalStore(path.parent), path.name, argument)
    return [ImageRef(argument, _after_its_folder(str(path.absolute())), _tag_of(path), read)]


def _below(root: str, store: Store, read: Callable[[Store, str, str], bytes]) -> list[ImageRef]:
    entries = [entry for entry in store.list() if _is_image(entry.name)]
    if not entries:
        raise DataError(f"{root}: holds no image ({', '.join(SUFFIXES)})")
    return [
        ImageRef(
            path := f"{root.removesuffix('/')}/{entry.name}",
            str(PurePosixPath(entry.name).with_suffix("")),
            entry.etag,
            partial(read, store, entry.name, path),
        )
        for entry in entries
    ]


def _read_file(store: Store, name: str, path: str) -> bytes:
    del name, store
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _read_object(store: Store, name: str, path: str) -> bytes:
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
