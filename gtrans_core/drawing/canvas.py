"""What all figures share: the palette, the canvas, and the check that values can be drawn."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Values = npt.NDArray[np.float64]

DPI = 150
BLUE, VERMILION, SKY = "#0072B2", "#C04A00", "#56B4E9"
"""After Okabe and Ito: distinct for colour-blind readers (vermilion darker, to be read as text)."""
INK, GREY, FAINT = "#1b1f24", "#5b6570", "#d9dee4"


def new_figure(width: float, height: float, constrained: bool = False) -> Figure:
    """An empty white figure, sizes in inches, outside of pyplot's global list."""
    figure = Figure(
        (width, height), dpi=DPI, facecolor="white", layout="constrained" if constrained else None
    )
    FigureCanvasAgg(figure)
    return figure


def new_plot(title: str) -> tuple[Figure, Axes]:
    """A figure with one styled pair of axes."""
    figure = new_figure(6.2, 4.4, constrained=True)
    axes = figure.subplots()
    axes.set_title(title, size=12, weight="bold", color=INK)
    style(axes)
    return figure, axes


def style(axes: Axes) -> None:
    """Light grid, no box, grey ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GREY, labelsize=9)


def finite(name: str, values: npt.ArrayLike) -> Values:
    """The values as float64.

    Raises:
        ValueError: naming them, where one is nan or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite (nan or inf)")
    return array


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
