"""What the verbs about a cluster share: the profile as called for, and a connection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.errors import ConfigError

if TYPE_CHECKING:
    from gtrans.pipelines.cluster.kubeflow import Kubeflow
    from gtrans.pipelines.cluster_profile import Cluster
    from gtrans.pipelines.profiles import Profile


def connected(
    profile_name: str,
    host: str = "",
    namespace: str = "",
    image: str = "",
    store: str | None = None,
    experiment: str | None = None,
    source: str = "",
) -> tuple[Profile, Kubeflow]:
    """The profile with the caller's own image, store and experiment; and its Kubeflow.

    Raises:
        ConfigError: for a wrong profile, one of this machine, when no address is known, or for a
            ``source`` of images that no pod can read.
        KubeflowError: when Kubeflow cannot be reached or refuses.
    """
    from gtrans.pipelines.cluster.kubeflow import Kubeflow
    from gtrans.pipelines.profiles import load_profile

    profile = load_profile(profile_name, store=store, experiment=experiment)
    cluster = profile.require_cluster(profile_name)
    _refuse_unreadable(source, cluster)
    if image:
        cluster = cluster.model_copy(update={"image": image})
        profile = profile.model_copy(update={"cluster": cluster})
    return profile, Kubeflow(host or cluster.host, namespace or cluster.namespace, cluster.ca_file)


def _refuse_unreadable(source: str, cluster: Cluster) -> None:
    """A folder of this machine is in no pod, unless it lies in the volume that all mount."""
    from gtrans_core.data.sources.known import KNOWN_SOURCES

    if not source or source in KNOWN_SOURCES or source.startswith("s3://"):
        return
    mount = cluster.volume.mount if cluster.volume else ""
    if not mount or not Path(source).is_relative_to(mount):
        within = f"a folder in {mount}, " if mount else ""
        raise ConfigError(
            f"--data {source}: pods cannot read it; expected {within}s3://bucket/prefix, or one of "
            f"{', '.join(KNOWN_SOURCES)}"
        )
