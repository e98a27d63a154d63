"""infra/kubernetes as kustomize renders it: schemas, and what else a server would refuse."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kfp.pipeline_spec import pipeline_spec_pb2

from gtrans.pipelines.profiles import load_profile
from gtrans_core.steps.names import ALL_STEPS

ROOT = Path(__file__).resolve().parents[3]
KUBERNETES = ROOT / "infra" / "kubernetes"
SERVING = "serving-namespace"
RENDERED = ("overlays/dev", "overlays/prod", "pipelines", SERVING)
OVERLAYS = RENDERED[:2]
QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGT]|[KMGT]i)?")
FIXED_IMAGE = re.compile(r"[a-z0-9./-]+@sha256:[0-9a-f]{64}")
ROLES = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
RENDERED_SERVING = (
    KUBERNETES / "serving" / "deployment.yaml",
    KUBERNETES / "serving" / "inferenceservice.yaml",
)
WORKLOADS = ("Deployment", "StatefulSet")


@cache
def objects(folder: str) -> list[dict]:
    kubectl = Path(sys.executable).with_name("kubectl")
    command = [str(kubectl), "kustomize", str(KUBERNETES / folder)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return list(yaml.safe_load_all(rendered))


def of_kind(folder: str, *kinds: str) -> list[dict]:
    return [found for found in objects(folder) if found["kind"] in kinds]


def names(folder: str, kind: str) -> set[str]:
    return {found["metadata"]["name"] for found in of_kind(folder, kind)}


def pods(folder: str) -> Iterator[tuple[dict, dict]]:
    for workload in of_kind(folder, *WORKLOADS):
        yield workload, workload["spec"]["template"]


def containers(folder: str) -> list[dict]:
    found = []
    for _, template in pods(folder):
        found += template["spec"].get("initContainers", []) + template["spec"]["containers"]
    return found


@pytest.mark.parametrize("folder", RENDERED)
def test_the_schemas_of_kubernetes(folder: str):
    assert objects(folder)
    for found in objects(folder):
        kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)


def test_a_wrong_object_would_be_noticed():
    [deployment] = of_kind("overlays/prod", "Deployment")
    wrong = {**deployment, "spec": {**deployment["spec"], "replica": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


def test_what_an_overlay_runs():
    assert {w["metadata"]["name"] for w in of_kind("overlays/prod", *WORKLOADS)} == {"mlflow"}
    dev = {w["metadata"]["name"] for w in of_kind("overlays/dev", *WORKLOADS)}
    assert dev == {"mlflow", "postgresql", "seaweedfs"}


@pytest.mark.parametrize("folder", OVERLAYS)
class TestOverlay:
    def test_every_object_is_in_the_namespace_and_there_is_one_of_each(self, folder: str):
        found = [(o["kind"], o["metadata"]["name"]) for o in objects(folder)]
        assert len(found) == len(set(found))
        spaces = {
            o["metadata"].get("namespace") for o in objects(folder) if o["kind"] != "Namespace"
        }
        assert spaces == {"gtrans"} == names(folder, "Namespace")

    def test_images_are_fixed(self, folder: str):
        assert containers(folder)
        for container in containers(folder):
            assert FIXED_IMAGE.fullmatch(container["image"]), container["image"]

    def test_restricted_pod_security(self, folder: str):
        [namespace] = of_kind(folder, "Namespace")
        labels = namespace["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        for _, template in pods(folder):
            security = template["spec"]["securityContext"]
            assert security["runAsNonRoot"] is True
            assert security.get("runAsUser") != 0
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}
            assert template["spec"]["automountServiceAccountToken"] is False
            assert not {"hostNetwork", "hostPID", "hostIPC"} & template["spec"].keys()
        for container in containers(folder):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }

    def test_requests_and_limits(self, folder: str):
        for container in containers(folder):
            for kind in ("requests", "limits"):
                amounts = container["resources"][kind]
                assert amounts.keys() == {"cpu", "memory", "ephemeral-storage"}
                for amount in amounts.values():
                    assert isinstance(amount, str)
                    assert QUANTITY.fullmatch(amount)
            request, limit = (
                in_bytes(container["resources"][k]["memory"]) for k in ("requests", "limits")
            )
            assert request <= limit
        for _, template in pods(folder):
            for volume in template["spec"]["volumes"]:
                if "emptyDir" in volume:
                    assert QUANTITY.fullmatch(volume["emptyDir"]["sizeLimit"])

    def test_mounts_have_volumes_and_volumes_have_sources(self, folder: str):
        for workload, template in pods(folder):
            claims = workload["spec"].get("volumeClaimTemplates", [])
            volumes = {v["name"] for v in template["spec"]["volumes"]}
            volumes |= {claim["metadata"]["name"] for claim in claims}
            mounted = set()
            for container in (
                template["spec"].get("initContainers", []) + template["spec"]["containers"]
            ):
                paths = [mount["mountPath"] for mount in container["volumeMounts"]]
                assert len(paths) == len(set(paths))
                mounted |= {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == volumes
            maps = {v["configMap"]["name"] for v in template["spec"]["volumes"] if "configMap" in v}
            assert maps <= names(folder, "ConfigMap")

    def test_selectors_find_pods_and_ports_have_names(self, folder: str):
        templates = [template for _, template in pods(folder)]
        for workload, template in pods(folder):
            wanted = workload["spec"]["selector"]["matchLabels"]
            assert wanted.items() <= template["metadata"]["labels"].items()
        for service in of_kind(folder, "Service"):
            [chosen] = selected(templates, service["spec"]["selector"])
            targets = {port["targetPort"] for port in service["spec"]["ports"]}
            assert targets <= port_names(chosen)
        for workload in of_kind(folder, "StatefulSet"):
            assert workload["spec"]["serviceName"] in names(folder, "Service")
        for template in templates:
            for container in template["spec"]["containers"]:
                probes = [
                    container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")
                ]
                asked = {probe["httpGet"]["port"] for probe in probes if "httpGet" in probe}
                assert asked <= port_names(template)

    def test_policies_begin_with_nobody_and_then_name_pods_and_ports_that_exist(self, folder: str):
        policies = {p["metadata"]["name"]: p["spec"] for p in of_kind(folder, "NetworkPolicy")}
        assert policies.pop("nobody") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        templates = [template for _, template in pods(folder)]
        for spec in policies.values():
            guarded = selected(templates, spec["podSelector"].get("matchLabels", {}))
            assert guarded
            if "Ingress" in spec["policyTypes"]:
                ports = {p["port"] for rule in spec["ingress"] for p in rule["ports"]}
                assert ports <= set.union(*map(port_names, guarded))
            for rule in spec.get("egress", []):
                for to in rule["to"]:
                    labels = to.get("podSelector", {}).get("matchLabels")
                    assert labels is None or selected(templates, labels)
        for workload in of_kind(folder, *WORKLOADS):
            labels = workload["spec"]["template"]["metadata"]["labels"]
            chosen = [spec["podSelector"].get("matchLabels") for spec in policies.values()]
            assert any(wanted and wanted.items() <= labels.items() for wanted in chosen)

    def test_settings_and_secrets_are_there_by_name(self, folder: str):
        example = example_keys("mlflow-server")
        settings = {m["metadata"]["name"]: m["data"] for m in of_kind(folder, "ConfigMap")}
        for container in containers(folder):
            for source in container.get("envFrom", []):
                if "configMapRef" in source:
                    assert source["configMapRef"]["name"] in settings
                else:
                    assert source["secretRef"]["name"] == "mlflow-server"
            for variable in container.get("env", []):
                chosen = variable.get("valueFrom", {})
                if "secretKeyRef" in chosen:
                    assert chosen["secretKeyRef"]["name"] == "mlflow-server"
                    assert chosen["secretKeyRef"]["key"] in example
                if "configMapKeyRef" in chosen:
                    asked = chosen["configMapKeyRef"]
                    assert asked["key"] in settings[asked["name"]]

    def test_no_secret_is_in_what_is_committed(self, folder: str):
        assert not of_kind(folder, "Secret")
        for container in containers(folder):
            plain = {v["name"] for v in container.get("env", []) if "value" in v}
            assert not {n for n in plain if re.search("PASSWORD|SECRET|KEY", n)}
            words = " ".join(container.get("command", []) + container.get("args", []))
            assert not re.search(r"://[^/\s]*:[^/\s]*@", words)

    def test_mlflow_answers_to_the_names_that_its_clients_use(self, folder: str):
        [mlflow] = [c for c in containers(folder) if c["name"] == "mlflow"]
        env = {v["name"]: v.get("value") for v in mlflow["env"]}
        hosts = env["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
        serving = (KUBERNETES / "serving" / "deployment.yaml").read_text()
        used = re.search(r'tracking_uri = "http://([^"]+)"', serving)
        assert used is not None
        assert used[1] in hosts
        assert env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
        assert "--workers=1" in mlflow["args"]


class TestServingNamespace:
    """Who may create a Deployment may mount any Secret of its namespace: here are its own two."""

    def test_the_only_role_is_here_and_bound(self):
        assert not [role for folder in OVERLAYS for role in of_kind(folder, *ROLES)]
        [role], [binding] = of_kind(SERVING, "Role"), of_kind(SERVING, "RoleBinding")
        [account], [subject] = of_kind(SERVING, "ServiceAccount"), binding["subjects"]
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert subject["name"] == account["metadata"]["name"]
        assert subject["namespace"] == "gtrans-serving"
        assert account["automountServiceAccountToken"] is False

    def test_no_other_secret_lies_where_the_role_covers(self):
        spaces = {o["metadata"].get("namespace") for o in objects(SERVING)} - {None}
        assert spaces == {"gtrans-serving"} == names(SERVING, "Namespace")
        assert not of_kind(SERVING, "Secret")
        for folder in OVERLAYS:  # where the passwords of the servers are
            assert names(folder, "Namespace").isdisjoint(spaces)
        served = [one for file in RENDERED_SERVING for one in yaml.safe_load_all(file.read_text())]
        own = {"gtrans-mlflow", "gtrans-serve"}
        assert set(secrets_of(served)) == own
        docs = "\n".join(file.read_text() for file in (ROOT / "docs").rglob("*.md"))
        made = re.findall(r"-n(?:amespace)?[ =]gtrans-serving create secret generic (\S+)", docs)
        assert set(made) == own

    def test_what_may_be_changed_is_limited_by_name(self):
        [role] = of_kind(SERVING, "Role")
        rendered = {"deployments": "Deployment", "services": "Service", "configmaps": "ConfigMap"}
        named = {
            (one["kind"], one["metadata"]["name"])
            for one in yaml.safe_load_all((KUBERNETES / "serving/deployment.yaml").read_text())
        }
        for rule in role["rules"]:
            assert set(rule["resources"]) <= rendered.keys()
            if "resourceNames" in rule:
                assert rule["verbs"] == ["patch"]
                for kind in rule["resources"]:
                    assert {(rendered[kind], name) for name in rule["resourceNames"]} <= named
            else:
                assert set(rule["verbs"]) <= {"get", "list", "watch", "create"}

    def test_pods_are_restricted_and_talk_to_mlflow_only(self):
        [namespace] = of_kind(SERVING, "Namespace")
        labels = namespace["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        policies = {p["metadata"]["name"]: p["spec"] for p in of_kind(SERVING, "NetworkPolicy")}
        assert policies["nobody"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        serve = policies["gtrans-serve"]
        [wanted] = [serve["podSelector"]["matchLabels"]]
        for file in RENDERED_SERVING:
            for one in yaml.safe_load_all(file.read_text()):
                assert wanted.items() <= one["metadata"]["labels"].items()
        [rule] = serve["egress"]
        [target] = rule["to"]
        for folder in OVERLAYS:
            chosen = set(target["namespaceSelector"]["matchLabels"].values())
            assert chosen == names(folder, "Namespace")
            [mlflow] = selected([t for _, t in pods(folder)], target["podSelector"]["matchLabels"])
            opened = {p["containerPort"] for c in mlflow["spec"]["containers"] for p in c["ports"]}
            assert {port["port"] for port in rule["ports"]} <= opened
            [policy] = [
                p for p in of_kind(folder, "NetworkPolicy") if p["metadata"]["name"] == "mlflow"
            ]
            sources = [source for rule in policy["spec"]["ingress"] for source in rule["from"]]
            clients = [s["namespaceSelector"]["matchLabels"] for s in sources[1:]]
            assert any(client.items() <= labels.items() for client in clients)


class TestPipelines:
    """Kubeflow's launcher runs in each step's pod, and needs its service account's token."""

    def test_the_steps_account_may_read_two_objects_and_tell_argo_how_it_went(self):
        [role], [binding] = of_kind("pipelines", "Role"), of_kind("pipelines", "RoleBinding")
        [account] = names("pipelines", "ServiceAccount")
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert [subject["name"] for subject in binding["subjects"]] == [account]
        for name in ("cluster-cpu", "cluster-gpu"):
            profile = (ROOT / f"pipelines/profiles/{name}.toml").read_text()
            assert f'# service_account = "{account}"' in profile
        allowed = {
            resource: (set(rule["verbs"]), rule.get("resourceNames"))
            for rule in role["rules"]
            for resource in rule["resources"]
        }
        assert allowed.pop("secrets") == ({"get"}, ["mlpipeline-minio-artifact"])
        assert allowed.pop("configmaps") == ({"get"}, ["kfp-launcher"])
        assert allowed.pop("pods")[0] == {"get", "list", "watch"}
        assert all(resource.startswith("workflowtask") for resource in allowed)

    def test_the_namespace_limits_the_disk_since_a_pipeline_cannot(self):
        """Once Kubeflow can, this fails, and each step should say it itself."""
        spec = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec
        assert not [name for name in spec.DESCRIPTOR.fields_by_name if "ephemeral" in name]
        [limits] = of_kind("pipelines", "LimitRange")
        [container] = limits["spec"]["limits"]
        given = in_bytes(container["default"]["ephemeral-storage"])
        assert in_bytes(container["defaultRequest"]["ephemeral-storage"]) <= given
        for name in ("cluster-cpu", "cluster-gpu"):
            cluster = load_profile(name).require_cluster(name)
            assert all(in_bytes(cluster.of(step).scratch) < given for step in ALL_STEPS)


