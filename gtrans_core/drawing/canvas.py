"""What all figures share: the palette, the canvas, and the check that values can be drawn."""

from __future__ import annotations

import io
import re
import warnings

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

Values = npt.NDArray[np.float64]

DPI = 150
BLUE, VERMILION, SKY = "#0072B2", "#C04A00", "#56B4E9"
"""After Okabe and Ito: distinct for colour-blind readers (vermilion darker, to be read as text)."""
INK, GREY, FAINT = "#1b1f24", "#5b6570", "#d9dee4"

_THEME = {INK: "--ink", GREY: "--soft", FAINT: "--line", BLUE: "--right", VERMILION: "--wrong"}
"""The report's CSS variable that stands for each colour, so that figures follow its theme."""
_NOT_IN_A_PAGE = (
    (re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", re.S), ""),
    (re.compile(r' xmlns(:\w+)?="[^"]*"'), ""),  # outside addresses, which HTML needs none of
    (re.compile(r'(<svg [^>]*?)\bwidth="[^"]*"'), r"\1"),
    (re.compile(r'(<svg [^>]*?)\bheight="[^"]*"'), r"\1"),
)
"""What matplotlib writes for a file of its own, and what takes its place."""


def new_figure(width: float, height: float, constrained: bool = False) -> Figure:
    """An empty white figure, sizes in inches, outside of pyplot's global list."""
    figure = Figure(
        (width, height), dpi=DPI, facecolor="white", layout="constrained" if constrained else None
    )
    FigureCanvasAgg(figure)
    return figure


def new_plot(title: str) -> tuple[Figure, Axes]:
    """A figure with one styled pair of axes."""
    figure = new_figure(4.6, 3.4, constrained=True)  # in inches: its words are read on a phone
    axes = figure.subplots()
    axes.set_title(title, size=11, weight="bold", color=INK)
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
    with warnings.catch_warnings():
        # A box stands for a letter that the font has not; the terminal is no place to say so.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure) -> str:
    """The figure as an SVG element to put into the report, in the colours of the report's theme."""
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "gtrans"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    for pattern, kept in _NOT_IN_A_PAGE:
        svg = pattern.sub(kept, svg)
    # Every figure has the same ids; those that something refers to name what they hold.
    svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if f"#{found[1]}" in svg else "", svg)
    for colour, variable in _THEME.items():
        svg = re.sub(re.escape(colour), f"var({variable})", svg, flags=re.I)
    return svg


def plain_log(axis: Axis) -> None:
    """A logarithmic axis with plain numbers, such as 0.2, and a handful of them."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
