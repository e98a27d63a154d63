"""Images beside their heat maps: the grid of the report and the picture of one prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from gtrans_core.data.manifest import GOOD
from gtrans_core.drawing.canvas import BLUE, GREY, INK, SKY, VERMILION, finite, new_figure
from gtrans_core.system.text import score_text

Image = npt.NDArray[np.uint8]
HeatMap = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
MapRange = tuple[float, float]

_HEAT = colormaps["plasma"]
_NAME_LENGTH = 48
_LABEL_BOX = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 2}


@dataclass(frozen=True)
class Example:
    """One image and what the detector made of it.

    Attributes:
        name: what a person finds the image by.
        defect: the true kind: ``good``, a kind of defect, or empty where nobody knows.
        image: uint8 RGB [H, W, 3].
        heat_map: raw scores of pixels, float32 [H, W].
        mask: true where the defect is, bool [H, W]; None where nobody drew it.
        score: the image's raw score.
        is_anomalous: the detector's verdict, that is ``score > threshold``.

    Raises:
        ValueError: when shapes do not fit or a score is not finite.
    """

    name: str
    defect: str
    image: Image
    heat_map: HeatMap
    mask: Mask | None
    score: float
    is_anomalous: bool

    def __post_init__(self) -> None:
        _check_pair(self.image, self.heat_map)
        finite(f"{self.name}: score", self.score)
        if self.mask is not None and self.mask.shape != self.heat_map.shape:
            raise ValueError(
                f"{self.name}: mask {self.mask.shape} and heat map {self.heat_map.shape} do not fit"
            )

    @property
    def is_right(self) -> bool | None:
        """Whether the verdict agrees with the truth; None where the truth is not known."""
        return self.is_anomalous == (self.defect != GOOD) if self.defect else None

    @property
    def verdict(self) -> str:
        """The detector's verdict in words and, where the truth is known, whether it is right."""
        said = "flagged" if self.is_anomalous else "ok"
        if self.is_right is None:
            return said
        if self.is_right:
            return f"{said} (right)"
        return f"{said} (wrong: {'false alarm' if self.is_anomalous else 'missed'})"


def heat_map_grid(examples: Sequence[Example], threshold: float, map_range: MapRange) -> Figure:
    """One row an example: image, outline of the true defect, heat map; score and verdict above.

    All heat maps share one colour scale. The outlines are left out where no mask shows a defect.

    Args:
        examples: at least one, in the order they are drawn.
        threshold: an image whose score is above it is flagged.
        map_range: values drawn coldest and hottest; what lies beyond is clipped. The bright half is
            what few good images reach.

    Raises:
        ValueError: for no example, a range that is empty, values that are not finite, or a verdict
            that contradicts the threshold.
    """
    if not examples:
        raise ValueError("a heat-map grid needs at least one example")
    return _sheet(examples, threshold, map_range, width=5.2)


def heat_map_figure(example: Example, threshold: float, map_range: MapRange) -> Figure:
    """One image beside its heat map; arguments and errors are those of ``heat_map_grid``."""
    return _sheet([example], threshold, map_range, width=6.4)