def secrets_of(value: Any) -> Iterator[str]:
    """Every Secret that an object names, wherever it does."""
    if isinstance(value, dict):
        for key, below in value.items():
            if key in ("secretRef", "secretKeyRef"):
                yield below["name"]
            elif key == "secretName":
                yield below
            yield from secrets_of(below)
    elif isinstance(value, list):
        for below in value:
            yield from secrets_of(below)


@pytest.mark.parametrize("name", ["mlflow-server", "gtrans-mlflow"])
def test_examples_of_secrets_hold_no_password(name: str):
    text = (KUBERNETES / f"{name}.example.env").read_text()
    given = dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
    assert {key for key, value in given.items() if value} <= {"MLFLOW_AUTH_ADMIN_USERNAME"}


def example_keys(name: str) -> set[str]:
    text = (KUBERNETES / f"{name}.example.env").read_text()
    return {line.partition("=")[0] for line in text.splitlines() if not line.startswith("#")}


def selected(templates: list[dict], labels: dict) -> list[dict]:
    return [t for t in templates if labels.items() <= t["metadata"]["labels"].items()]


def port_names(template: dict) -> set[str]:
    return {p["name"] for c in template["spec"]["containers"] for p in c["ports"]}


def in_bytes(quantity: str) -> int:
    units = {"Mi": 2**20, "Gi": 2**30}
    return int(quantity[:-2]) * units[quantity[-2:]]
