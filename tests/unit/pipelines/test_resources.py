"""What a profile says of a cluster, read back from both documents of the compiled YAML."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gtrans.components.image import IMAGE
from gtrans.pipelines.gates import load_gate
from gtrans.pipelines.graphs import parameters
from gtrans.pipelines.graphs.compile import compiled
from gtrans.pipelines.graphs.resources import SCRATCH, SHARED_MEMORY
from gtrans.pipelines.profiles import Profile, load_profile
from gtrans_core.config import GTransConfig, load_config
from gtrans_core.errors import ConfigError
from gtrans_core.steps.names import ALL_STEPS

pytestmark = pytest.mark.usefixtures("quick_kubeflow")

STEPS_POLICY = Path(__file__).parents[3] / "infra/kubernetes/pipelines/network-policies.yaml"
CPU, GPU = "cluster-cpu", "cluster-gpu"
ACCELERATED = {"train"}

PLANT = """
store = "/plant/gtrans"
cache_store = "s3://plant/caches"
tracking_uri = "https://mlflow.plant"
at_once = 7
[cluster]
image = "plant/gtrans-python@sha256:0123"
image_pull_secret = "plant-images"
env = { AWS_REGION = "eu-central-1" }
[cluster.volume]
claim = "plant"
mount = "/plant"
[[cluster.secrets]]
name = "plant-s3"
env = { id = "AWS_ACCESS_KEY_ID", key = "AWS_SECRET_ACCESS_KEY" }
[[cluster.secrets]]
name = "plant-key"
mount = "/keys"
steps = ["register"]
[cluster.steps.train]
cpu = "1500m"
memory = "3Gi"
scratch = "7Gi"
shared_memory = "512Mi"
accelerator = "amd.com/gpu"
accelerators = 2
retries = 3
kubeflow_cache = true
"""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    path = tmp_path_factory.mktemp("profiles") / "plant.toml"
    path.write_text(PLANT)
    return load_profile(str(path))


class Compiled:
    """The two documents, step by step."""

    def __init__(self, name: str, profile: Profile) -> None:
        self.ir, kubernetes = yaml.safe_load_all(compiled(name, profile))
        self._pods = kubernetes["platforms"]["kubernetes"]["deploymentSpec"]["executors"]

    def container(self, step: str) -> dict[str, Any]:
        label = f"exec-{step.replace('_', '-')}"
        return self.ir["deploymentSpec"]["executors"][label]["container"]

    def pod(self, step: str) -> dict[str, Any]:
        return self._pods[f"exec-{step.replace('_', '-')}"]

    def steps(self) -> set[str]:
        labels = self.ir["deploymentSpec"]["executors"]
        return {label.removeprefix("exec-").replace("-", "_") for label in labels}

    def task(self, step: str) -> dict[str, Any]:
        dags = [c["dag"] for c in self.ir["components"].values() if "dag" in c]
        for dag in (self.ir["root"]["dag"], *dags):
            if step.replace("_", "-") in dag["tasks"]:
                return dag["tasks"][step.replace("_", "-")]
        raise AssertionError(step)


@pytest.fixture(scope="module", params=[CPU, GPU])
def shipped(request: pytest.FixtureRequest) -> tuple[Profile, Compiled]:
    profile = load_profile(request.param)
    return profile, Compiled("categories", profile)


@pytest.fixture(scope="module", params=["category", "categories"])
def planted(request: pytest.FixtureRequest, plant: Profile) -> Compiled:
    return Compiled(request.param, plant)


def test_the_steps_one_can_equip_are_the_steps_there_are(plant: Profile):
    there = Compiled("categories", plant).steps() | Compiled("drift", plant).steps()
    assert there == set(ALL_STEPS)


def test_every_step_of_a_shipped_profile_has_its_resources(shipped: tuple[Profile, Compiled]):
    profile, yaml_ = shipped
    cluster = profile.require_cluster("shipped")
    for step in yaml_.steps():
        given, found = cluster.of(step), yaml_.container(step)["resources"]
        assert found["resourceCpuRequest"] == found["resourceCpuLimit"] == given.cpu
        assert found["resourceMemoryRequest"] == found["resourceMemoryLimit"] == given.memory
        scratch = {"mountPath": SCRATCH, "sizeLimit": given.scratch, "volumeName": "scratch"}
        assert scratch in yaml_.pod(step)["emptyDirMounts"]
        [volume] = yaml_.pod(step)["pvcMount"]
        assert (volume["constant"], volume["mountPath"]) == ("gtrans-store", "/gtrans-store")
        assert yaml_.task(step)["cachingOptions"] == {}
        assert yaml_.container(step)["image"] == IMAGE


def test_every_pod_is_restricted(shipped: tuple[Profile, Compiled]):
    """Kubeflow's backend adds the rest: no capability, no escalation, the default seccomp."""
    _, yaml_ = shipped
    policy = yaml.safe_load(STEPS_POLICY.read_text())
    for step in yaml_.steps():
        pod = yaml_.pod(step)
        assert pod["securityContext"] == {"runAsNonRoot": True}
        labels = pod["podMetadata"]["labels"]
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        limited = [mount for mount in pod["emptyDirMounts"] if "sizeLimit" in mount]
        assert limited == pod["emptyDirMounts"]
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert "ingress" not in policy["spec"]  # nobody


