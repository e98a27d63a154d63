"""The packaged model: complete, plain, loadable elsewhere, and served over JSON."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import gtrans_core
from gtrans_core.detector.detector import Detector
from gtrans_core.tracking.registry.model import REQUIREMENTS, package
from gtrans_core.trust.keys import PUBLIC_NAME, SigningKey, make_key_pair
from gtrans_core.trust.signature import sign_folder

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty_folder")]

SOURCES = Path(gtrans_core.__file__).parents[1]
OPTIONAL = ("boto3", "defusedxml", "email-validator", "python-multipart")
"""FastAPI, Pillow and securesystemslib import these where installed, as here, and do without."""


@dataclass
class Answer:
    status: int
    body: dict


class TestPackage:
    @pytest.fixture(scope="class")
    def packaged(self, detector_folder, png, tmp_path_factory) -> Path:
        folder = tmp_path_factory.mktemp("packaged") / "model"
        package(detector_folder, png, folder)
        private, _ = make_key_pair(folder.with_name("keys"))
        sign_folder(folder, SigningKey(private))
        return folder

    @pytest.fixture(scope="class")
    def public_key(self, packaged) -> str:
        return str(packaged.with_name("keys") / PUBLIC_NAME)

    def test_plain_files_only(self, packaged):
        names = {path.relative_to(packaged).as_posix() for path in packaged.rglob("*")}
        assert {"MLmodel", "artifacts/detector/detector.json"} <= names
        assert {"served_model.py", "code/gtrans_core/for_models.py", "requirements.txt"} <= names
        assert {"mlserver_runtime.py", "model-settings.json"} <= names
        assert not [n for n in names if n.endswith((".pkl", ".pt", ".bin", ".pyc"))]

    def test_names_no_path_of_this_machine(self, packaged, detector_folder):
        for name in ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"):
            text = (packaged / name).read_text()
            for path in (SOURCES, detector_folder, packaged, Path.home()):
                assert str(path) not in text

    def test_works_elsewhere_without_pickle(
        self, packaged, public_key, detector_folder, png, tmp_path
    ):
        """In a fresh process that has only what the model brings along and its requirements."""
        (tmp_path / "image.png").write_bytes(png)
        code = f"""
import importlib.metadata, json, re, sys
import pandas as pd, mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
image = open(sys.argv[2], "rb").read()
table = model.predict(pd.DataFrame({{"image": [image]}}), params={{"return_map": True}})
import gtrans_core

def closure(names):
    todo, seen = list(names), set()
    while todo:
        name = re.match(r"[\\w.-]+", todo.pop()).group().lower().replace("_", "-")
        if name not in seen:
            seen.add(name)
            try:
                todo += [r for r in importlib.metadata.requires(name) or () if "extra ==" not in r]
            except importlib.metadata.PackageNotFoundError:
                pass
    return seen

homes = importlib.metadata.packages_distributions()
loaded = {{m.partition(".")[0] for m in sys.modules}}
used = {{d.lower().replace("_", "-") for m in loaded for d in homes.get(m, ())[:1]}}
print(json.dumps({{
    "score": table["score"].item(),
    "map": table["heat_map_png"].item()[:4],
    "code": gtrans_core.__file__,
    "not required": sorted(used - {{"gtrans"}} - closure({(*REQUIREMENTS, *OPTIONAL)!r})),
}}))
"""
        result = subprocess.run(
            [sys.executable, "-c", code, str(packaged), str(tmp_path / "image.png")],
            env={"PATH": os.environ["PATH"], "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
            | {"MLFLOW_DISABLE_TELEMETRY": "true", "GTRANS_PUBLIC_KEY": public_key},
            capture_output=True,
            check=False,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        found = json.loads(result.stdout.splitlines()[-1])
        expected = Detector.load(detector_folder).predict_bytes([png])[0].score
        assert found["score"] == pytest.approx(expected, rel=1e-6)
        assert found["map"] == "iVBO"  # base64 of a PNG's first bytes
        assert Path(found["code"]).is_relative_to(packaged)
        assert found["not required"] == []

    @pytest.fixture(scope="class")
    def endpoint(self, packaged, processes, tmp_path_factory) -> Iterator[str]:
        port = processes.free_port()
        command = ["-m", "mlflow", "models", "serve", "-m", str(packaged), "--env-manager", "local"]
        command += ["-h", "127.0.0.1", "-p", str(port), "-w", "1"]
        url = f"http://127.0.0.1:{port}"
        folder = tmp_path_factory.mktemp("serving")
        with processes.server(*command, folder=folder, health=f"{url}/ping"):
            yield f"{url}/invocations"

    def test_serves_over_json(self, endpoint, detector_folder, png):
        text = base64.b64encode(png).decode()
        answer = post(endpoint, [{"image": text}], return_map=True)
        assert answer.status == 200
        [row] = answer.body["predictions"]
        expected = Detector.load(detector_folder).predict_bytes([png])[0]
        assert row["score"] == pytest.approx(expected.score, rel=1e-6)
        assert row["is_anomalous"] is expected.is_anomalous
        drawn = Image.open(io.BytesIO(base64.b64decode(row["heat_map_png"])))
        assert drawn.size == (64, 64)

    def test_answers_mistakes_with_a_reason(self, endpoint, png):
        text = base64.b64encode(png).decode()
        for rows, reason in [
            ([{"picture": text}], "missing inputs"),
            ([{"image": "no base64!"}], "image"),
            ([{"image": base64.b64encode(png[:500]).decode()}], "image 1: damaged or cut short"),
            ([{"image": text}] * 200, "200 images in one request"),
            ([], "missing inputs"),
        ]:
            answer = post(endpoint, rows)
            assert 400 <= answer.status < 500, (reason, answer)
            assert reason in answer.body["message"]
        assert post(endpoint, [{"image": text}]).status == 200


def post(url: str, rows: list[dict[str, str]], **params: bool) -> Answer:
    body = json.dumps({"dataframe_records": rows, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return Answer(response.status, json.load(response))
    except urllib.error.HTTPError as error:
        return Answer(error.code, json.load(error))
