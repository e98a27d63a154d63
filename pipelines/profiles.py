"""A profile says where a run runs, and where it keeps its files and its record.

The config says what it computes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gtrans.pipelines.cluster_profile import Cluster
from gtrans_core.errors import ConfigError
from gtrans_core.storage.documents import describe_validation, read_toml
from gtrans_core.tracking.address import address_problem
from gtrans_core.trust.policy import TrustPolicy, Unsigned, public_key_of_environment
from gtrans_core.trust.seen import SEEN_FILE, SeenApprovals

_FOLDER = Path(__file__).parent / "profiles"

_PRIVATE = 0o077
"""The umask: nothing for group and others."""


class Profile(BaseModel):
    """Where runs run, on this machine or on a cluster, and what they use there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: Cluster | None = None
    """Where pods run; None: on this machine."""
    store: Annotated[str, Field(min_length=1)]
    """Folder of caches, runs, reports and models; absolute once read. On a cluster a path within
    its volume, or an s3:// prefix."""
    tracking_uri: str = ""
    """MLflow server or database; empty: the database ``mlflow.db`` in the store."""
    experiment: Annotated[str, Field(min_length=1)] = "gtrans"
    """MLflow experiment that runs are filed under."""
    cache_store: str = ""
    """Where feature caches are shared between machines: ``s3://bucket/prefix``, or a folder
    (absolute once read); empty: nowhere."""
    at_once: Annotated[int, Field(ge=1)] = 1
    """Categories that a run of several works on at a time."""
    public_key: str = ""
    """PEM file; with one, only models signed with its private key are loaded. Absolute once read;
    empty: the file that ``GTRANS_PUBLIC_KEY`` names, if any."""
    unsigned_models: Unsigned = "refuse"
    """Without a public key, whether models are registered and loaded unsigned."""
    private_files: bool = True
    """Whether what is written on this machine is its owner's alone (700 and 600); else the umask
    decides. What is there already keeps its mode."""

    @property
    def trust(self) -> TrustPolicy:
        """Whose models are loaded here."""
        key = Path(self.public_key) if self.public_key else public_key_of_environment()
        here = SeenApprovals(Path(self.store) / SEEN_FILE)
        return TrustPolicy(key, self.unsigned_models, None if self.cluster else here)

    @field_validator("public_key")
    @classmethod
    def _absolute_file(cls, path: str) -> str:
        return _absolute(path) if path else ""

    @field_validator("tracking_uri")
    @classmethod
    def _usable_address(cls, uri: str) -> str:
        if uri and (problem := address_problem(uri)):
            raise ValueError(problem)
        return uri

    @field_validator("cache_store")
    @classmethod
    def _bucket_or_absolute_folder(cls, uri: str) -> str:
        if "://" in uri and not uri.startswith("s3://"):
            raise ValueError("must be s3://bucket/prefix or a folder")
        return uri if "://" in uri or not uri else _absolute(uri)

    @field_validator("store")
    @classmethod
    def _reachable_store(cls, store: str, info: ValidationInfo) -> str:
        if info.data.get("cluster") is None:
            if "://" in store:
                raise ValueError("must be a folder of this machine")
            return _absolute(store)
        if not store.startswith("/"):
            raise ValueError("must be an absolute path in the pods")
        return store.rstrip("/")

    @model_validator(mode="after")
    def _reachable_from_pods(self) -> Profile:
        if self.cluster is None:
            return self
        if not self.tracking_uri.startswith(("http://", "https://")):
            raise ValueError("tracking_uri: pods need the address of an MLflow server")
        volume = self.cluster.volume
        if volume is None or not Path(self.store).is_relative_to(volume.mount):
            raise ValueError("store: must lie in cluster.volume.mount")
        return self

    def require_cluster(self, name: str) -> Cluster:
        """The cluster.

        Raises:
            ConfigError: when the profile (``name``) is of this machine.
        """
        if self.cluster is None:
            raise ConfigError(f"profile {name} names no [cluster]: use cluster-cpu, cluster-gpu")
        return self.cluster


def known_profiles() -> tuple[str, ...]:
    """The names of the profiles that come with the package."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.toml")))


def load_profile(name: str, *, store: str | None = None, experiment: str | None = None) -> Profile:
    """Read a profile by name (``local``) or by path, with the caller's own store or experiment.

    From then on this process, and those it starts, write files as the profile's ``private_files``
    says.

    Raises:
        ConfigError: naming the file, the key and what was expected.
    """
    path = _find(name)
    values = read_toml(path, "a profile")
    values |= {
        key: value
        for key, value in {"store": store, "experiment": experiment}.items()
        if value is not None
    }
    _refuse_unknown_keys(values, path)
    _refuse_password(str(values.get("tracking_uri", "")), path)
    try:
        profile = Profile.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_validation(error)}") from None
    if profile.private_files:
        os.umask(_PRIVATE)
    if not profile.tracking_uri:
        _refuse_unaddressable(profile.store, path)
        return profile.model_copy(update={"tracking_uri": f"sqlite:///{profile.store}/mlflow.db"})
    return profile


def _refuse_unaddressable(store: str, path: Path) -> None:
    """MLflow's embedded database is named by an address, in which these stand for other things."""
    if found := re.search(r"\?|%[0-9A-Fa-f]{2}", store):
        raise ConfigError(
            f"{path}: store: '{found[0]}' in its path cannot be part of the address of MLflow's "
            "database there; choose another folder, or a profile with a tracking_uri"
        )


def _absolute(path: str) -> str:
    try:
        return str(Path(path).expanduser().resolve())
    except RuntimeError as error:  # no such user's home
        raise ValueError(str(error)) from None


def _find(name: str) -> Path:
    if name.endswith(".toml") or "/" in name:
        return Path(name)
    path = _FOLDER / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(known_profiles())
        raise ConfigError(f"profile '{name}' is not known: use one of {known}, or a .toml file")
    return path


def _refuse_unknown_keys(values: dict[str, Any], path: Path) -> None:
    unknown = sorted(values.keys() - Profile.model_fields.keys())
    if unknown:
        known = ", ".join(Profile.model_fields)
        raise ConfigError(f"{path}: unknown key '{unknown[0]}'; a profile has {known}")


def _refuse_password(uri: str, path: Path) -> None:
    # The address is a pipeline parameter: Kubeflow stores it and shows it to every user.
    try:
        password = urlsplit(uri).password
    except ValueError as error:
        raise ConfigError(f"{path}: tracking_uri is not an address ({error})") from None
    if password is not None:
        raise ConfigError(
            f"{path}: tracking_uri must not hold a password; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD in the environment"
        )
