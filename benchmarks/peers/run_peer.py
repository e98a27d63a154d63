"""Train one anomalib model and score images with it: ``python -m benchmarks.peers.run_peer FILE``.

Runs in ``.venv-peers`` from the repository's root. FILE is a ``contract.Request``.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.peers.contract import PeerResult, Request
from benchmarks.peers.recipes import RECIPES, Trained


def main(request_path: Path) -> None:
    """Answer one request."""
    request = Request.read(request_path)
    torch.set_num_threads(request.threads)
    torch.manual_seed(request.seed)
    np.random.seed(request.seed)  # anomalib draws its projection from it
    images = load_images(request.train, request)
    started = time.process_time()
    trained = RECIPES[request.peer](request, images)
    train_seconds = time.process_time() - started
    del images
    maps, scores, seconds = score_alone(trained.model, request)
    facts = describe(request, trained) | {
        "train_cpu_seconds": round(train_seconds, 2),
        "score_cpu_ms_median": round(1000 * float(np.median(seconds)), 2),
    }
    PeerResult(maps, scores, facts).write(Path(request.output))


def load_images(paths: Sequence[str], request: Request) -> Tensor:
    """Normalised RGB [N, 3, S, S]: plain antialiased resize, no crop."""
    return torch.cat([load_image(path, request) for path in paths])


def load_image(path: str, request: Request) -> Tensor:
    """One normalised image [1, 3, S, S]."""
    side = (request.image_size, request.image_size)
    with Image.open(path) as file:
        image = file.convert("RGB").resize(side, Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    mean = torch.tensor(request.mean).view(1, 3, 1, 1)
    std = torch.tensor(request.std).view(1, 3, 1, 1)
    return (pixels - mean) / std


@torch.no_grad()
def score_alone(
    model: nn.Module, request: Request
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[float]]:
    """Raw maps [N, S, S] and scores [N], and the CPU seconds of each forward pass, map included."""
    model.eval()
    maps, scores, seconds = [], [], []
    for path in request.test:
        image = load_image(path, request)
        started = time.process_time()
        answer = model(image)
        seconds.append(time.process_time() - started)
        maps.append(answer.anomaly_map.reshape(image.shape[-2:]).float().numpy())
        scores.append(float(answer.pred_score))
    return np.stack(maps), np.array(scores, np.float32), seconds


def describe(request: Request, trained: Trained) -> dict[str, Any]:
    """What was run, and with what."""
    parameters = list(trained.model.parameters())
    return {
        "peer": request.peer,
        "seed": request.seed,
        "image_size": request.image_size,
        "mean": request.mean,
        "std": request.std,
        "threads": request.threads,
        "train_images": len(request.train),
        "test_images": len(request.test),
        "parameters": sum(p.numel() for p in parameters),
        "parameters_trained": trained.parameters_trained,
        "numbers_stored": trained.numbers_stored,
        "hyper_parameters": trained.hyper_parameters,
        "versions": {name: version(name) for name in ("anomalib", "torch", "timm", "numpy")},
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    # Nothing is ever fetched: a peer that needs a hub must fail, not wait.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main(Path(sys.argv[1]))
