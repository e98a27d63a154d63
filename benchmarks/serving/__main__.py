"""Measure the service: ``python -m benchmarks.serving --model FOLDER``.

The clients run on the same machine: what they cost, the service lacks. So images are also counted
by second of the service's own processor time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import cycle, islice, product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from benchmarks.serving.clients import Crowd
from benchmarks.serving.service import Service, posted
from gtrans_core.data.images import encode_png

_SIDES = [128, 400, 900]
_CLIENTS = (1, 2, 4, 8, 64, 96, 128, 256)
_LOOKS, _WARM_SECONDS = 10, 3.0


def main(
    model: Annotated[Path, typer.Option(help="A detector's folder.")],
    images: Annotated[int, typer.Option(help="Images to look at the memory over.")] = 50_000,
    seconds: Annotated[float, typer.Option(help="Seconds for each number of clients.")] = 20.0,
    side: Annotated[list[int], typer.Option(help="Pixels a side of images, in turn.")] = _SIDES,
) -> None:
    """Print start to ready, images a second by clients, and memory over many images."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder), "--model", str(model.absolute()), "--store", folder)
        try:
            used = service.ready_processor_seconds
            typer.echo(f"ready after {service.ready_seconds:.2f} s, {used:.2f} CPU-s")
            for line in _goodput(service, seconds, side):
                typer.echo(line)
            for line in _memory(service, images, side):
                typer.echo(line)
        finally:
            service.stop()


def _goodput(service: Service, seconds: float, sides: Sequence[int]) -> Iterator[str]:
    """Images a second, by clients that come back at once, or when they are told to."""
    request = posted(_image(sorted(sides)[len(sides) // 2]))
    peak = peak_used = 0.0
    for clients, patient in product(_CLIENTS, (False, True)):
        crowd = Crowd(service.port, request, clients, patient=patient)
        crowd.answers(_WARM_SECONDS)
        before = service.processor_seconds()
        found = crowd.answers(seconds)
        used = found["200"] / (service.processor_seconds() - before)
        crowd.leave()
        rate = found["200"] / seconds
        peak, peak_used = max(peak, rate), max(peak_used, used)
        yield (
            f"{clients} clients that return {'when told' if patient else 'at once'}: "
            f"{rate:.1f} images/s, {rate / peak:.0%} of the peak; "
            f"{used:.1f} by CPU-s, {used / peak_used:.0%}; {dict(found)}"
        )


def _memory(service: Service, images: int, sides: Sequence[int]) -> Iterator[str]:
    """Resident memory at ten moments; the first is after a tenth of the images."""
    requests = cycle([posted(_image(side)) for side in sides])
    first = 0
    for look in range(1, _LOOKS + 1):
        for request in islice(requests, images // _LOOKS):
            service.ask(request)
        resident = service.resident()
        first = first or resident
        sent = look * (images // _LOOKS)
        yield f"{sent} images: {resident / 2**20:.0f} MiB, {resident / first:.3f} of the first"


def _image(side: int) -> bytes:
    return encode_png(np.asarray(Image.effect_noise((side, side), 60).convert("RGB")))


if __name__ == "__main__":
    typer.run(main)