def overlay(image: Image, heat_map: HeatMap, map_range: MapRange) -> Image:
    """Blend a heat map into a greyed image: the hotter a pixel, the more colour covers it.

    Args:
        image: uint8 RGB [H, W, 3].
        heat_map: raw scores [H, W].
        map_range: values drawn coldest and hottest; what lies beyond is clipped.

    Returns:
        uint8 RGB [H, W, 3].

    Raises:
        ValueError: when shapes do not fit, the range is empty, or a value is not finite.
    """
    _check_pair(image, heat_map)
    heat = heat_of(heat_map, map_range)
    # Grey and dimmed, so that colour is heat and nothing else, on dark and on bright parts.
    grey = 0.75 / 255 * (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    opacity = 0.9 * np.sqrt(heat)[..., None]
    blend: Image = np.rint(
        255 * ((1 - opacity) * grey + opacity * _HEAT(heat)[..., :3]),
    ).astype(np.uint8)
    return blend


def heat_of(heat_map: HeatMap, map_range: MapRange) -> npt.NDArray[np.float64]:
    """A heat map [H, W] from 0, coldest, to 1, hottest; errors are those of ``overlay``."""
    return np.asarray(_scale(map_range)(finite("heat map", heat_map)))


def _sheet(
    examples: Sequence[Example], threshold: float, map_range: MapRange, width: float
) -> Figure:
    """A row of cells for each example, ``width`` inches in all, below one colour bar."""
    has_masks = any(example.mask is not None and example.mask.any() for example in examples)
    columns = 3 if has_masks else 2
    edge, gap, words, head = 0.1, 0.06, 0.52, 0.95  # inches
    side = (width - 2 * edge - (columns - 1) * gap) / columns
    height = head + len(examples) * (words + side) + edge
    figure = new_figure(width, height)
    grid = figure.subplots(
        len(examples),
        columns,
        squeeze=False,
        gridspec_kw={
            "left": edge / width,
            "right": 1 - edge / width,
            "top": 1 - (head + words) / height,
            "bottom": edge / height,
            "wspace": gap / side,
            "hspace": words / side,
        },
    )
    title = "Heat map: the brighter, the more unusual"
    figure.suptitle(title, size=12, weight="bold", color=INK, y=1 - 0.1 / height, va="top")
    bar = figure.add_axes((0.06, 1 - 0.72 / height, 0.88, 0.14 / height))
    _draw_colour_bar(figure, bar, map_range)
    for row, example in zip(grid, examples, strict=True):
        _draw_words(row[0], example, threshold)
        _draw_cell(row[0], example.image, "image")
        _draw_cell(row[-1], overlay(example.image, example.heat_map, map_range), "heat map")
        if has_masks:
            _draw_cell(row[1], example.image, _outline(row[1], example))
    return figure


def _draw_colour_bar(figure: Figure, axes: Axes, map_range: MapRange) -> None:
    scale, (low, high) = _scale(map_range), map_range
    middle = (low + high) / 2
    ticks = {low: f"{low:.2g}", middle: f"{middle:.2g}: unusual", high: f"{high:.2g} or more"}
    bar = figure.colorbar(ScalarMappable(scale, _HEAT), cax=axes, orientation="horizontal")
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    first, last, *_ = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    axes.set_title("value of a pixel (raw, no unit)", size=9, color=GREY, pad=3)
    axes.tick_params(labelsize=8, colors=GREY, length=2)


def _draw_words(axes: Axes, example: Example, threshold: float) -> None:
    """Name, and below it score and verdict, above the first cell of a row."""
    if (example.score - threshold) * (1 if example.is_anomalous else -1) < 0:
        raise ValueError(
            f"{example.name}: '{example.verdict}' contradicts score {score_text(example.score)} "
            f"and threshold {score_text(threshold)}"
        )
    colour = {None: INK, True: BLUE, False: VERMILION}[example.is_right]
    ratio = f" = {example.score / threshold:.3g} \u00d7 threshold" if threshold > 0 else ""
    score = f"score {score_text(example.score)}{ratio}: {example.verdict}"
    name = (
        example.name if len(example.name) <= _NAME_LENGTH else f"...{example.name[-_NAME_LENGTH:]}"
    )
    for text, weight, ink, above in ((name, "bold", INK, 21), (score, "normal", colour, 6)):
        axes.annotate(
            text,
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, above),
            textcoords="offset points",
            size=10,
            weight=weight,
            color=ink,
            parse_math=False,  # a file name may hold dollar signs
        )


def _draw_cell(axes: Axes, image: Image, label: str) -> None:
    axes.imshow(image)
    axes.set_axis_off()
    axes.text(0.03, 0.04, label, transform=axes.transAxes, size=8, color="white", bbox=_LABEL_BOX)


def _outline(axes: Axes, example: Example) -> str:
    """Draw the mask's border, light on dark to show on any image; return the cell's label."""
    if example.mask is None:
        return "no mask"
    if not example.mask.any():
        return "no defect"
    # A frame of background closes outlines that touch the image's border.
    framed = np.pad(example.mask.astype(np.float64), 1)
    rows, columns = (np.arange(-1, size - 1) for size in framed.shape)
    for colour, width in (("black", 2.6), (SKY, 1.3)):
        axes.contour(columns, rows, framed, levels=[0.5], colors=colour, linewidths=width)
    return "true defect"


def _scale(map_range: MapRange) -> Normalize:
    low, high = finite("map range", map_range)
    if low >= high:
        raise ValueError(f"map range {map_range}: expected the coldest score below the hottest")
    return Normalize(low, high, clip=True)


def _check_pair(image: Image, heat_map: HeatMap) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or heat_map.shape != image.shape[:2]:
        raise ValueError(f"image {image.shape} and heat map {heat_map.shape} do not fit")
