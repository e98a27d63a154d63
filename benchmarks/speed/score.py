"""One image, one thread: ours as packaged, in torch, with decoding, and four peers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.peers import PYTHON, ROOT
from benchmarks.speed import floor
from benchmarks.speed.clock import Task, side_by_side, timed
from benchmarks.speed.decoding import file_of
from benchmarks.speed.reference import reference_convolution
from benchmarks.speed.subject import PLAIN, make_scorer, packaged, view_of
from gtrans_core.config import GTransConfig
from gtrans_core.data.images import decode_view
from gtrans_core.detector.engine import OnnxEngine
from gtrans_core.detector.onnx import export_onnx

PEERS = {
    "stfpm": "STFPM, ResNet-18 (anomalib)",
    "padim": "PaDiM, ResNet-18 (anomalib)",
    "patchcore": "PatchCore, Wide ResNet-50 (anomalib)",
    "efficient_ad": "EfficientAD-S (anomalib)",
}
OURS = {
    "onnxruntime": "GTrans, default, ONNX Runtime, as packaged",
    "onnxruntime_jpeg": "the same, with decoding and resizing of a 900 x 900 JPEG",
    "onnxruntime_fp32": "the same without decoding, scene model in fp32",
    "torch": "GTrans, default, torch",
    "plain_onnxruntime": "GTrans as published (taps 4, 8, 16), ONNX Runtime",
}
REPEATS = 20


def measure(store: Path) -> dict[str, Any]:
    """CPU milliseconds of each, and the floor: what the same work takes at the machine's best."""
    torch.set_num_threads(1)
    image = GTransConfig().image
    view, jpeg = view_of(image.view_shape[0]), file_of("JPEG", (900, 900))
    scorer, plain = make_scorer(store), make_scorer(store, *PLAIN)
    engine, plain_engine = (packaged(s, image.view_shape[0]) for s in (scorer, plain))
    fp32_engine = OnnxEngine(export_onnx(scorer, image.view_shape), threads=1)
    tasks = {
        "onnxruntime": timed(lambda: engine.score_view(view)),
        "onnxruntime_jpeg": timed(lambda: engine.score_view(decode_view(jpeg, "image", image))),
        "onnxruntime_fp32": timed(lambda: fp32_engine.score_view(view)),
        "torch": timed(lambda: scorer.score_view(view)),
        "plain_onnxruntime": timed(lambda: plain_engine.score_view(view)),
        "matrix product": timed(floor.matrix_product()),
        "stream": timed(floor.stream()),
        "reference": timed(reference_convolution()),
    }
    with _peer_tasks() as peers:
        found = side_by_side(tasks | peers, REPEATS)
    gflops = floor.matrix_gflops(found["matrix product"])
    gbytes = floor.stream_gbytes(found["stream"])
    needed, moved = floor.operations(scorer, image.view_shape[0]), floor.scene_bytes(scorer)
    return {
        "gtrans": {name: {"cpu_ms": found[name]} for name in OURS},
        **{name: {"cpu_ms": found[name]} for name in peers},
        "reference": {"cpu_ms": found["reference"]},
        "floor": {
            "matrix_gflops": gflops,
            "stream_gbytes_per_second": gbytes,
            "operations": needed,
            "scene_bytes": moved,
            "operations_ms": round(needed / gflops / 1e6, 2),
            "scene_bytes_ms": round(moved / gbytes / 1e6, 2),
        },
        "repeats": REPEATS,
    }


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    bounds = found["floor"]
    lowest = bounds["operations_ms"] + bounds["scene_bytes_ms"]
    base = found["gtrans"]["onnxruntime"]["cpu_ms"]
    times = {OURS[k]: v["cpu_ms"] for k, v in found["gtrans"].items()}
    times |= {PEERS[k]: found[k]["cpu_ms"] for k in PEERS if k in found}
    rows = [
        f"| {name} | {ms:.1f} | {ms / base:.2f} | {ms / lowest:.1f} |" for name, ms in times.items()
    ]
    return "\n".join(
        [
            "| what | CPU-ms an image | over the packaged | over the least possible |",
            "|---|---|---|---|",
            *rows,
            f"| least possible: {bounds['operations'] / 1e9:.2f} G operations at "
            f"{bounds['matrix_gflops']:.0f} G/s, and {bounds['scene_bytes'] / 1e6:.0f} MB at "
            f"{bounds['stream_gbytes_per_second']:.0f} GB/s | {lowest:.1f} | "
            f"{lowest / base:.2f} | 1.0 |",
        ]
    )


@contextmanager
def _peer_tasks() -> Iterator[dict[str, Task]]:
    """A task for each peer, done by one process in the peers' environment; none without it."""
    if not PYTHON.is_file():
        sys.stderr.write(f"peers are left out: {PYTHON} is missing (make peers-setup)\n")
        yield {}
        return
    with subprocess.Popen(  # noqa: S603 - our own script in our own environment
        [PYTHON, "-m", "benchmarks.speed.peer_worker"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        yield {name: _asked(worker, name) for name in PEERS}
        assert worker.stdin is not None  # noqa: S101 - a pipe
        worker.stdin.close()


def _asked(worker: subprocess.Popen[str], name: str) -> Task:
    def task() -> float:
        assert worker.stdin and worker.stdout  # noqa: S101, PT018 - pipes
        worker.stdin.write(f"{name}\n")
        worker.stdin.flush()
        answer = worker.stdout.readline()
        if not answer:
            raise RuntimeError(f"the peers' process ended while it ran {name}")
        return float(answer)

    return task
