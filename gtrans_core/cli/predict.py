"""``gtrans predict``: score images with a detector, and draw where it looks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gtrans_core.errors import DataError, ModelError, StorageError

if TYPE_CHECKING:
    from gtrans_core.detector import Detector

_REGISTRY_SCHEME = "models:/"


def predict(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="PNG, JPEG, BMP or TIFF files.")
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="models:/gtrans-NAME@ALIAS|FOLDER",
            help="A registered model, or a detector's folder.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where heat maps are written.")
    ] = Path("heatmaps"),
    profile: Annotated[
        str, typer.Option("--profile", metavar="NAME|FILE", help="Where the model is registered.")
    ] = "local",
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="DIR",
            envvar="GTRANS_STORE",
            help="Folder the run kept things in; default: the profile's.",
        ),
    ] = None,
) -> None:
    """Score images and write a heat map of each.

    An image whose score is above the detector's threshold is flagged.
    """
    from rich.console import Console

    detector = _load(model, profile, store)
    console = Console()
    console.print(_row("verdict", "score", "threshold", "image -> heat map"), markup=False)
    refused: list[str] = []
    for image, drawing in zip(images, heat_map_files(images, out), strict=True):
        try:
            verdict = score_image(detector, image, drawing)
        except DataError as error:
            refused.append(str(error))
            continue
        line = _row(*verdict.words, f"{image} -> {drawing}")
        style = "red" if verdict.is_anomalous else "green"
        console.print(line, style=style, soft_wrap=True, markup=False, highlight=False)
    if refused:
        lines = [f"{len(refused)} of {len(images)} images could not be scored", *refused]
        raise DataError("\n".join(lines))


def _row(verdict: str, score: str, threshold: str, files: str) -> str:
    return f"{verdict:8}  {score:>9}  {threshold:>9}  {files}"


@dataclass(frozen=True)
class Verdict:
    """What a detector says about one image; scores are raw and have no unit."""

    score: float
    threshold: float
    is_anomalous: bool

    @property
    def words(self) -> tuple[str, str, str]:
        """Verdict, score and threshold as they are printed."""
        word = "flagged" if self.is_anomalous else "ok"
        return word, f"{self.score:.4g}", f"{self.threshold:.4g}"


def score_image(detector: Detector, image: Path, drawing: Path) -> Verdict:
    """Score one image file and draw its heat map beside it.

    Raises:
        DataError: when the image cannot be read or decoded.
        StorageError: when the drawing cannot be written.
    """
    import numpy as np

    from gtrans_core.evaluation.drawing import to_png
    from gtrans_core.evaluation.heat_maps import Example, heat_map_figure

    try:
        data = image.read_bytes()
    except OSError as error:
        raise DataError(f"{image}: cannot be read ({error.strerror})") from None
    view = detector.view(data, str(image))
    prediction = detector.predict_view(view)
    example = Example(
        name=image.name,
        defect="",
        image=np.moveaxis(view, 0, -1),
        heat_map=prediction.heat_map,
        mask=None,
        score=prediction.score,
        is_anomalous=prediction.is_anomalous,
    )
    threshold = detector.info.threshold
    _write(drawing, to_png(heat_map_figure(example, threshold, detector.map_range)))
    return Verdict(prediction.score, threshold, prediction.is_anomalous)


def heat_map_files(images: Sequence[Path], out: Path) -> Iterator[Path]:
    """A file for each image, named after it and its folder; no two are the same."""
    taken: set[str] = set()
    for image in images:
        name = base = "-".join(filter(None, (image.resolve().parent.name, image.stem)))
        number = 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name)
        yield out / f"{name}.png"


def _load(model: str, profile: str, store: str | None) -> Detector:
    from gtrans_core.detector import Detector

    if not model.startswith(_REGISTRY_SCHEME):
        return Detector.load(Path(model))
    from gtrans_core.tracking.client import connect, has_record
    from gtrans_core.tracking.registry import fetch_model
    from pipelines.profiles import load_profile

    place = load_profile(profile, store=store)
    uri = place.tracking_uri
    if not has_record(uri):
        raise ModelError(f"{model}: no registry at {uri}; name the run's folder with --store")
    client = connect(uri)
    with tempfile.TemporaryDirectory() as folder:
        return Detector.load(fetch_model(client, model, Path(folder), place.trust))


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from None
