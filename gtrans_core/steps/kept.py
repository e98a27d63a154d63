"""What a step made, kept by everything that decides it: whoever finds it has nothing left to do.

Nothing here is named by hand as "the version that last changed it": the key covers the code itself.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from gtrans_core.config import canonical_json, digest_of
from gtrans_core.errors import StorageError
from gtrans_core.lineage import code_digest, package_version
from gtrans_core.storage import prepare_folder, storage_error, write_atomic
from gtrans_core.storage.atomic import temporary_beside
from gtrans_core.storage.documents import parse_json
from gtrans_core.storage.folders import complete_marker
from gtrans_core.storage.verified import DamagedFileError, read_verified, write_verified

_PACKAGES = ("matplotlib", "numpy", "onnx", "onnxruntime", "pillow", "scipy", "timm", "torch")
"""What computes and draws."""
_CPU_FACTS = ("model name", "flags", "Features")
"""Lines of Linux's ``cpuinfo`` that decide how libraries round."""

Said = Callable[[str], None]


class Kept:
    """A place for what a step makes.

    Args:
        root: the store.
        step: its name.
        decides: all that decides what it makes, beside code, packages and machine, as JSON values.
        say: told of what is damaged, and of what cannot be kept.
    """

    def __init__(self, root: Path, step: str, decides: Mapping[str, Any], say: Said) -> None:
        key = digest_of({"step": step, "decides": dict(decides), **_surroundings()})
        self.folder = root / "kept" / step / key
        self._say = say

    def restore(self, targets: Mapping[str, Path]) -> dict[str, bytes] | None:
        """Write what is kept to where it belongs; all of it is checked before.

        Args:
            targets: files and folders to write, by the names that ``keep`` was given.

        Returns:
            The bytes of each file by its path; None where nothing is kept, or it is damaged: then
            it is set aside.

        Raises:
            StorageError: when a target cannot be written.
        """
        if not self.folder.is_dir():
            return None
        try:
            found = self._read()
        except DamagedFileError as error:
            self._say(f"kept results damaged, set aside: {error}")
            self._set_aside()
            return None
        for name, data in found.items():
            top, _, rest = name.partition("/")
            if top in targets:
                _place(self.folder / name, targets[top] / rest if rest else targets[top], data)
        return found

    def keep(self, results: Mapping[str, Path | bytes]) -> None:
        """Keep files, folders and bytes by name. Where there is no room, the step goes on."""
        try:
            prepare_folder(self.folder, lambda folder: _fill(folder, results))
        except StorageError as error:
            self._say(f"kept for no later run: {error}")

    def _read(self) -> dict[str, bytes]:
        """All files by their paths.

        Raises:
            DamagedFileError: when one is missing, or not as it was kept.
        """
        lists = sorted(self.folder.glob("files-*.json"))
        if len(lists) != 1:
            raise DamagedFileError(f"{self.folder}: expected one list of files")
        digests = parse_json(read_verified(lists[0]))
        return {name: self._file(name, digest) for name, digest in digests.items()}

    def _file(self, name: str, digest: str) -> bytes:
        path = self.folder / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DamagedFileError(f"{path}: cannot be read ({error.strerror})") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise DamagedFileError(f"{path}: its bytes changed")
        return data

    def _set_aside(self) -> None:
        aside = self.folder.with_name(f"{self.folder.name}.damaged")
        try:
            complete_marker(self.folder).unlink(missing_ok=True)
            shutil.rmtree(aside, ignore_errors=True)
            self.folder.replace(aside)
        except FileNotFoundError:  # another process was faster
            return
        except OSError as error:
            raise storage_error(self.folder, error, needed=0) from None


def _fill(folder: Path, results: Mapping[str, Path | bytes]) -> None:
    digests = {}
    for name, source, data in _files(results):
        _place(source, folder / name, data)
        digests[name] = hashlib.sha256(data).hexdigest()
    write_verified(folder, "files", "json", canonical_json(digests).encode())


def _files(results: Mapping[str, Path | bytes]) -> Iterator[tuple[str, Path | None, bytes]]:
    """Of each file: its path among what is kept, where it lies now, its bytes."""
    for name, result in results.items():
        if isinstance(result, bytes):
            yield name, None, result
        elif result.is_file():
            yield name, result, result.read_bytes()
        else:
            for path in sorted(result.rglob("*")):
                if path.is_file():
                    inside = path.relative_to(result).as_posix()
                    yield f"{name}/{inside}", path, path.read_bytes()


def _place(source: Path | None, target: Path, data: bytes) -> None:
    """Give a file a second name, or write its bytes anew where that cannot be.

    Two names are as good as two files: who writes here replaces files and never changes them.
    """
    if source is not None:
        temporary = temporary_beside(target)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.hardlink_to(source)
            temporary.replace(target)
        except OSError:  # on another disk, or one without links
            pass
        else:
            return
        finally:  # it stays where the target is the same file already
            with suppress(OSError):
                temporary.unlink()
    write_atomic(target, data)


def _surroundings() -> dict[str, Any]:
    """Code, packages and machine."""
    return {
        "code": code_digest(),
        "packages": {name: package_version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "gpus": [path.name for path in sorted(Path("/dev").glob("nvidia[0-9]*"))],
        "visible_gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


@cache
def _cpu() -> list[str]:
    """What the processor is and can; of an unknown system only its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        lines = []
    facts = (
        (name.strip(), text.strip()) for name, _, text in (one.partition(":") for one in lines)
    )
    return [platform.machine(), *(text for name, text in facts if name in _CPU_FACTS)]