def test_accelerators_and_the_nodes_that_have_them(shipped: tuple[Profile, Compiled]):
    profile, yaml_ = shipped
    accelerated = ACCELERATED if profile == load_profile(GPU) else set()
    for step in yaml_.steps():
        prefix = "accelerator_" if step in accelerated else ""
        accelerator = yaml_.container(step)["resources"].get("accelerator")
        expected = {"resourceCount": "1", "resourceType": "nvidia.com/gpu"}
        if step in accelerated:
            assert accelerator is not None
            assert expected.items() <= accelerator.items()
        else:
            assert accelerator is None
        pod = yaml_.pod(step)
        # Names of run-time parameters: no label and no taint is compiled in.
        assert pod["nodeSelector"] == {
            "nodeSelectorJson": {"componentInputParameter": f"{prefix}node_selector"}
        }
        assert pod["tolerations"] == [
            {"tolerationJson": {"componentInputParameter": f"{prefix}tolerations"}}
        ]


def test_training_has_shared_memory_and_is_tried_again(shipped: tuple[Profile, Compiled]):
    profile, yaml_ = shipped
    given = profile.require_cluster("shipped").of("train")
    assert given.shared_memory
    assert {
        "mountPath": SHARED_MEMORY,
        "medium": "Memory",
        "sizeLimit": given.shared_memory,
        "volumeName": "shared-memory",
    } in yaml_.pod("train")["emptyDirMounts"]
    assert yaml_.task("train")["retryPolicy"]["maxRetryCount"] == given.retries > 0


def test_a_profile_of_ones_own(planted: Compiled):
    train = planted.container("train")
    assert train["image"] == "plant/gtrans-python@sha256:0123"
    assert train["env"] == [
        {"name": "AWS_REGION", "value": "eu-central-1"},
        {"name": "GTRANS_IMAGE_DIGEST", "value": "sha256:0123"},
    ]
    resources = train["resources"]
    assert (resources["resourceCpuLimit"], resources["resourceMemoryLimit"]) == ("1500m", "3Gi")
    assert resources["accelerator"]["resourceType"] == "amd.com/gpu"
    assert resources["accelerator"]["resourceCount"] == "2"
    assert planted.task("train")["cachingOptions"] == {"enableCache": True}
    assert planted.task("train")["retryPolicy"]["maxRetryCount"] == 3
    assert planted.container("ingest")["resources"]["resourceCpuLimit"] == "1"  # the default
    for step in planted.steps():
        pod = planted.pod(step)
        [volume] = pod["pvcMount"]
        assert (volume["constant"], volume["mountPath"]) == ("plant", "/plant")
        assert [secret["secretName"] for secret in pod["imagePullSecret"]] == ["plant-images"]
        [as_env] = pod["secretAsEnv"]
        assert as_env["secretName"] == "plant-s3"
        assert {pair["secretKey"]: pair["envVar"] for pair in as_env["keyToEnv"]} == {
            "id": "AWS_ACCESS_KEY_ID",
            "key": "AWS_SECRET_ACCESS_KEY",
        }
        assert ("secretAsVolume" in pod) == (step == "register")


