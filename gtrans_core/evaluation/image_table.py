"""What the detector made of every test image: a row each, in ``images.parquet`` and as CSV.

The report, ``gtrans compare`` and people read it; the columns are described in
docs/how-to/read-the-result.md.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from gtrans_core.errors import ModelError
from gtrans_core.storage import write_atomic
from gtrans_core.system.spreadsheet import without_formulas

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from gtrans_core.config import ImageConfig
    from gtrans_core.data.manifest import Sample
    from gtrans_core.evaluation.evaluation import Evaluation

IMAGES, IMAGES_CSV = "images.parquet", "images.csv"
_MOST_ROWS = 2_000_000
"""A file of kilobytes can stand for billions."""

Label = Literal["good", "defective"]
Said = Literal["ok", "flagged"]


@dataclass(frozen=True)
class ImageResult:
    """One test image.

    Attributes:
        path: relative to the category's folder, with forward slashes, such as
            ``test/scratch/000.png``.
        sha256: of the image file, hex: the same image under another name has the same.
        kind: ``good``, or the kind of defect.
        label: the truth.
        score: raw; an image whose score is above ``threshold`` is flagged.
        threshold: the detector's.
        verdict: the detector's.
        area_above: share of what is judged (the heat map, or the region in it) above the level from
            which on a pixel is unusual, 0 to 1.
        peak_x: column of the heat map's highest value, in pixels of the image file from its left.
        peak_y: row of it, in pixels from the top.
        regions: connected regions (8 neighbours) of the heat map above that level.
        defect_area: share of what is judged that its mask marks, 0 to 1; None without a mask.
    """

    path: str
    sha256: str
    kind: str
    label: Label
    score: float
    threshold: float
    verdict: Said
    area_above: float
    peak_x: int
    peak_y: int
    regions: int
    defect_area: float | None

    @property
    def flagged(self) -> bool:
        """Whether the detector takes it for defective."""
        return self.verdict == "flagged"

    @property
    def is_missed(self) -> bool:
        """A defective image that passes as good."""
        return self.label == "defective" and not self.flagged

    @property
    def is_false_alarm(self) -> bool:
        """A good image that is flagged."""
        return self.label == "good" and self.flagged

    @property
    def is_wrong(self) -> bool:
        """Whether the verdict is."""
        return self.is_missed or self.is_false_alarm


def image_results(
    evaluation: Evaluation, threshold: float, map_level: float, config: ImageConfig
) -> list[ImageResult]:
    """A row for each image of the split, in its order.

    Args:
        evaluation: the scored split.
        threshold: of image scores.
        map_level: heat-map value from which on a pixel is unusual.
        config: how images become the network's input; says where in the file a peak is.
    """
    return [
        _image_result(evaluation, position, threshold, map_level, config)
        for position in range(len(evaluation.samples))
    ]


def _image_result(
    evaluation: Evaluation, position: int, threshold: float, map_level: float, config: ImageConfig
) -> ImageResult:
    from scipy import ndimage

    sample, heat_map = evaluation.samples[position], evaluation.maps[position]
    score = float(evaluation.scores[position])
    above = heat_map > map_level
    x, y = _place_in_file(heat_map, sample, config)
    mask = None if sample.is_good else evaluation.mask(position)
    return ImageResult(
        path=sample.path,
        sha256=sample.sha256,
        kind=sample.defect,
        label="good" if sample.is_good else "defective",
        score=score,
        threshold=threshold,
        verdict=_said(score, threshold),
        area_above=evaluation.judged_share(above),
        peak_x=x,
        peak_y=y,
        regions=int(ndimage.label(above, np.ones((3, 3)))[1]),
        defect_area=None if mask is None else evaluation.judged_share(mask),
    )


def at_threshold(results: Iterable[ImageResult], threshold: float) -> list[ImageResult]:
    """The same rows, judged at another threshold of image scores."""
    return [
        replace(one, threshold=threshold, verdict=_said(one.score, threshold)) for one in results
    ]


def _said(score: float, threshold: float) -> Said:
    return "flagged" if score > threshold else "ok"


def _place_in_file(
    heat_map: npt.NDArray[np.float32], sample: Sample, config: ImageConfig
) -> tuple[int, int]:
    """Column and row of the highest value, from the resized and cropped view back to the file."""
    place = divmod(int(heat_map.argmax()), heat_map.shape[1])
    y, x = (
        (at + cropped + 0.5) / whole
        for at, cropped, whole in zip(place, config.cropped_away, config.resized_shape, strict=True)
    )
    return int(x * sample.width), int(y * sample.height)


def write_images(folder: Path, results: Iterable[ImageResult]) -> None:
    """Write what ``image_files`` makes.

    Raises:
        StorageError: when the folder is not writable or has no room.
    """
    for name, content in image_files(results).items():
        write_atomic(folder / name, content)


def image_files(results: Iterable[ImageResult]) -> dict[str, bytes]:
    """``images.parquet`` and ``images.csv`` by name: a row an image, ordered by path."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    rows = sorted(results, key=lambda result: (result.path, result.sha256))
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=_schema())
    parquet, text = io.BytesIO(), io.BytesIO()
    pyarrow.parquet.write_table(table, parquet, write_page_checksum=True)
    pyarrow.csv.write_csv(without_formulas(table), text)
    return {IMAGES: parquet.getvalue(), IMAGES_CSV: text.getvalue()}


def read_images(file: Path) -> list[ImageResult]:
    """Read ``images.parquet``; columns that a later version may add are passed over.

    Raises:
        ModelError: when it is missing, damaged, of other columns or types, or far too long.
    """
    import pyarrow as pa
    import pyarrow.parquet

    columns = [field.name for field in fields(ImageResult)]
    try:
        with pyarrow.parquet.ParquetFile(file, page_checksum_verification=True) as table:
            if table.metadata.num_rows > _MOST_ROWS:
                raise ValueError(f"it has {table.metadata.num_rows:,} rows")
            rows = table.read().select(columns).cast(_schema()).to_pylist()
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{file}: expected the table that evaluate writes ({reason}); run the pipeline again"
        ) from None
    return [ImageResult(**row) for row in rows]


def those_judged(samples: Sequence[Sample], judged: Sequence[ImageResult]) -> tuple[Sample, ...]:
    """As many of each kind and content as were judged: one may have come again, by feedback."""
    left = Counter((one.kind, one.sha256) for one in judged)
    kept = []
    for sample in samples:
        if left[sample.defect, sample.sha256]:
            left[sample.defect, sample.sha256] -= 1
            kept.append(sample)
    return tuple(kept)


def misses(results: Sequence[ImageResult]) -> list[ImageResult]:
    """Defective images that pass as good, the lowest score (the clearest miss) first."""
    return sorted((r for r in results if r.is_missed), key=lambda r: (r.score, r.path))


def false_alarms(results: Sequence[ImageResult]) -> list[ImageResult]:
    """Good images that are flagged, the highest score first."""
    return sorted((r for r in results if r.is_false_alarm), key=lambda r: (-r.score, r.path))


def _schema() -> pa.Schema:
    import pyarrow as pa

    numbers = {"score", "threshold", "area_above", "defect_area"}
    counts = {"peak_x", "peak_y", "regions"}

    def kind(name: str) -> pa.DataType:
        return pa.float64() if name in numbers else pa.int32() if name in counts else pa.string()

    return pa.schema(
        [
            pa.field(field.name, kind(field.name), nullable=field.name == "defect_area")
            for field in fields(ImageResult)
        ]
    )
