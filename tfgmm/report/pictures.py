"""The pictures of a report, as text that a page holds within itself: SVG where that is small, else PNG."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from tfgmm import plot
from tfgmm.plot import kinds
from tfgmm.plot.kinds import plain_style

if TYPE_CHECKING:
    from tfgmm.report.subject import FitRecord, Fitted

_MOST_SVG = 200_000  # bytes; a larger picture is smaller as PNG
_DOTS = 120  # of a PNG, per inch
_LEAST_RANGE = 1e-6  # nats per row: a loss that moves less is level
_SIZE = 6.0  # inches
_FLAT = (_SIZE, 3.4)


class Picture(NamedTuple):
    """A picture in a page.

    Args:
        source: "data:image/...", the whole picture.
        words: What it shows, for those who cannot see it.
        width, height: Pixels on a plain screen.
        is_wide: Whether it has many panels, so that a phone shows it larger than the screen and lets scroll.
    """

    source: str
    words: str
    width: int
    height: int
    is_wide: bool = False


def density_picture(fitted: Fitted, rows: np.ndarray) -> Picture:
    """Draws the density: one column with its band, two with the components, more as a square of panels.

    Args:
        fitted: The mixture.
        rows: Rows of the data, (n, D), data units.
    """
    names = fitted.column_names
    num_columns = min(len(names), kinds.MOST_COLUMNS)
    pictured = kinds.Pictured(fitted.mixture, fitted.picture_draws, rows, names, _SIZE)
    kind = kinds.KINDS[kinds.default_kind(num_columns)]
    with plain_style():
        figure = kind.draw(pictured, range(num_columns))
        words = (
            f"Density of the mixture over {', '.join(names[:num_columns])}, with {len(rows):,} rows and the components"
        )
        return picture_of(figure, words, is_wide=num_columns > 2)


def restarts_picture(record: FitRecord) -> Picture:
    """Draws how the bound of each restart rose, and which optimum it reached."""
    with plain_style():
        figure = Figure(_FLAT, layout="constrained")
        plot.restarts(record.restarts, ax=figure.add_subplot())
        return picture_of(figure, f"Bounds of {len(record.restarts)} restarts, sweep by sweep, below the best")


def sweeps_picture(record: FitRecord) -> Picture | None:
    """Draws the loss of every sweep over all rows, and of validation rows where there were any; None for a level one.

    Where restarts have reached the optimum already, a picture would show rounding alone.
    """
    if "val_loss" not in record.history and np.ptp(record.history["loss"]) < _LEAST_RANGE:
        return None
    with plain_style():
        figure = Figure(_FLAT, layout="constrained")
        axes = plot.loss(record.history, ax=figure.add_subplot())
        axes.set(xlabel="sweep over all rows", title="Loss by sweep")
        return picture_of(figure, f"Loss of {len(record.history['loss'])} sweeps over all rows")


def picture_of(figure: Figure, words: str, *, is_wide: bool = False) -> Picture:
    """Makes a figure a picture in a page."""
    # The panels of a wide one hold too many dots for an SVG: no use to draw it twice
    source = "" if is_wide else _encoded(figure, "svg", metadata={"Date": None, "Creator": None})
    if is_wide or len(source) > _MOST_SVG:
        source = _encoded(figure, "png", dpi=_DOTS, metadata={"Software": None})
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Picture(source, words, width, height, is_wide)


def _encoded(figure: Figure, kind: str, **options: Any) -> str:
    """Encodes the picture as a data URI: an image, in which nothing runs, whatever a column's name holds."""
    written = io.BytesIO()
    figure.savefig(written, format=kind, facecolor="white", **options)
    media = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    return f"data:{media};base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