def test_placement_reaches_every_category_of_the_fan_out(plant: Profile):
    """The nested pipeline's own inputs have the names that its pods refer to."""
    ir = Compiled("categories", plant).ir
    [loop] = [
        task
        for component in ir["components"].values()
        for task in component.get("dag", {}).get("tasks", {}).values()
        if "parameterIterator" in task
    ]
    assert loop["iteratorPolicy"] == {"parallelismLimit": 7}
    [nested] = ir["components"][loop["componentRef"]["name"]]["dag"]["tasks"].values()
    for name in (
        "node_selector",
        "tolerations",
        "accelerator_node_selector",
        "accelerator_tolerations",
    ):
        source = {"componentInputParameter": f"pipelinechannel--{name}"}
        assert nested["inputs"]["parameters"][name] == source
        inputs = ir["components"][nested["componentRef"]["name"]]["inputDefinitions"]["parameters"]
        assert name in inputs


def test_the_summary_runs_after_the_loop_whatever_happened_there(plant: Profile):
    tasks = Compiled("categories", plant).ir["root"]["dag"]["tasks"]
    assert set(tasks) == {"exit-handler-1", "summarize"}
    assert tasks["summarize"]["dependentTasks"] == ["exit-handler-1"]
    assert tasks["summarize"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}


def test_a_training_that_is_given_a_gpu_does_not_settle_for_less(plant: Profile):
    def device(place: Profile, asked: str = "auto") -> str:
        config = load_config(overrides=[f"training.device={asked}"])
        given = parameters.of_category(place, "bottle", "s3://plant/data", config, load_gate())
        return GTransConfig.from_json(given["config"]).training.device

    assert device(plant) == device(load_profile(GPU)) == "cuda"
    assert device(plant, "cpu") == "cpu"
    assert device(load_profile(CPU)) == "auto"
    cluster = plant.cluster.model_copy(update={"cpu_fallback": True})
    assert device(plant.model_copy(update={"cluster": cluster})) == "auto"


def test_the_shared_caches_are_a_parameter(plant: Profile):
    given = parameters.of_category(plant, "bottle", "demo", GTransConfig(), load_gate())
    assert given["cache_store"] == "s3://plant/caches"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[cluster.steps.trian]\ncpu = '1'", "names a step that is not there; there are ingest, "),
        ("[cluster.steps.train]\nmemory = '2 GB'", r"cluster\.steps\.train\.memory"),
        ("[cluster.steps.train]\ngpu = 1", r"cluster\.steps\.train\.gpu"),
        ("[[cluster.secrets]]\nname = 'Upper'", r"cluster\.secrets"),
        ("[cluster.volume]\nclaim = 'c'\nmount = '/other'", "must lie in cluster.volume.mount"),
        ("[cluster]\nimage = ''", "must lie in cluster.volume.mount"),
    ],
)
def test_a_mistake_in_a_profile_is_named(tmp_path: Path, text: str, message: str):
    path = tmp_path / "mine.toml"
    path.write_text(f'store = "/volume/store"\ntracking_uri = "https://m"\n{text}')
    with pytest.raises(ConfigError, match=message):
        load_profile(str(path))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ('store = "relative"\ntracking_uri = "https://m"', "absolute path in the pods"),
        ('store = "s3://b/p"\ntracking_uri = "https://m"', "absolute path in the pods"),
        ('store = "/b/p"\ntracking_uri = "sqlite:///m.db"', "address of an MLflow server"),
    ],
)
def test_pods_reach_store_and_record(tmp_path: Path, place: str, message: str):
    path = tmp_path / "mine.toml"
    path.write_text(f"{place}\n[cluster]\n")
    with pytest.raises(ConfigError, match=message):
        load_profile(str(path))


def test_this_machines_profile_is_told_from_a_clusters():
    with pytest.raises(ConfigError, match=r"local names no \[cluster\]"):
        load_profile("local").require_cluster("local")
