"""What a Kubernetes server would reject, asserted on the parsed YAML."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from gtrans.serving.manifests import (
    InferenceAsked,
    ServiceAsked,
    deployment,
    inference_service,
    kubernetes_name,
)
from gtrans_core.errors import ConfigError
from gtrans_core.tracking.registry.versions import ModelVersion
from gtrans_core.trust.keys import make_key_pair
from gtrans_core.trust.policy import TrustPolicy

IMAGE = "registry.example/gtrans@sha256:" + "a" * 64
MODEL = ModelVersion("gtrans-metal_nut", 3, "d" * 64, "mlflow-artifacts:/1/models/m-7/artifacts")
ANYBODY = TrustPolicy(unsigned="allow")
QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|M|G|Ki|Mi|Gi)?")
VERIFIER = "registry.example/gtrans@sha256:" + "b" * 64
COMMITTED = Path(__file__).parents[3] / "infra/kubernetes/serving"


def on_kserve(trust: TrustPolicy = ANYBODY, image: str = IMAGE, **changes: str) -> str:
    asked = {"verifier": VERIFIER, "tracking_uri": "https://mlflow.example", **changes}
    return inference_service(InferenceAsked("metal_nut", MODEL, image, trust=trust, **asked))


def service_of(text: str) -> dict:
    [found] = [one for one in yaml.safe_load_all(text) if one["kind"] == "InferenceService"]
    return found


@pytest.fixture(scope="module")
def objects() -> dict[str, dict]:
    asked = ServiceAsked(("bottle", "metal_nut"), IMAGE, "https://mlflow.example", ANYBODY)
    return {found["kind"]: found for found in yaml.safe_load_all(deployment(asked))}


class TestDeployment:
    def test_it_serves_the_categories_from_the_profile_that_is_mounted(self, objects):
        pod = objects["Deployment"]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert container["image"] == IMAGE
        assert container["command"] == ["gtrans", "serve"]
        assert container["args"][:2] == ["bottle", "metal_nut"]
        assert "--profile=/etc/gtrans/profile.toml" in container["args"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert set(mounts.values()) == set(volumes)
        assert volumes[mounts["/etc/gtrans"]]["configMap"]["name"] == name_of(objects["ConfigMap"])
        assert "emptyDir" in volumes[mounts["/tmp"]]  # noqa: S108 - the pod's
        assert {"name": "HOME", "value": "/tmp"} in container["env"]  # noqa: S108

    def test_the_profile_is_one(self, objects, tmp_path):
        from gtrans.pipelines.profiles import load_profile

        file = tmp_path / "profile.toml"
        file.write_text(objects["ConfigMap"]["data"]["profile.toml"])
        assert load_profile(str(file)).tracking_uri == "https://mlflow.example"

    def test_the_arguments_are_ones_that_serve_knows(self, objects):
        [container] = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
        params = knows("serve", container["args"])
        assert params["categories"] == ["bottle", "metal_nut"]
        assert (params["host"], params["port"]) == ("0.0.0.0", 8080)  # noqa: S104
        assert str(params["round_size"]) == container["resources"]["limits"]["cpu"]

    def test_champions_are_verified_before_the_service_starts(self, objects):
        pod = objects["Deployment"]["spec"]["template"]["spec"]
        [verify], [serve] = pod["initContainers"], pod["containers"]
        assert verify["image"] == serve["image"]
        assert verify["command"] == ["gtrans", "verify"]
        champions = ["models:/gtrans-bottle@champion", "models:/gtrans-metal_nut@champion"]
        assert verify["args"] == [*champions, "--profile=/etc/gtrans/profile.toml"]
        assert knows("verify", verify["args"])["what"] == champions
        assert verify["envFrom"] == serve["envFrom"]

    def test_selectors_ports_and_probes_meet(self, objects):
        spec = objects["Deployment"]["spec"]
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
        assert objects["Service"]["spec"]["selector"].items() <= labels.items()
        [container] = spec["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"http": 8080}
        assert [port["targetPort"] for port in objects["Service"]["spec"]["ports"]] == ["http"]
        probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("liveness", "readiness")}
        assert probes["liveness"] == {"path": "/healthz", "port": "http"}
        assert probes["readiness"] == {"path": "/readyz", "port": "http"}

    def test_quantities(self, objects):
        pod = objects["Deployment"]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        check_quantities(container["resources"])
        assert container["resources"]["limits"]["memory"] == "4Gi"
        assert QUANTITY.fullmatch(pod["volumes"][0]["emptyDir"]["sizeLimit"])

    def test_secrets_come_by_name(self, objects):
        [container] = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "gtrans-mlflow", "optional": True}}]

    def test_clients_show_a_token_that_comes_from_a_secret(self, objects):
        [container] = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
        [token] = [one for one in container["env"] if one["name"] == "GTRANS_SERVE_TOKEN"]
        assert token["valueFrom"] == {"secretKeyRef": {"name": "gtrans-serve", "key": "token"}}
        assert "--no-token" not in container["args"]
        asked = ServiceAsked(("nut",), IMAGE, "https://mlflow.example", ANYBODY, token_secret="")
        text = deployment(asked)
        assert "GTRANS_SERVE_TOKEN" not in text
        assert "--no-token" in text

    def test_a_registry_of_this_machine_is_refused(self):
        with pytest.raises(ConfigError, match="no pod can read this registry"):
            deployment(ServiceAsked(("bottle",), IMAGE, "sqlite:////store/mlflow.db", ANYBODY))


class TestTrust:
    @pytest.fixture
    def key(self, tmp_path: Path) -> Path:
        return make_key_pair(tmp_path / "keys")[1]

    def test_pods_of_the_deployment_verify_with_the_public_key(self, key, tmp_path):
        from gtrans.pipelines.profiles import load_profile

        asked = ServiceAsked(("bottle",), IMAGE, "https://mlflow.example", TrustPolicy(key))
        config_map, *_ = yaml.safe_load_all(deployment(asked))
        file = tmp_path / "profile.toml"
        file.write_text(config_map["data"]["profile.toml"])
        folder, name = load_profile(str(file)).public_key.rsplit("/", 1)
        assert folder == "/etc/gtrans"
        assert config_map["data"][name] == key.read_text()

    def test_pods_of_kserve_verify_with_the_public_key(self, key):
        config_map, service = yaml.safe_load_all(on_kserve(TrustPolicy(key)))
        predictor = service["spec"]["predictor"]
        volumes = {volume["name"]: volume for volume in predictor["volumes"]}
        [mount] = [m for m in predictor["model"]["volumeMounts"] if m["name"] == "profile"]
        assert volumes["profile"]["configMap"]["name"] == name_of(config_map)
        env = {entry["name"]: entry["value"] for entry in predictor["model"]["env"]}
        folder, name = env["GTRANS_PUBLIC_KEY"].rsplit("/", 1)
        assert folder == mount["mountPath"]
        assert config_map["data"][name] == key.read_text()
        assert "GTRANS_UNSIGNED_MODELS" not in env

    def test_unsigned_models_are_allowed_in_pods_only_where_the_profile_allows_them(self, objects):
        assert 'unsigned_models = "allow"' in objects["ConfigMap"]["data"]["profile.toml"]
        config_map, service = yaml.safe_load_all(on_kserve())
        assert 'unsigned_models = "allow"' in config_map["data"]["profile.toml"]
        env = service["spec"]["predictor"]["model"]["env"]
        assert {"name": "GTRANS_UNSIGNED_MODELS", "value": "allow"} in env

    def test_pods_that_would_refuse_every_model_are_not_rendered(self):
        nobody = TrustPolicy()
        with pytest.raises(ConfigError, match="no public key to verify them with"):
            deployment(ServiceAsked(("bottle",), IMAGE, "https://mlflow.example", nobody))
        with pytest.raises(ConfigError, match="no public key to verify them with"):
            on_kserve(nobody)


class TestInferenceService:
    def test_it_names_uri_version_and_digest(self):
        found = service_of(on_kserve())
        assert (found["apiVersion"], found["kind"]) == (
            "serving.kserve.io/v1beta1",
            "InferenceService",
        )
        assert name_of(found) == "gtrans-metal-nut"
        assert found["metadata"]["annotations"] == {
            "serving.kserve.io/deploymentMode": "RawDeployment",
            "gtrans/model-uri": "models:/gtrans-metal_nut/3",
            "gtrans/model-version": "3",
            "gtrans/model-digest": "d" * 64,
        }
        model = found["spec"]["predictor"]["model"]
        assert model["modelFormat"] == {"name": "mlflow"}
        assert model["protocolVersion"] == "v2"
        assert "storageUri" not in model
        assert model["image"] == IMAGE
        assert {"name": "GTRANS_MODEL_DIGEST", "value": "d" * 64} in model["env"]
        check_quantities(model["resources"])

    def test_the_digest_is_the_one_that_the_model_checks(self):
        from gtrans_core.tracking.registry.served_model import EXPECTED_DIGEST

        assert EXPECTED_DIGEST in on_kserve()

    def test_the_model_is_verified_before_mlserver_has_it(self):
        config_map, service = yaml.safe_load_all(on_kserve())
        predictor = service["spec"]["predictor"]
        [verify] = predictor["initContainers"]
        assert verify["image"] == VERIFIER
        assert verify["command"] == ["gtrans", "verify"]
        asked = knows("verify", verify["args"])
        assert asked["what"] == ["models:/gtrans-metal_nut/3"]
        assert asked["digest"] == "d" * 64
        mounts = {mount["mountPath"]: mount for mount in verify["volumeMounts"]}
        mounted = {mount["mountPath"]: mount for mount in predictor["model"]["volumeMounts"]}
        out = str(asked["out"])
        assert out == "/mnt/models"
        assert "readOnly" not in mounts[out]
        assert mounted[out] == {"name": "model", "mountPath": out, "readOnly": True}
        volumes = {volume["name"]: volume for volume in predictor["volumes"]}
        assert "emptyDir" in volumes["model"]
        assert volumes[mounts["/etc/gtrans"]["name"]]["configMap"]["name"] == name_of(config_map)
        assert asked["profile_name"] == "/etc/gtrans/profile.toml"

    def test_a_registry_of_this_machine_is_refused(self):
        with pytest.raises(ConfigError, match="no pod can read this registry"):
            on_kserve(tracking_uri="sqlite:////store/mlflow.db")


@pytest.mark.parametrize("image", ["gtrans", "gtrans:latest", "host:5000/gtrans", "g@latest"])
def test_an_image_that_may_change_is_refused(image):
    with pytest.raises(ConfigError, match=r"--image .* give a digest"):
        on_kserve(image=image)
    with pytest.raises(ConfigError, match=r"--verifier-image .* give a digest"):
        on_kserve(verifier=image)


@pytest.mark.parametrize("image", ["gtrans:0.1.0", "host:5000/gtrans:1", IMAGE])
def test_a_fixed_image_is_taken(image):
    assert service_of(on_kserve(image=image))["spec"]["predictor"]["model"]["image"] == image


def test_no_text_breaks_out_of_its_place():
    evil = 'https://mlflow.example/"\nkind: Evil #'
    config_map, service = yaml.safe_load_all(on_kserve(tracking_uri=evil))
    assert service["kind"] == "InferenceService"
    assert tomllib.loads(config_map["data"]["profile.toml"])["tracking_uri"] == evil


@pytest.mark.parametrize("rendered", ["deployment", "kserve"])
def test_restricted_pod_security(objects, rendered):
    """What the standard "restricted" asks for; also no token, a read-only root, disk limits."""
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    if rendered == "kserve":
        pod = service_of(on_kserve())["spec"]["predictor"]
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "emptyDir"}
    for container in [*pod["initContainers"], *pod.get("containers", [pod.get("model")])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
        check_quantities(container["resources"])


def test_names():
    assert kubernetes_name("gtrans-Metal_Nut.2") == "gtrans-metal-nut-2"
    assert len(kubernetes_name("x" * 99)) <= 63


def test_the_committed_examples_are_what_is_rendered():
    image = "registry.example/gtrans@sha256:" + "0" * 64
    signed = TrustPolicy(COMMITTED / "example-key.pub.pem")
    asked = ServiceAsked(("bottle",), image, "http://mlflow.gtrans.svc:5000", signed)
    assert (COMMITTED / "deployment.yaml").read_text() == deployment(asked)
    bottle = ModelVersion("gtrans-bottle", 3, "0" * 64, "mlflow-artifacts:/1/models/m-0/artifacts")
    mlserver = "registry.example/gtrans-mlserver@sha256:" + "0" * 64
    rendered = inference_service(
        InferenceAsked("bottle", bottle, mlserver, image, "http://mlflow.gtrans.svc:5000", signed)
    )
    assert (COMMITTED / "inferenceservice.yaml").read_text() == rendered


def knows(verb: str, arguments: list[str]) -> dict:
    """What a verb of ours makes of its arguments."""
    from typer.main import get_command

    from gtrans.cli.main import app

    context = get_command(app).commands[verb].make_context(verb, list(arguments))
    return {k: list(v) if isinstance(v, tuple) else v for k, v in context.params.items()}


def check_quantities(resources: dict) -> None:
    for kind in ("requests", "limits"):
        assert set(resources[kind]) == {"cpu", "memory", "ephemeral-storage"}
        for quantity in resources[kind].values():
            assert isinstance(quantity, str)
            assert QUANTITY.fullmatch(quantity)


def name_of(found: dict) -> str:
    return found["metadata"]["name"]
