"""Fault 24: a secret of the environment is in no log, tag, YAML, checkpoint or traceback.

A whole run, and runs that fail in every way a secret could get into the error.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CANARY = "CANARY-7d41aa93"
SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "GTRANS_SIGNING_KEY_PASSWORD",
    "HF_TOKEN",
)

RUNS = """
import sys, traceback
from dataclasses import replace
from pathlib import Path
from gtrans.pipelines.graphs.compile import compile_all
from gtrans_core.steps import judging
from tests.support.runs import TinyRun, write_part

root, canary = Path(sys.argv[1]), sys.argv[2]
write_part(root)
run = TinyRun(root)
run.go()
compile_all(root / "compiled")

def ends(what, run, *steps):
    print("---", what, flush=True)
    try:
        run.go(*steps)
    except SystemExit as end:
        print("ended with", end.code, flush=True)
    except RuntimeError:
        traceback.print_exc()

with_password = f"http://me:{canary}@127.0.0.1:9"
ends("MLflow with a password", replace(run, key="a", tracking_uri=with_password))
ends("S3 that is down", replace(run, key="b", source="s3://bucket/part"), "ingest")
ends("a source with a password", replace(run, key="c", source=with_password + "/x"), "ingest")
weights = replace(run, key="d", overrides=("agn.weights=s3://bucket/w.safetensors",))
ends("weights in S3", weights, "ingest", "cache_features")
image = root / "data/part/train/good/000.png"
whole = image.read_bytes()
image.write_bytes(whole[:500])
ends("a damaged image", replace(run, key="e"), "ingest")
image.write_bytes(whole)

def crash(*arguments):
    raise RuntimeError("a bug")

judging.score_split = crash
other = replace(run, key="f", overrides=("evaluation.examples_per_defect=2",))
ends("a bug", other, "ingest", "cache_features", "train", "evaluate")
"""


def test_a_secret_is_written_nowhere(tmp_path: Path) -> None:
    environment = os.environ | dict.fromkeys(SECRETS, CANARY)
    environment |= {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_DEFAULT_REGION": "us-east-1",
        "GTRANS_RETRY_SECONDS": "0.3",
        "GTRANS_TRACEBACK": "1",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "GTRANS_PROGRESS": str(tmp_path / "progress.jsonl"),
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", RUNS, str(tmp_path), CANARY],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    # Each failure was the one that was meant, and reached what it was about.
    ends = [line.split()[-1] for line in said.splitlines() if line.startswith("ended with")]
    assert ends == ["7", "6", "4", "6", "4", "70"], said
    for part in ("MLflow at http://127.0.0.1:9", "s3://bucket/part", "Traceback", "a bug"):
        assert part in said
    for form in forms_of(CANARY):
        assert form not in said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert {".db", ".yaml", ".safetensors", ".json", ".jsonl", ".html", ".png"} <= kinds
    for path in files:
        data = path.read_bytes()
        assert not [form for form in forms_of(CANARY) if form.encode() in data], path


def forms_of(secret: str) -> list[str]:
    """As it is, in base64 (at each of three offsets), and as JSON escapes it."""
    codes = [base64.b64encode(b" " * n + secret.encode()).decode()[4:-4] for n in range(3)]
    return [secret, json.dumps(secret)[1:-1], *codes]
