"""The pictures of a report, as text that a page holds within itself: SVG where that is small, else PNG."""

from __future__ import annotations

import base64
import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from tfgmm import plot

if TYPE_CHECKING:
    from tfgmm.fit_result import FitResult

_MOST_SVG = 200_000  # bytes; a larger picture is smaller as PNG
_DOTS = 120  # of a PNG, per inch
_LEAST_RANGE = 1e-6  # nats per row: a loss that moves less is level
_SIZE = (6.0, 4.4)
_FLAT = (6.0, 3.4)
_PANEL = 1.9  # inches
_MOST_COLUMNS = 5
_LONGEST = 40  # characters of a column's name
_NUM_DRAWS = 200


class Picture(NamedTuple):
    """A picture in a page.

    Args:
        source: "data:image/...", the whole picture.
        words: what it shows, for those who cannot see it.
        width, height: pixels on a plain screen.
        is_wide: of many panels, which a phone shows larger than itself and lets scroll.
    """

    source: str
    words: str
    width: int
    height: int
    is_wide: bool = False


def density_picture(result: FitResult, rows: np.ndarray, names: tuple[str, ...]) -> Picture:
    """Returns the density: of one column with its band, of two with the components, of more as a square of panels.

    Args:
        result: of the fit.
        rows: (n, D) of the data, data units.
        names: D names.
    """
    model, labels = result.model, [label(name) for name in names]
    num_columns = min(len(names), _MOST_COLUMNS)
    with plain_style():
        if num_columns == 1:
            figure = Figure(_SIZE, layout="constrained")
            plot.column_density(model.draws(_NUM_DRAWS, seed=0), rows, column_name=labels[0], ax=figure.add_subplot())
        elif num_columns == 2:
            figure = Figure(_SIZE, layout="constrained")
            axes = plot.density(model.log_prob, rows, column_names=labels, ax=figure.add_subplot())
            plot.components(model.mean_parameters(), ax=axes)
        else:
            size = _PANEL * num_columns + 0.6
            figure = Figure((size, size), layout="constrained")
            panels = figure.subplots(num_columns, num_columns, squeeze=False)
            plot.pairs(model.mean_parameters(), rows, column_names=labels, ax=panels)
        shown = ", ".join(names[:num_columns])
        words = f"Density of the mixture over {shown}, with {len(rows):,} rows and the components"
        return picture_of(figure, words, is_wide=num_columns > 2)


def restarts_picture(result: FitResult) -> Picture:
    """Returns how each restart climbed, and which optimum it reached."""
    with plain_style():
        figure = Figure(_FLAT, layout="constrained")
        plot.restarts(result.restarts, ax=figure.add_subplot())
        return picture_of(figure, f"Bounds of {len(result.restarts)} restarts, sweep by sweep, below the best")


def sweeps_picture(result: FitResult) -> Picture | None:
    """Returns the loss of every sweep over all rows, and of validation rows where there were any; None of a level one.

    Where restarts have climbed to the top already, a picture would show rounding alone.
    """
    if "val_loss" not in result.history and np.ptp(result.history["loss"]) < _LEAST_RANGE:
        return None
    with plain_style():
        figure = Figure(_FLAT, layout="constrained")
        axes = plot.loss(result.history, ax=figure.add_subplot())
        axes.set(xlabel="sweep over all rows", title="Loss by sweep")
        return picture_of(figure, f"Loss of {len(result.history['loss'])} sweeps over all rows")


def label(name: str) -> str:
    """Returns a column's name as a picture can show it: not too long, and no formula.

    Example:

    >>> print(label("price ($)"))
    price (\\$)
    """
    short = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    return short.replace("$", r"\$")


@contextlib.contextmanager
def plain_style() -> Iterator[None]:
    """Draws in matplotlib's own style, whatever the user's is: on white paper, with text that stays text."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        # The browser has the letters that matplotlib's font has not; equal fits give equal bytes
        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tfgmm"})
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def picture_of(figure: Figure, words: str, *, is_wide: bool = False) -> Picture:
    """Returns a figure as a picture in a page."""
    # The panels of a wide one hold too many dots for an SVG: no use to draw it twice
    source = "" if is_wide else _encoded(figure, "svg", metadata={"Date": None, "Creator": None})
    if is_wide or len(source) > _MOST_SVG:
        source = _encoded(figure, "png", dpi=_DOTS, metadata={"Software": None})
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Picture(source, words, width, height, is_wide)


def _encoded(figure: Figure, kind: str, **options: Any) -> str:
    """Returns the picture as a data URI: an image, in which nothing runs, whatever a column's name holds."""
    written = io.BytesIO()
    figure.savefig(written, format=kind, facecolor="white", **options)
    media = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    return f"data:{media};base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
