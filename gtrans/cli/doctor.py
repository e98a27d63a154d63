"""``gtrans doctor``: is this installation whole, and if not, what to do about it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gtrans_core.errors import GTransError

if TYPE_CHECKING:
    from gtrans.pipelines.cluster_profile import Cluster
    from gtrans.pipelines.profiles import Profile

PROBLEM = 11
"""Exit code when at least one check failed."""

_CHECKOUT = Path(__file__).resolve().parents[2]
_TO_SCORE = ("onnxruntime",)
_TO_TRAIN = ("torch", "torchvision", "timm", "kfp", "mlflow")
_EXTRAS = {"elpv_dataset": "elpv: real solar cells for --data elpv"}
# What importing a package raises when it, or a library under it, is missing or does not fit.
_BROKEN_INSTALLATION = (ImportError, RuntimeError, OSError, AttributeError)
_GIBIBYTE = 2**30
_NEEDED_GIBIBYTES = 3
_ANY_CATEGORY = "demo"


@dataclass(frozen=True)
class Finding:
    """What one check saw; ``advice`` is empty when all is well."""

    subject: str
    text: str
    advice: str = ""


def doctor(
    profile_name: Annotated[
        str,
        typer.Option(
            "--profile", metavar="NAME|FILE", help="Whose store and servers are looked at."
        ),
    ] = "local",
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="DIR",
            envvar="GTRANS_STORE",
            help="Folder to check; default: the profile's.",
        ),
    ] = None,
) -> None:
    """Check the installation, the store and the servers; say in plain words what is wrong.

    Ends with code 0 when all is well, and with 11 when something needs mending.
    """
    from rich.console import Console

    console = Console()
    problems = 0
    for finding in findings(profile_name, store):
        mark = "[red]problem[/]" if finding.advice else "[green]ok[/]     "
        console.print(mark, finding.subject.ljust(12), end=" ")
        console.print(finding.text, markup=False, highlight=False, soft_wrap=True)
        if finding.advice:
            console.print(f"        -> {finding.advice}", markup=False, soft_wrap=True)
            problems += 1
    if problems:
        raise typer.Exit(PROBLEM)


def findings(profile_name: str, store: str | None) -> Iterator[Finding]:
    """Run every check, one after the other; a check that fails stops none of the others.

    Nothing is made anywhere: no folder, no experiment, no run.
    """
    profile, without = _profile(profile_name, store)
    trains = importlib.util.find_spec("torch") is not None
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", _python),
        *((name, partial(_import, name)) for name in (_TO_TRAIN if trains else _TO_SCORE)),
        ("versions", _versions),
        ("weights", _weights) if trains else ("extra", _scores_only),
        *(_places(profile) if profile else [("profile", lambda: without)]),
        ("machine", partial(_machine, trains)),
        *((name, partial(_extra, name, text)) for name, text in _EXTRAS.items()),
    ]
    for subject, check in checks:
        try:
            yield check()
        except GTransError as error:
            yield Finding(subject, "failed", str(error))
        except _BROKEN_INSTALLATION as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            yield Finding(subject, reason, _installation_advice(reason))


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] <= (3, 12)
    return Finding("python", version, "" if fits else "use Python 3.11 or 3.12")


def _import(name: str) -> Finding:
    from importlib import metadata  # on use: it slows the start of every other verb

    importlib.import_module(name)
    return Finding(name, metadata.version(name))


def _installation_advice(reason: str) -> str:
    if "torchvision::nms" in reason:
        return (
            "torch and torchvision are of different builds (a CPU-only torch beside a CUDA "
            "torchvision, or the reverse); run `make setup`, which installs both from the lock"
        )
    return "run `make setup`, which installs what the lock says"


def _versions() -> Finding:
    lock = _CHECKOUT / "requirements.lock"
    if not lock.is_file():
        return Finding("versions", "no requirements.lock beside the package: not compared")
    different = list(version_differences(lock.read_text(encoding="utf-8")))
    if different:
        return Finding("versions", ", ".join(different), "run `make setup`")
    return Finding("versions", "every installed package is at its locked version")


def version_differences(lock: str) -> Iterator[str]:
    """``name installed (lock: locked)`` for each package that is not what the lock says."""
    from importlib import metadata

    locked: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock, flags=re.MULTILINE):
        locked.setdefault(name, []).append(version)
    for name, versions in locked.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            # An extra, or a package of another platform; what is required is imported above.
            continue
        if installed not in versions:
            yield f"{name} {installed} (lock: {' or '.join(versions)})"


def _weights() -> Finding:
    from gtrans_core.config import AgnConfig
    from gtrans_core.features.weights import load_guide

    config = AgnConfig()
    guide = load_guide(config, downloads=Path())
    origin = f"{config.backbone} from {config.weights}"
    return Finding("weights", f"{origin}, sha256 {guide.weights_sha256}")


def _profile(name: str, store: str | None) -> tuple[Profile | None, Finding]:
    """The profile, or what to say where it cannot be used."""
    from gtrans.pipelines.profiles import load_profile

    try:
        return load_profile(name, store=store), Finding("profile", name)
    except GTransError as error:
        return None, Finding("profile", "failed", str(error))


def _places(profile: Profile) -> Iterator[tuple[str, Callable[[], Finding]]]:
    """Where a profile's runs keep things, and where they run."""
    yield "store", partial(_store, profile)
    yield "tracking", partial(_tracking, profile)
    if "://" in profile.cache_store:
        yield "cache_store", partial(_bucket, profile.cache_store)
    if profile.cluster is not None:
        yield "kubeflow", partial(_kubeflow, profile.cluster)


