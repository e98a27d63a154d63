"""What the verbs about a cluster share: the profile as called for, and a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gtrans.pipelines.cluster.kubeflow import Kubeflow
    from gtrans.pipelines.profiles import Profile


def connected(
    profile_name: str,
    host: str = "",
    namespace: str = "",
    image: str = "",
    store: str | None = None,
    experiment: str | None = None,
) -> tuple[Profile, Kubeflow]:
    """The profile with the caller's own image, store and experiment; and its Kubeflow.

    Raises:
        ConfigError: for a wrong profile, one of this machine, or when no address is known.
        KubeflowError: when Kubeflow cannot be reached or refuses.
    """
    from gtrans.pipelines.cluster.kubeflow import Kubeflow
    from gtrans.pipelines.profiles import load_profile

    profile = load_profile(profile_name, store=store, experiment=experiment)
    cluster = profile.require_cluster(profile_name)
    if image:
        cluster = cluster.model_copy(update={"image": image})
        profile = profile.model_copy(update={"cluster": cluster})
    return profile, Kubeflow(host or cluster.host, namespace or cluster.namespace, cluster.ca_file)
