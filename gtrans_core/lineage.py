"""Where a result comes from: code, packages, machine, image. Light: imports nothing heavy."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gtrans_core import __version__

UNKNOWN = "unknown"
PACKAGES = (
    "kfp",
    "mlflow",
    "numpy",
    "safetensors",
    "scikit-learn",
    "timm",
    "torch",
)
_GIT_TIMEOUT_S = 10


def git_sha() -> str:
    """The commit of the code that runs.

    Returns:
        ``GTRANS_GIT_SHA``, else that of the checkout this file is in, with ``-dirty`` where tracked
        files were changed; ``unknown`` for an installed package.
    """
    return os.environ.get("GTRANS_GIT_SHA") or _own_sha()


@cache
def _own_sha() -> str:
    """Asked once: what is committed later is not the code that this process has loaded."""
    return _checkout_sha(Path(__file__))


def collect_lineage() -> dict[str, str]:
    """Facts of this process that decide a result or help to find out why it differs.

    Returns:
        ``git_sha`` (see there), ``python``, ``platform``, ``cpus``, ``package.NAME`` of gtrans and
        ``PACKAGES``, and, where the environment gives them, ``image_digest``
        (``GTRANS_IMAGE_DIGEST``) and ``kfp_run_id`` (``KFP_RUN_ID``).
    """
    facts = {
        "git_sha": git_sha(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": str(os.cpu_count() or UNKNOWN),
        "image_digest": os.environ.get("GTRANS_IMAGE_DIGEST", ""),
        "kfp_run_id": os.environ.get("KFP_RUN_ID", ""),
    }
    packages = {f"package.{name}": package_version(name) for name in PACKAGES}
    known = {name: value for name, value in facts.items() if value}
    return known | {"package.gtrans": __version__} | packages


@cache
def code_digest() -> str:
    """sha256 (hex) of all Python code of ``gtrans_core``: any change of it is another digest."""
    root = Path(__file__).parent
    found = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        data = path.read_bytes()
        found.update(f"{path.relative_to(root).as_posix()} {len(data)}\n".encode())
        found.update(data)
    return found.hexdigest()


def package_version(name: str) -> str:
    """Version of an installed package, or ``not installed``."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _checkout_sha(source: Path) -> str:
    """The commit of the checkout that tracks ``source``; unknown in one that only surrounds it."""
    if not _git(source.parent, "ls-files", "--error-unmatch", source.name):
        return UNKNOWN
    return _git(source.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str:
    """What git prints, or ``""`` where there is no git, no checkout or no answer."""
    git = shutil.which("git")
    if git is None:
        return ""
    try:
        result = subprocess.run(  # noqa: S603  # nosec B603  # fixed arguments
            [git, "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()
