"""How much work the costly parts do, in counts: the same at any load, so a tenth more is seen.

``python -m benchmarks.speed.counts`` records them in ``benchmarks/results/counts.json``. It counts
multiplications and additions, calls of torch, calls of functions, bytes and modules. They do not
see a library that takes longer for the same call: the times of ``make bench-speed`` do.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.floor import scene_bytes
from benchmarks.speed.subject import make_scorer
from benchmarks.speed.training_step import prepared_step
from gtrans_core.config import ImageConfig
from gtrans_core.data.images import decode_view, upright
from gtrans_core.evaluation.metrics import image_metrics, pixel_metrics
from gtrans_core.storage import write_atomic

RESULTS = Path("benchmarks/results/counts.json")
LIBRARIES = ("mlflow", "numpy", "onnxruntime", "pillow", "pydantic", "scipy", "timm", "torch")
SIDE, MAPS = 64, 40
STARTS = {
    "gtrans": "gtrans.cli.main",
    "gtrans predict": "gtrans.cli.predict",
    "a step that finds all kept": "gtrans_core.steps.evaluate",
}
"""What is started -> the module that it imports first."""

Counts = dict[str, int]


def scoring(folder: Path) -> Counts:
    """One view of 256 x 256, scored by the default network."""
    scorer = make_scorer(folder, "image.size=256")
    view = torch.zeros(1, 3, 256, 256, dtype=torch.uint8)
    with torch.no_grad():
        found = _torch(lambda: scorer(view))
    bank = (
        0 if scorer.memory is None else sum(t.nbytes for t in scorer.memory.state_dict().values())
    )
    return found | {"scene model, bytes": scene_bytes(scorer), "patch memory, bytes": bank}


def training_step(folder: Path) -> Counts:
    """A batch of the default through Trans, backwards and the optimizer."""
    del folder
    step = prepared_step(SIDE)
    step()  # an optimizer's first step makes its state
    return _torch(step)


def metrics(folder: Path) -> Counts:
    """All metrics of ``MAPS`` maps."""
    del folder
    rng = np.random.default_rng(0)
    maps = rng.random((MAPS, SIDE, SIDE), np.float32)
    masks = np.zeros(maps.shape, bool)
    masks[::2, 8:24, 8:24] = True

    def judge() -> None:
        pixel_metrics(masks, maps)
        image_metrics(np.arange(MAPS) % 2, maps.max(axis=(1, 2)))

    return _python(judge)


def decoding(folder: Path) -> Counts:
    """A JPEG of 900 x 900, and the pixels of a larger one that its decoder computes."""
    del folder
    data, config = _jpeg(900, 900), ImageConfig(size=256)
    large, _ = upright(_jpeg(2448, 2048), config.max_megapixels, (512, 512))
    found = _python(lambda: decode_view(data, "part.jpg", config))
    return found | {"5 megapixels, decoded": large.width * large.height}


def _jpeg(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, "JPEG")
    return file.getvalue()


def start_up(folder: Path) -> Counts:
    """Modules that are loaded before the first line of work."""
    code = "import sys, {}; print(len(sys.modules))"
    return {
        f"{what}, modules": int(
            subprocess.run(  # noqa: S603 - our own modules
                [sys.executable, "-c", code.format(module)],
                cwd=folder,
                capture_output=True,
                check=True,
            ).stdout
        )
        for what, module in STARTS.items()
    }


PARTS: dict[str, Callable[[Path], Counts]] = {
    part.__name__: part for part in (scoring, training_step, metrics, decoding, start_up)
}


def libraries() -> dict[str, str]:
    """The versions that counts are of."""
    return {"python": f"{sys.version_info[0]}.{sys.version_info[1]}"} | {
        name: version(name) for name in LIBRARIES
    }


class _Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Counts operators as torch runs them, those of the backward pass too."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def _torch(work: Callable[[], object]) -> Counts:
    calls = _Calls()  # type: ignore[no-untyped-call]
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    with calls:
        work()
    return {"operations": counter.get_total_flops(), "calls of torch": calls.count}


def _python(work: Callable[[], object]) -> Counts:
    """Calls of functions, and the most bytes at a time; of a second call: the first one imports."""
    work()
    counted = [0]
    with _profiled(counted):
        work()
    tracemalloc.start()
    try:
        work()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return {"calls": counted[0], "bytes": peak}


@contextmanager
def _profiled(counted: list[int]) -> Iterator[None]:
    def note(_frame: object, event: str, _argument: object) -> None:
        counted[0] += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)


def main() -> None:
    """Record all of them."""
    with tempfile.TemporaryDirectory() as name:
        counts = {part: count(Path(name)) for part, count in PARTS.items()}
    found = {"libraries": libraries(), "counts": counts}
    write_atomic(RESULTS, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
