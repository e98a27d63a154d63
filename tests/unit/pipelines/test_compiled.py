"""The compiled pipeline, read back: what a Kubeflow server would be given."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gtrans.components.image import IMAGE
from gtrans.pipelines.gates import load_gate
from gtrans.pipelines.graphs.compile import COMPILED, PIPELINES, compile_all, compiled
from gtrans.pipelines.graphs.display_names import DISPLAY_NAMES
from gtrans.pipelines.profiles import known_profiles, load_profile
from gtrans_core.config import GTransConfig
from gtrans_core.steps.names import CATEGORY_STEPS

pytestmark = pytest.mark.usefixtures("quick_kubeflow")

RUN = {"run_key", "category", "store", "tracking_uri", "experiment"}
PLACEMENT = {
    "node_selector": {},
    "tolerations": [],
    "accelerator_node_selector": {},
    "accelerator_tolerations": [],
}
NUMBERS = {"seed": -1, "epochs": -1, "image_size": -1}
KNOBS = {**NUMBERS, "effort": ""}
PARAMETERS = {
    "ingest": RUN | {"source", "config", *KNOBS},
    "cache-features": RUN | {"config", "cache_store"},
    "train": RUN | {"config"},
    "evaluate": RUN | {"config", "gate", "data_digest"},
    "register": RUN | {"gate", "unsigned_models"},
}
ARTIFACTS = {
    "ingest": {},
    "cache-features": {"train_data": ("ingest", "train_data")},
    "train": {"features": ("cache-features", "features")},
    "evaluate": {
        "model": ("train", "model"),
        "features": ("cache-features", "features"),
        "train_data": ("ingest", "train_data"),
        "test_data": ("ingest", "test_data"),
    },
    "register": {
        "detector": ("evaluate", "detector"),
        "evaluation": ("evaluate", "evaluation"),
    },
}
OUTPUTS = {
    "ingest": {"train_data": "system.Dataset", "test_data": "system.Dataset"},
    "cache-features": {"features": "system.Artifact"},
    "train": {"model": "system.Model"},
    "evaluate": {
        "metrics": "system.Metrics",
        "classification": "system.ClassificationMetrics",
        "headline": "system.Markdown",
        "report": "system.HTML",
        "detector": "system.Model",
        "evaluation": "system.Artifact",
    },
    "register": {},
}


@pytest.fixture(scope="module")
def text() -> str:
    return compiled("category", load_profile("local"))


@pytest.fixture(scope="module")
def spec(text: str) -> dict[str, Any]:
    return yaml.safe_load(text)


@pytest.fixture(scope="module")
def tasks(spec: dict[str, Any]) -> dict[str, Any]:
    return spec["root"]["dag"]["tasks"]


def test_the_committed_yaml_is_fresh_and_compiling_gives_the_same_bytes(tmp_path: Path):
    names = [path.relative_to(tmp_path) for path in compile_all(tmp_path)]
    assert sorted(names) == sorted(p.relative_to(COMPILED) for p in COMPILED.glob("*/*"))
    assert len(names) == len(PIPELINES) * len(known_profiles())
    for name in names:
        fresh, committed = (tmp_path / name).read_text(), (COMPILED / name).read_text()
        assert fresh == committed, f"{name} is stale: run `make compile` and commit"


@pytest.mark.parametrize("path", sorted(COMPILED.glob("*/*.yaml")), ids=str)
def test_it_is_ascii_and_names_no_machine(path: Path):
    text = path.read_text(encoding="ascii")
    checkout = Path(__file__).resolve().parents[3]
    for place in (str(checkout), str(Path.home()), "http://", "https://", "localhost"):
        assert place not in text


def test_the_steps_are_the_five_and_the_local_runner_knows_them(tasks: dict[str, Any]):
    assert set(tasks) == {step.replace("_", "-") for step in CATEGORY_STEPS}


def test_parameters_and_defaults(spec: dict[str, Any]):
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) == {
        "category",
        "source",
        "config",
        "store",
        "cache_store",
        "tracking_uri",
        "experiment",
        "gate",
        "unsigned_models",
        *KNOBS,
        *PLACEMENT,
    }
    types = {"node_selector": "STRUCT", "tolerations": "LIST"}
    types |= dict.fromkeys(NUMBERS, "NUMBER_INTEGER")
    for name, value in parameters.items():
        assert value["parameterType"] == types.get(name.removeprefix("accelerator_"), "STRING")
    assert all(value["description"] for value in parameters.values())
    defaults = {k: v["defaultValue"] for k, v in parameters.items() if "defaultValue" in v}
    assert defaults == {
        "cache_store": "",
        "config": GTransConfig().to_json(),
        "experiment": "gtrans",
        "gate": load_gate().to_json(),
        "unsigned_models": "refuse",
        **KNOBS,
        **PLACEMENT,
    }
    assert GTransConfig.from_json(defaults["config"]) == GTransConfig()


@pytest.mark.parametrize("task", PARAMETERS)
def test_wiring_of_artifacts(tasks: dict[str, Any], task: str):
    wired = {
        name: (
            source["taskOutputArtifact"]["producerTask"],
            source["taskOutputArtifact"]["outputArtifactKey"],
        )
        for name, source in tasks[task]["inputs"].get("artifacts", {}).items()
    }
    assert wired == ARTIFACTS[task]
    producers = {producer for producer, _ in wired.values()}
    assert producers <= set(tasks[task].get("dependentTasks", []))


@pytest.mark.parametrize("task", PARAMETERS)
def test_wiring_of_parameters(tasks: dict[str, Any], task: str):
    inputs = tasks[task]["inputs"]["parameters"]
    assert set(inputs) == PARAMETERS[task]
    assert inputs["run_key"] == {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}}
    of_ingest = {"data_digest", *(["config"] if task != "ingest" else [])} & inputs.keys()
    for name in inputs.keys() - {"run_key", *of_ingest}:
        assert inputs[name] == {"componentInputParameter": name}
    for name in of_ingest:
        output = {"producerTask": "ingest", "outputParameterKey": name}
        assert inputs[name] == {"taskOutputParameter": output}


@pytest.mark.parametrize("path", sorted(COMPILED.glob("*/*.yaml")), ids=str)
def test_every_input_output_and_step_says_what_it_is(path: Path):
    spec = next(yaml.safe_load_all(path.read_text()))
    components = [c for c in spec["components"].values() if "executorLabel" in c]
    assert components
    for component in components:
        for part in ("inputDefinitions", "outputDefinitions"):
            for definitions in component.get(part, {}).values():
                for name, definition in definitions.items():
                    assert definition.get("description"), f"{component['executorLabel']} {name}"
    graphs = [spec["root"], *(c for c in spec["components"].values() if "dag" in c)]
    named = {
        task["taskInfo"]["name"] for graph in graphs for task in graph["dag"]["tasks"].values()
    }
    steps = {label.removeprefix("exec-") for label in spec["deploymentSpec"]["executors"]}
    assert {DISPLAY_NAMES[step.replace("-", "_")] for step in steps} <= named


@pytest.mark.parametrize("task", PARAMETERS)
def test_types_of_output_artifacts(spec: dict[str, Any], task: str):
    outputs = spec["components"][f"comp-{task}"]["outputDefinitions"].get("artifacts", {})
    types = {name: output["artifactType"]["schemaTitle"] for name, output in outputs.items()}
    assert types == OUTPUTS[task]


def test_only_evaluate_is_given_the_test_split(tasks: dict[str, Any]):
    """Nothing that is learned, cached or chosen can have seen it."""
    assert readers_of(tasks, "ingest", "test_data") == {"evaluate"}


def test_nothing_that_saw_the_test_split_flows_back(tasks: dict[str, Any]):
    after_test = {
        task for task, content in tasks.items() if "evaluate" in content.get("dependentTasks", [])
    }
    assert after_test == {"register"}


@pytest.mark.parametrize("task", PARAMETERS)
def test_every_executor_is_our_image_and_installs_nothing(spec: dict[str, Any], task: str):
    container = spec["deploymentSpec"]["executors"][f"exec-{task}"]["container"]
    assert container["image"] == IMAGE
    assert "pip install" not in json.dumps(container["command"])


@pytest.mark.parametrize("task", PARAMETERS)
def test_kubeflow_never_answers_from_its_own_cache(tasks: dict[str, Any], task: str):
    assert tasks[task]["cachingOptions"] == {}


def test_the_drift_pipeline_is_one_task_that_is_asked_anew_each_time():
    spec = yaml.safe_load(compiled("drift", load_profile("local")))
    [(name, task)] = spec["root"]["dag"]["tasks"].items()
    assert name == "check-drift"
    assert task["cachingOptions"] == {}
    assert set(task["inputs"]["parameters"]) == RUN | {
        "since",
        "alpha",
        "defect_share",
        "fail_on_drift",
    }
    container = spec["deploymentSpec"]["executors"]["exec-check-drift"]["container"]
    assert container["image"] == IMAGE
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    defaults = {k: v["defaultValue"] for k, v in parameters.items() if "defaultValue" in v}
    assert defaults == {
        "since": "7d",
        "alpha": 0.01,
        "defect_share": 0.05,
        "fail_on_drift": True,
        "experiment": "gtrans",
        **PLACEMENT,
    }


def readers_of(tasks: dict[str, Any], producer: str, key: str) -> set[str]:
    wanted = {"producerTask": producer, "outputArtifactKey": key}
    return {
        task
        for task, content in tasks.items()
        for source in content["inputs"].get("artifacts", {}).values()
        if source.get("taskOutputArtifact") == wanted
    }
