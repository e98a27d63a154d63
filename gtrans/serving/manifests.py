"""Kubernetes objects that run the service, or one version on KServe in its place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from gtrans.serving.gate import TOKEN
from gtrans_core.detector.model_name import CHAMPION, alias_uri, model_name
from gtrans_core.errors import ConfigError
from gtrans_core.tracking.registry.versions import ModelVersion
from gtrans_core.trust.keys import read_public_key
from gtrans_core.trust.policy import PUBLIC_KEY, TrustPolicy

_FOLDER = "/etc/gtrans"
_KEY_FILE = "signing-key.pub.pem"
_CPUS = "2"  # of a pod at most; the processes in it see all of the node's
_NAME_LENGTH = 50  # KServe puts its own words behind it
_PROFILE = f"--profile={_FOLDER}/profile.toml"
_MODEL_FOLDER = "/mnt/models"  # where KServe's runtimes look


@dataclass(frozen=True)
class ServiceAsked:
    """What a Deployment of ``gtrans serve`` should be.

    Attributes:
        categories: whose champions it serves.
        image: with ``gtrans`` in it; by digest or a tag that is not ``latest``.
        tracking_uri: the registry, as the cluster reaches it.
        trust: whose models the pods load.
        secret: name of the Secret with the registry's credentials; it may be missing.
        token_secret: name of the Secret whose key ``token`` clients must show; empty: the pods
            answer whoever reaches them.
        replicas: pods.
    """

    categories: Sequence[str]
    image: str
    tracking_uri: str
    trust: TrustPolicy
    secret: str = "gtrans-mlflow"  # noqa: S105 - a name
    token_secret: str = "gtrans-serve"  # noqa: S105 - a name
    replicas: int = 2


def deployment(asked: ServiceAsked) -> str:
    """ConfigMap, Deployment and Service, as YAML.

    Raises:
        ConfigError: for an image without a fixed tag, a registry that no pod can reach, or a trust
            that lets no model pass.
    """
    args = [*asked.categories, "--host=0.0.0.0", "--port=8080", f"--round-size={_CPUS}", _PROFILE]
    args += [] if asked.token_secret else ["--no-token"]
    champions = [alias_uri(category, CHAMPION) for category in asked.categories]
    return _render(
        "deployment.yaml.j2",
        name="gtrans-serve",
        labels=_labels("gtrans-serve"),
        image=_fixed(asked.image),
        verify_args=[*champions, _PROFILE],
        tracking_uri=_reachable(asked.tracking_uri),
        folder=_FOLDER,
        key_file=_KEY_FILE,
        public_key=_public_key(asked.trust),
        args=args,
        secret=asked.secret,
        token=TOKEN,
        token_secret=asked.token_secret,
        replicas=asked.replicas,
        cpus=_CPUS,
        memory=f"{2 + len(asked.categories)}Gi",
    )


@dataclass(frozen=True)
class InferenceAsked:
    """What an InferenceService of one version should be.

    Attributes:
        category: the category.
        model: its version.
        image: MLServer with the model's requirements; by digest or a tag that is not ``latest``.
        verifier: image with ``gtrans`` in it, which fetches and verifies the model; named likewise.
        tracking_uri: the registry, as the cluster reaches it.
        trust: whose models the pod loads.
        secret: name of the Secret with the registry's credentials; it may be missing.
    """

    category: str
    model: ModelVersion
    image: str
    verifier: str
    tracking_uri: str
    trust: TrustPolicy
    secret: str = "gtrans-mlflow"  # noqa: S105 - a name


def inference_service(asked: InferenceAsked) -> str:
    """ConfigMap and KServe InferenceService of one version, as YAML.

    Raises:
        ConfigError: for an image without a fixed tag, a registry that no pod can reach, or a trust
            that lets no model pass.
    """
    name = kubernetes_name(model_name(asked.category))
    model = asked.model
    args = [model.uri, f"--digest={model.digest}", f"--out={_MODEL_FOLDER}", _PROFILE]
    return _render(
        "inferenceservice.yaml.j2",
        name=name,
        labels=_labels(name),
        uri=model.uri,
        version=model.version,
        digest=model.digest,
        verify_args=args,
        model_folder=_MODEL_FOLDER,
        verifier=_fixed(asked.verifier, "--verifier-image"),
        tracking_uri=_reachable(asked.tracking_uri),
        folder=_FOLDER,
        key_file=_KEY_FILE,
        public_key=_public_key(asked.trust),
        image=_fixed(asked.image),
        secret=asked.secret,
    )


def kubernetes_name(text: str) -> str:
    """A valid DNS label made from a text."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:_NAME_LENGTH].strip("-")


def _reachable(tracking_uri: str) -> str:
    if not tracking_uri.startswith(("http://", "https://")):
        raise ConfigError(
            f"{tracking_uri}: no pod can read this registry; name a profile whose "
            "tracking_uri is an MLflow server (--profile)"
        )
    return tracking_uri


def _fixed(image: str, option: str = "--image") -> str:
    """An image's name, if it always means the same image.

    Raises:
        ConfigError: for a name without a digest or a fixed tag.
    """
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    if not digest.startswith("sha256:") and tag in ("", "latest"):
        raise ConfigError(f"{option} '{image}': give a digest (NAME@sha256:...) or a fixed tag")
    return image


def _public_key(trust: TrustPolicy) -> str:
    """The key that pods verify models with, as PEM; empty where unsigned models are allowed.

    Raises:
        ConfigError: when pods would refuse every model, or the key cannot be read.
    """
    if trust.public_key is not None:
        return read_public_key(trust.public_key).decode()
    if trust.unsigned_now == "refuse":
        raise ConfigError(
            "models must be signed here, and the pods would have no public key to verify them "
            f"with: set public_key in the profile, or {PUBLIC_KEY} (or allow unsigned models there)"
        )
    return ""


def _labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "gtrans"}


def _render(template: str, **values: Any) -> str:
    environment = jinja2.Environment(  # nosec B701  # YAML, escaped by `_as_json`
        loader=jinja2.PackageLoader("gtrans.serving"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )
    environment.filters["tojson"] = _as_json
    return environment.get_template(template).render(values)


def _as_json(value: str | Mapping[str, str] | Sequence[str]) -> str:
    """JSON is YAML, quoted in every case (jinja2's own filter escapes for HTML)."""
    return json.dumps(value)
