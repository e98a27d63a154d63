"""A profile's cluster settings on a pipeline's tasks."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from kfp import dsl, kubernetes

from gtrans.pipelines.cluster_profile import Cluster, Secret, StepResources

SCRATCH = "/tmp"  # noqa: S108  # nosec B108  # a volume of the pod's own
SHARED_MEMORY = "/dev/shm"  # noqa: S108  # nosec B108
POD_LABEL = ("app.kubernetes.io/part-of", "gtrans")
"""What the network policy of infra/kubernetes/pipelines goes by."""


@dataclass(frozen=True)
class Placement:
    """Where pods may run, as the pipeline's run-time parameters (kfp channels)."""

    node_selector: Any
    tolerations: Any
    accelerator_node_selector: Any
    accelerator_tolerations: Any

    def parameters(self) -> dict[str, Any]:
        """By name, to hand them on to a pipeline within."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


_PLACEMENT: dict[str, tuple[Any, str]] = {
    "node_selector": (
        dict[str, str],
        "labels that the nodes of steps without an accelerator must have.",
    ),
    "tolerations": (
        list[dict[str, Any]],
        "taints that steps without an accelerator tolerate.",
    ),
    "accelerator_node_selector": (
        dict[str, str],
        "labels that the nodes of steps with an accelerator must have.",
    ),
    "accelerator_tolerations": (
        list[dict[str, Any]],
        "taints that steps with an accelerator tolerate.",
    ),
}
"""Type and description of each parameter that ``with_placement`` adds; by default empty."""


def with_placement(pipeline: Callable[..., None]) -> Callable[..., None]:
    """Replace a pipeline's last parameter, ``placement``, by the parameters it is made of.

    kfp reads a pipeline's parameters from its signature and their descriptions from its docstring.

    Args:
        pipeline: its docstring ends with the section ``Args:``.
    """
    signature = inspect.signature(pipeline)
    own = [p for p in signature.parameters.values() if p.name != "placement"]
    added = [
        inspect.Parameter(
            name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=kind(), annotation=kind
        )
        for name, (kind, _) in _PLACEMENT.items()
    ]
    described = "".join(f"\n    {name}: {text}" for name, (_, text) in _PLACEMENT.items())
    signature = signature.replace(parameters=[*own, *added])

    @functools.wraps(pipeline)
    def placed(*arguments: Any, **named: Any) -> None:
        given = signature.bind(*arguments, **named).arguments
        placement = Placement(**{name: given.pop(name) for name in _PLACEMENT})
        pipeline(**given, placement=placement)

    placed.__signature__ = signature  # type: ignore[attr-defined]
    placed.__doc__ = inspect.cleandoc(pipeline.__doc__ or "") + described + "\n"
    return placed


def equip(task: dsl.PipelineTask, step: str, cluster: Cluster | None, placement: Placement) -> None:
    """Give a step's task what the profile says; without a cluster, only the caching rule.

    Args:
        task: the task.
        step: its name in ``Cluster.steps``.
        cluster: the profile's; None: the embedded runner, which knows no resources.
        placement: the pipeline's parameters of that name.
    """
    given = cluster.of(step) if cluster else StepResources()
    # Kubeflow's cache key is an artifact's address, not its content: a changed file at the same
    # address would be a false hit. Our stores are keyed by content and do the reuse.
    task.set_caching_options(given.kubeflow_cache)
    if cluster is None:
        return
    _equip_container(task, given, cluster)
    _mount(task, given, cluster)
    for secret in cluster.secrets:
        if step in secret.steps:
            _use_secret(task, secret)
    _place(task, bool(given.accelerator), placement)


def _equip_container(task: dsl.PipelineTask, given: StepResources, cluster: Cluster) -> None:
    task.set_cpu_request(given.cpu).set_cpu_limit(given.cpu)
    task.set_memory_request(given.memory).set_memory_limit(given.memory)
    if given.accelerator:
        task.set_accelerator_type(given.accelerator).set_accelerator_limit(given.accelerators)
    if given.retries:
        task.set_retry(given.retries, backoff_duration="30s", backoff_factor=2.0)
    if cluster.image:
        task.set_container_image(cluster.image)
    for name, value in sorted((_image_digest(cluster.image) | cluster.env).items()):
        task.set_env_variable(name, value)
    if cluster.image_pull_secret:
        kubernetes.set_image_pull_secrets(task, [cluster.image_pull_secret])
    # Kubeflow adds the rest of "restricted": no capability, no escalation, the default seccomp.
    kubernetes.set_security_context(task, run_as_non_root=True)
    kubernetes.add_pod_label(task, *POD_LABEL)


def _image_digest(image: str) -> dict[str, str]:
    """What a run's lineage goes by, where the image is named by its digest."""
    digest = image.partition("@")[2]
    return {"GTRANS_IMAGE_DIGEST": digest} if digest else {}


def _mount(task: dsl.PipelineTask, given: StepResources, cluster: Cluster) -> None:
    kubernetes.empty_dir_mount(task, "scratch", SCRATCH, size_limit=given.scratch)
    if given.shared_memory:
        kubernetes.empty_dir_mount(
            task, "shared-memory", SHARED_MEMORY, medium="Memory", size_limit=given.shared_memory
        )
    if cluster.volume:
        kubernetes.mount_pvc(task, cluster.volume.claim, cluster.volume.mount)


def _use_secret(task: dsl.PipelineTask, secret: Secret) -> None:
    if secret.env:
        kubernetes.use_secret_as_env(task, secret.name, dict(secret.env), secret.optional)
    if secret.mount:
        kubernetes.use_secret_as_volume(task, secret.name, secret.mount, secret.optional)


def _place(task: dsl.PipelineTask, accelerated: bool, placement: Placement) -> None:
    if accelerated:
        selector, tolerations = (
            placement.accelerator_node_selector,
            placement.accelerator_tolerations,
        )
    else:
        selector, tolerations = placement.node_selector, placement.tolerations
    kubernetes.add_node_selector_json(task, selector)
    kubernetes.add_toleration_json(task, tolerations)
