"""The packaged model in MLServer (KServe's runtime of MLflow models), over the v2 protocol.

MLServer wants an older FastAPI than GTrans: it gets an environment of its own, from the model's
own requirements.txt.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import gtrans_core
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import detector_digest
from gtrans_core.tracking.registry.model import package
from tests.support.bytecode import share_bytecode

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SOURCES = Path(gtrans_core.__file__).parents[1]
MLSERVER = ("mlserver==1.7.1", "mlserver-mlflow==1.7.1")


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


@pytest.fixture(scope="module")
def packaged(detector_folder, png, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("packaged") / "model"
    package(detector_folder, png, folder)
    return folder


@pytest.fixture(scope="module")
def mlserver(packaged, tmp_path_factory) -> Iterator[Path]:
    """MLServer's program, in an environment that is removed afterwards."""
    uv = SOURCES / ".tools/bin/uv"
    found = str(uv) if uv.exists() else shutil.which("uv")
    if os.environ.get("GTRANS_TEST_INSTALL") != "1" or found is None:
        pytest.skip("MLServer is not installed; GTRANS_TEST_INSTALL=1 installs it (with uv)")
    home = tmp_path_factory.mktemp("mlserver") / "venv"
    requirements = ["--requirements", packaged / "requirements.txt"]
    for command in (
        [found, "venv", "--python", "3.11", home],
        [found, "pip", "install", "--python", home / "bin/python", *MLSERVER, *requirements],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    share_bytecode(home)
    yield home / "bin/mlserver"
    shutil.rmtree(home)  # gigabytes


@pytest.fixture(scope="module")
def start(mlserver, packaged, processes, tmp_path_factory) -> Callable:
    """``start(digest)``: MLServer as KServe starts it; gives its address."""

    @contextmanager
    def started(digest: str) -> Iterator[str]:
        ports = {name: str(processes.free_port()) for name in ("HTTP", "GRPC", "METRICS")}
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path_factory.mktemp("home")),
            "OMP_NUM_THREADS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLSERVER_MODEL_NAME": "gtrans-bottle",
            "MLSERVER_MODEL_URI": str(packaged),
            # KServe sets this; the model's own runtime takes its place.
            "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_mlflow.MLflowRuntime",
            "MLSERVER_PARALLEL_WORKERS": "0",
            "MLSERVER_DEBUG": "false",
            "MLSERVER_HOST": "127.0.0.1",
            "GTRANS_MODEL_DIGEST": digest,
            "GTRANS_UNSIGNED_MODELS": "allow",
            **{f"MLSERVER_{name}_PORT": port for name, port in ports.items()},
        }
        url = f"http://127.0.0.1:{ports['HTTP']}/v2/models/gtrans-bottle"
        folder = tmp_path_factory.mktemp("run")
        command = [mlserver, "start", packaged]
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )
        with processes.serving(process, folder, f"{url}/ready"):
            yield url

    return started


@pytest.fixture(scope="module")
def endpoint(start, detector_folder) -> Iterator[str]:
    with start(detector_digest(detector_folder)) as url:
        yield f"{url}/infer"


def test_one_signature_scores_as_everywhere(endpoint, detector_folder, png):
    text = base64.b64encode(png).decode()
    answer = infer(endpoint, [text, text], return_map=True)
    assert answer.status == 200, answer
    outputs = {output["name"]: output["data"] for output in answer.body["outputs"]}
    [expected] = Detector.load(detector_folder).predict_bytes([png])
    assert outputs["score"] == pytest.approx([expected.score] * 2, rel=1e-6)
    assert outputs["is_anomalous"] == [expected.is_anomalous] * 2
    drawn = Image.open(io.BytesIO(base64.b64decode(outputs["heat_map_png"][0])))
    assert (drawn.format, drawn.size) == ("PNG", (64, 64))


def test_bad_input_is_told_and_the_server_stays_up(endpoint, png):
    text = base64.b64encode(png).decode()
    for images, reason in [
        (["bm8gaW1hZ2U="], "image 1: not a PNG"),
        ([text, base64.b64encode(png[:500]).decode()], "image 2: damaged or cut short"),
        ([text] * 200, "200 images in one request"),
        ([], "0 images in one request"),
    ]:
        answer = infer(endpoint, images)
        assert answer.status == 400, (reason, answer)
        assert reason in answer.body["error"]
    assert infer(endpoint, [text]).status == 200


def test_what_mlflow_and_mlserver_refuse_is_told_too(endpoint, png):
    text = base64.b64encode(png).decode()
    for request, reason in [
        ({"images": [text], "column": "picture"}, "Model is missing inputs ['image']"),
        ({"images": [1], "datatype": "INT64", "kind": "np"}, "column image. Can not safely"),
        ({"images": [text], "return_map": "perhaps"}, "'return_map'"),
        ({"images": ["\u00e9"]}, "the inputs cannot be decoded"),
    ]:
        answer = infer(endpoint, **request)
        assert answer.status == 400, (reason, answer)
        assert reason in answer.body["error"]
        assert "\n" not in answer.body["error"]
    assert infer(endpoint, [text]).status == 200


def test_a_model_that_is_not_the_one_asked_for_does_not_start(start):
    with pytest.raises(AssertionError, match="its digest is not GTRANS_MODEL_DIGEST"), start("0"):
        pass


def infer(
    url: str,
    images: list[Any],
    column: str = "image",
    datatype: str = "BYTES",
    kind: str = "base64",
    **parameters: Any,
) -> Answer:
    column_of_images = {
        "name": column,
        "shape": [len(images), 1],
        "datatype": datatype,
        "parameters": {"content_type": kind},
        "data": images,
    }
    body = json.dumps({"inputs": [column_of_images], "parameters": parameters}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return Answer(response.status, json.load(response))
    except urllib.error.HTTPError as error:
        text = error.read()
        kind = error.headers.get("Content-Type", "")
        return Answer(error.code, json.loads(text) if "json" in kind else text)