def _tracking(profile: Profile) -> Finding:
    from gtrans_core.storage import without_secrets
    from gtrans_core.tracking.client import TrackingAddress
    from gtrans_core.tracking.preflight import require_record

    address = TrackingAddress(profile.tracking_uri, profile.experiment)
    note = require_record(address, _ANY_CATEGORY, make=False)
    if note:
        return Finding("tracking", "failed", f"{note}; runs go on, and register needs it")
    return Finding("tracking", f"MLflow at {without_secrets(address.server_uri)} takes runs")


def _bucket(uri: str) -> Finding:
    from gtrans_core.storage import QUICKLY, without_secrets
    from gtrans_core.storage.s3 import S3Store

    S3Store(uri, QUICKLY).require_readable()
    return Finding("cache_store", f"{without_secrets(uri)} can be read")


def _kubeflow(cluster: Cluster) -> Finding:
    from gtrans.pipelines.cluster.kubeflow import HOST_VARIABLE, Kubeflow
    from gtrans.pipelines.cluster.submit import list_runs
    from gtrans_core.storage import QUICKLY, without_secrets

    host = os.environ.get(HOST_VARIABLE) or cluster.host
    if not host:
        return Finding(
            "kubeflow", "no address", f"set host under [cluster] of the profile, or {HOST_VARIABLE}"
        )
    list_runs(Kubeflow(host, cluster.namespace, cluster.ca_file, QUICKLY), 1)
    return Finding("kubeflow", f"{without_secrets(host)} takes runs")


def _store(profile: Profile) -> Finding:
    from gtrans_core.storage import nearest_existing, require_writable

    if profile.cluster is not None:
        return Finding("store", f"{profile.store} is in the pods: not looked at from here")
    folder = nearest_existing(Path(profile.store))
    require_writable(folder)
    _try_sqlite(folder)
    free = shutil.disk_usage(folder).free / _GIBIBYTE
    advice = (
        f"free some space: a run needs about {_NEEDED_GIBIBYTES} GiB"
        if free < _NEEDED_GIBIBYTES
        else ""
    )
    return Finding("store", f"{profile.store}, writable, {free:.1f} GiB free", advice)


def _try_sqlite(folder: Path) -> None:
    """Some network folders hold files but not databases (no locks)."""
    import sqlite3

    from gtrans_core.errors import StorageError

    probe = folder / f".doctor-{os.getpid()}.db"
    try:
        with closing(sqlite3.connect(probe)) as database:
            database.execute("CREATE TABLE probe (id INTEGER)")
            database.commit()
    except sqlite3.Error as error:
        raise StorageError(
            f"{folder}: SQLite cannot write here ({error}); choose a folder on a local disk "
            "with --store"
        ) from None
    finally:
        probe.unlink(missing_ok=True)


def _scores_only() -> Finding:
    return Finding(
        "extra", "train: not installed; this machine scores and serves, and does not train"
    )


def _machine(trains: bool) -> Finding:
    cores = len(os.sched_getaffinity(0))
    if not trains:
        return Finding("machine", f"{cores} cores")
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return Finding("machine", f"{cores} cores, {gpu}")


def _extra(name: str, text: str) -> Finding:
    present = importlib.util.find_spec(name) is not None
    return Finding("extra", f"{text}: {'installed' if present else 'not installed (optional)'}")
