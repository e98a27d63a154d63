"""A profile's cluster settings on a pipeline's tasks."""

from dataclasses import dataclass
from typing import Any

from kfp import dsl, kubernetes

from gtrans.pipelines.cluster_profile import Cluster, Secret, StepResources

SCRATCH = "/tmp"  # noqa: S108  # nosec B108  # a volume of the pod's own
SHARED_MEMORY = "/dev/shm"  # noqa: S108  # nosec B108


@dataclass(frozen=True)
class Placement:
    """Where pods may run, as the pipeline's run-time parameters (kfp channels)."""

    node_selector: Any
    tolerations: Any
    accelerator_node_selector: Any
    accelerator_tolerations: Any


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
    for name, value in sorted(cluster.env.items()):
        task.set_env_variable(name, value)
    if cluster.image_pull_secret:
        kubernetes.set_image_pull_secrets(task, [cluster.image_pull_secret])


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
