"""What a profile says of a cluster: what each step is given, and where its pods may run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gtrans_core.steps.names import ALL_STEPS

Quantity = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(m|[KMGT]i?)?$")]
"""An amount as Kubernetes writes it: 500m, 2, 4Gi."""
Path = Annotated[str, Field(pattern=r"^/[^:]*$")]
SecretName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StepResources(_Model):
    """What one step's pod is given. Requests equal limits, so that no neighbour is squeezed."""

    cpu: Quantity = "1"
    """Cores."""
    memory: Quantity = "2Gi"
    """Bytes; shared memory counts."""
    scratch: Quantity = "2Gi"
    """Largest size of ``/tmp``, the pod's ephemeral storage (an emptyDir)."""
    shared_memory: Quantity | Literal[""] = ""
    """Size of ``/dev/shm`` (an emptyDir in memory); empty: the container runtime's 64 MB."""
    accelerator: str = ""
    """Resource name of an accelerator, such as ``nvidia.com/gpu``; empty: none."""
    accelerators: Annotated[int, Field(ge=1)] = 1
    """How many, where ``accelerator`` names one."""
    retries: Annotated[int, Field(ge=0)] = 0
    """How often Kubeflow starts the step again after a failure. Within the fan-out Kubeflow 2.17
    ignores it (kubeflow/pipelines#13897); the steps themselves retry S3 and MLflow."""
    kubeflow_cache: bool = False
    """Whether Kubeflow may reuse an earlier run's outputs. Its key is an address, not a content;
    our stores are keyed by content and reuse what is safe to reuse."""


class NodePool(_Model):
    """Where pods may run. Run-time parameters: changed at submission, not compiled in."""

    node_selector: dict[str, str] = {}
    """Labels that a node must have."""
    tolerations: tuple[dict[str, Any], ...] = ()
    """Taints that are tolerated, as Kubernetes writes them (key, operator, value, effect)."""


class Volume(_Model):
    """A persistent volume claim that every step mounts."""

    claim: SecretName
    """Its name. Steps run on several nodes, so it must be ReadWriteMany."""
    mount: Path
    """Where it is mounted."""


class Secret(_Model):
    """A Kubernetes secret, by name: its values are never seen by us or written into a pipeline."""

    name: SecretName
    env: dict[str, str] = {}
    """Key in the secret -> environment variable of the step."""
    mount: Path | Literal[""] = ""
    """Folder to mount it at, for keys that are files; empty: not mounted."""
    steps: tuple[str, ...] = ALL_STEPS
    """Which steps get it."""
    optional: bool = False
    """Whether pods start without it."""

    @field_validator("steps")
    @classmethod
    def _known(cls, steps: tuple[str, ...]) -> tuple[str, ...]:
        return _known_steps(steps)


class Cluster(_Model):
    """A Kubeflow installation and how our pipelines run there."""

    host: str = ""
    """Address of the Kubeflow Pipelines API; empty: ``--host``, or what kfp finds by itself."""
    ca_file: str = ""
    """PEM file of the authority that signed the host's certificate; empty: what ``SSL_CERT_FILE``
    names, or the usual authorities."""
    namespace: str = ""
    """Namespace of a multi-user installation; empty: single-user."""
    service_account: SecretName | Literal[""] = ""
    """Service account of the pods; empty: the installation's own, which may do far more."""
    image: str = ""
    """Image of every step, best by digest; empty: the name the components are built with."""
    image_pull_secret: SecretName | Literal[""] = ""
    """Secret of the image's registry, if it needs one."""
    volume: Volume | None = None
    """Shared volume, which the store lies in."""
    secrets: tuple[Secret, ...] = ()
    env: dict[str, str] = {}
    """Environment of every step. Never a secret: the pipeline shows it to every user."""
    nodes: NodePool = NodePool()
    """For steps without an accelerator."""
    accelerator_nodes: NodePool = NodePool()
    """For steps with one."""
    cpu_fallback: bool = False
    """Whether a training whose pod is given an accelerator may go on without one, with a line that
    says so; else it fails at once."""
    steps: dict[str, StepResources] = {}
    """By step; a step that is not named takes ``StepResources``' defaults."""

    @field_validator("steps")
    @classmethod
    def _known(cls, steps: dict[str, StepResources]) -> dict[str, StepResources]:
        _known_steps(tuple(steps))
        return steps

    def of(self, step: str) -> StepResources:
        """What a step is given."""
        return self.steps.get(step, StepResources())

    def placement(self) -> dict[str, Any]:
        """The run-time parameters that say where pods may run (see ``graphs.resources``)."""
        return {
            "node_selector": self.nodes.node_selector,
            "tolerations": list(self.nodes.tolerations),
            "accelerator_node_selector": self.accelerator_nodes.node_selector,
            "accelerator_tolerations": list(self.accelerator_nodes.tolerations),
        }


def _known_steps(steps: tuple[str, ...]) -> tuple[str, ...]:
    if set(steps) - set(ALL_STEPS):
        raise ValueError(f"names a step that is not there; there are {', '.join(ALL_STEPS)}")
    return steps
