"""Every pod that we render passes the profile "restricted", by its own rules."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from gtrans.pipelines.graphs.compile import COMPILED
from tests.support.pod_security import pod_specs, violations
from tests.unit.infra.test_kubernetes import KUBERNETES, RENDERED, RENDERED_SERVING, objects

SOUND = yaml.safe_load("""
securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
volumes: [{name: a, emptyDir: {}}]
containers:
- name: c
  ports: [{containerPort: 1}]
  livenessProbe: {httpGet: {port: 1}}
  securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
""")
WRONG: dict[str, Callable[[dict], object]] = {
    "hostNetwork": lambda pod: pod.update(hostNetwork=True),
    "hostPID": lambda pod: pod.update(hostPID=True),
    "hostIPC": lambda pod: pod.update(hostIPC=True),
    "volume": lambda pod: pod["volumes"].append({"name": "b", "hostPath": {"path": "/"}}),
    "sysctl": lambda pod: pod["securityContext"].update(sysctls=[{"name": "kernel.msgmax"}]),
    "runs as root": lambda pod: pod["securityContext"].update(runAsUser=0),
    "may run as root": lambda pod: pod["securityContext"].pop("runAsNonRoot"),
    "no seccomp": lambda pod: pod["securityContext"].pop("seccompProfile"),
    "seccompProfile": lambda pod: first(pod).update(seccompProfile={"type": "Unconfined"}),
    "appArmorProfile": lambda pod: first(pod).update(appArmorProfile={"type": "Unconfined"}),
    "SELinux": lambda pod: first(pod).update(seLinuxOptions={"type": "spc_t"}),
    "of the host": lambda pod: first(pod).update(windowsOptions={"hostProcess": True}),
    "privileged": lambda pod: first(pod).update(privileged=True),
    "escalation": lambda pod: first(pod).pop("allowPrivilegeEscalation"),
    "keeps capabilities": lambda pod: first(pod).pop("capabilities"),
    "adds capabilities": lambda pod: first(pod)["capabilities"].update(add=["SYS_ADMIN"]),
    "procMount": lambda pod: first(pod).update(procMount="Unmasked"),
    "port of the host": lambda pod: pod["containers"][0]["ports"][0].update(hostPort=1),
    "another host": lambda pod: pod["containers"][0]["livenessProbe"]["httpGet"].update(host="h"),
}


def first(pod: Mapping[str, Any]) -> dict:
    context: dict = pod["containers"][0]["securityContext"]
    return context


def test_a_pod_that_keeps_the_rules_has_no_violation():
    assert violations(SOUND) == []


@pytest.mark.parametrize("rule", WRONG)
def test_each_rule_is_told(rule: str):
    pod = copy.deepcopy(SOUND)
    WRONG[rule](pod)
    [told] = violations(pod)
    assert rule in told
    assert list(pod_specs([{"spec": {"template": {"spec": pod}}}])) == [pod]


@pytest.mark.parametrize("folder", RENDERED)
def test_what_kustomize_renders(folder: str):
    found = list(pod_specs(objects(folder)))
    assert bool(found) == folder.startswith("overlays")
    for pod in found:
        assert violations(pod) == []


@pytest.mark.parametrize("file", RENDERED_SERVING, ids=lambda file: file.stem)
def test_what_serve_kserve_and_deployment_render(file):
    """The committed files are what is rendered (tests/unit/serving/test_manifests.py)."""
    found = list(pod_specs(list(yaml.safe_load_all(file.read_text()))))
    assert found
    for pod in found:
        assert violations(pod) == []


def test_no_other_file_holds_a_pod():
    of_kustomize = {"overlays", "base", "postgresql", "seaweedfs"}
    for file in KUBERNETES.rglob("*.yaml"):
        holds = any(pod_specs(list(yaml.safe_load_all(file.read_text()))))
        known = file in RENDERED_SERVING or file.relative_to(KUBERNETES).parts[0] in of_kustomize
        assert known or not holds, file


@pytest.mark.parametrize("file", sorted(COMPILED.glob("cluster-*/*.yaml")), ids=str)
def test_the_steps_of_compiled_pipelines(file):
    """What a pipeline may say of it; Kubeflow makes the rest of each pod's security context."""
    ir, platforms = yaml.safe_load_all(file.read_text())
    pods = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert pods.keys() == ir["deploymentSpec"]["executors"].keys()
    for pod in pods.values():
        assert pod["securityContext"] == {"runAsNonRoot": True}
        assert not {key for key in pod if "host" in key.lower() or "privileged" in key.lower()}
