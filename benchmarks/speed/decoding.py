"""From a camera's file to what the network sees: by size and format, resized fast and exactly."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.speed.clock import side_by_side, timed
from gtrans_core.config import ImageConfig
from gtrans_core.data.images import decode_view
from gtrans_core.data.sources.demo_surface import good_surface, render

CAMERAS = {
    "MVTec's": (900, 900),
    "5 megapixels": (2448, 2048),
    "12 megapixels": (4096, 3000),
}
"""Width and height in pixels."""
FILES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "JPEG": ("RGB", "JPEG", {"quality": 90}),
    "JPEG, grey": ("L", "JPEG", {"quality": 90}),
    "BMP, grey": ("L", "BMP", {}),
    "PNG": ("RGB", "PNG", {"compress_level": 1}),
}
"""Name -> mode, format and how it is written."""
WAYS = {how: ImageConfig(resize=how) for how in ("exact", "fast")}
REPEATS = 7


def measure(store: Path) -> dict[str, Any]:
    """CPU milliseconds from encoded bytes to a view of 256 x 256, of each file."""
    del store
    found = {}
    for camera, size in CAMERAS.items():
        for kind in FILES:
            data = file_of(kind, size)
            tasks = {
                how: timed(partial(decode_view, data, kind, config)) for how, config in WAYS.items()
            }
            found[f"{camera}, {kind}"] = side_by_side(tasks, REPEATS, warm_up=1)
    return {"cpu_ms": found, "repeats": REPEATS}


def file_of(kind: str, size: tuple[int, int]) -> bytes:
    """The demo's fabric in the size of a camera, laid out again and again where that is large."""
    mode, file_format, options = FILES[kind]
    width, height = size
    side = min(max(size), 1024)
    fabric = render(good_surface(np.random.default_rng(0), side))
    tiled = np.tile(fabric, (-(-height // side), -(-width // side), 1))[:height, :width]
    file = io.BytesIO()
    Image.fromarray(tiled).convert(mode).save(file, file_format, **options)
    return file.getvalue()


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    rows = [
        f"| {name} | {ms['exact']:.1f} | {ms['fast']:.1f} | {ms['exact'] / ms['fast']:.1f} |"
        for name, ms in found["cpu_ms"].items()
    ]
    return "\n".join(
        ["| file | exact, CPU-ms | fast, CPU-ms | times |", "|---|---|---|---|", *rows]
    )
