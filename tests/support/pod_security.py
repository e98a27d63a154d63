"""The Pod Security Standards of Kubernetes, profile "restricted": its rules, one by one.

As https://kubernetes.io/docs/concepts/security/pod-security-standards/ defines them (1.34), with
those of "baseline", which it includes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
}
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
HOOKS = ("livenessProbe", "readinessProbe", "startupProbe")


def pod_specs(value: Any) -> Iterator[Mapping[str, Any]]:
    """The spec of each pod in a document, wherever it stands: also KServe's predictor."""
    if isinstance(value, list):
        for one in value:
            yield from pod_specs(one)
    if not isinstance(value, dict):
        return
    predictor = value.get("predictor")
    if isinstance(predictor, dict):
        yield {**predictor, "containers": [predictor["model"]]}
    if isinstance(value.get("containers"), list):
        yield value
        return
    for one in value.values():
        yield from pod_specs(one)


def violations(pod: Mapping[str, Any]) -> list[str]:
    """What "restricted" would refuse of a pod's spec."""
    found = [f"{key} is on" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    for volume in pod.get("volumes", []):
        found += [f"volume of kind {kind}" for kind in volume.keys() - VOLUMES - {"name"}]
    whole = pod.get("securityContext", {})
    found += [
        f"sysctl {one['name']}" for one in whole.get("sysctls", []) if one["name"] not in SYSCTLS
    ]
    found += _of_any_context("pod", whole)
    for kind in CONTAINERS:
        for container in pod.get(kind, []):
            own = container.get("securityContext", {})
            name = container.get("name", kind)
            found += [f"{name}: {text}" for text in _of_container(container, own, whole)]
            found += _of_any_context(name, own)
    return found


def _of_any_context(name: str, context: Mapping[str, Any]) -> Iterator[str]:
    """What may stand on a pod as well as on a container."""
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield f"{name}: a process of the host"
    if context.get("runAsUser") == 0:
        yield f"{name}: runs as root"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type", "") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{name}: SELinux options"
    for profile in ("seccompProfile", "appArmorProfile"):
        if context.get(profile, {}).get("type") not in (None, "RuntimeDefault", "Localhost"):
            yield f"{name}: {profile}"


def _of_container(
    container: Mapping[str, Any], own: Mapping[str, Any], whole: Mapping[str, Any]
) -> Iterator[str]:
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "privilege escalation is not off"
    if own.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True:
        yield "may run as root"
    if not (own.get("seccompProfile") or whole.get("seccompProfile")):
        yield "no seccomp profile"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield "keeps capabilities"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "adds capabilities"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "a port of the host"
    hooks = [container.get(kind, {}) for kind in HOOKS]
    hooks += container.get("lifecycle", {}).values()
    if any(hook.get(way, {}).get("host") for hook in hooks for way in ("httpGet", "tcpSocket")):
        yield "a probe of another host"
