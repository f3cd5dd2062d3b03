"""The picture of a two-dimensional density with the rows on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from numpy.typing import ArrayLike, NDArray

from tfgmm.common.checks import check_count
from tfgmm.plot.colours import DENSITY_COLORMAP, INK
from tfgmm.plot.frames import (
    FIGURE_SIZE,
    add_caption,
    axes_or_new,
    check_finite,
    check_names,
    equal_ratio,
    padded_limits,
    set_frame,
    unit_of,
)
from tfgmm.plot.grids import MASS_CAPTION, density_grid, draw_mass_lines, grid_edges
from tfgmm.plot.partial_rows import ShownRows, at_most, check_values, has_values
from tfgmm.plot.pictures import picture

_MAX_ROWS_SHOWN = 5_000
_MARGIN = 0.08
_ROWS_FIX = "Pass the training rows, two columns in data units."


@picture
def density(
    log_prob: Callable[[NDArray[np.float64]], Any],
    rows: ArrayLike | None = None,
    *,
    limits: ArrayLike | None = None,
    column_names: Sequence[str] | None = None,
    num_points: int = 200,
    ax: Axes | None = None,
) -> Axes:
    """Draws a picture of exp(log_prob), the rows on it, and the regions with 50 % and 90 %; returns the Axes.

    The cells are narrower where the rows are, so that a tight cluster is not lost between two points of an even
    grid. At most 5,000 rows are drawn, always the same ones; a line above says so. Rows that lack a value, NaN, are
    counted there. The two outlines are those of the smallest regions with that share of the probability
    inside the frame. Rows and cells are drawn as pixels even in a PDF or SVG. One unit is as long up as across where
    the two ranges differ less than threefold.

    Args:
        log_prob: Called with points, (B, 2) float64 in data units; returns (B,) nats. A model's or scorer's
            `log_prob` will do.
        rows: (N, 2), data units, NaN for a gap. None: no rows are drawn, and the cells are all equal.
        limits: ((x0, x1), (y0, y1)), data units. None: the range of the rows and 8 % more on each side.
        column_names: Two names, with the unit if there is one, e.g. "waiting (minutes)".
        num_points: Number of cells along each axis.
        ax: Axes to draw on; None makes a new figure.

    Returns:
        The matplotlib Axes. Its first collection holds the densities.

    Raises:
        TypeError: `log_prob` cannot be called.
        ValueError: Neither rows nor limits; wrong shapes; infinite numbers; reversed limits.

    Example:

    >>> import numpy as np
    >>> import matplotlib.pyplot as plt
    >>> def log_prob(x):
    ...     return -0.5 * (x**2).sum(axis=1) - np.log(2 * np.pi)
    >>> ax = density(log_prob, limits=((-4, 4), (-4, 4)), column_names=("x (m)", "y (m)"), num_points=50)
    >>> ax.get_xlabel()
    'x (m)'
    >>> plt.close(ax.figure)
    """
    if not callable(log_prob):
        raise TypeError(
            f"`log_prob` must be a function from points (B, 2) to log densities (B,). Received: "
            f"{type(log_prob).__name__}. Pass the method itself, e.g. `model.log_prob`, without calling it."
        )
    names = check_names("column_names", ("column 0", "column 1") if column_names is None else column_names)
    checked_rows = None if rows is None else check_values("rows", rows, "ND", fix=_ROWS_FIX, D=2)
    frame = _frame(limits, checked_rows)
    both = None if checked_rows is None else checked_rows[has_values(checked_rows)]
    sample = None if both is None else at_most(_MAX_ROWS_SHOWN, both)
    edges = grid_edges(frame, check_count("num_points", num_points, least=2), sample)
    grid = density_grid(log_prob, *edges)
    ax = axes_or_new(ax, _figure_size(frame))
    mesh = ax.pcolormesh(*edges, grid.values, cmap=DENSITY_COLORMAP, vmin=0.0, rasterized=True)
    _write_names(ax, mesh, names)
    draw_mass_lines(ax, grid, INK)
    caption = MASS_CAPTION
    if checked_rows is not None and both is not None and sample is not None:
        _draw_rows(ax, sample)
        caption += f"; {len(sample):,} of " if len(sample) < len(both) else "; "
        caption += ShownRows(checked_rows).words()
    add_caption(ax, caption)
    set_frame(ax, frame)
    return ax


def _frame(limits: ArrayLike | None, rows: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Chooses ((x0, x1), (y0, y1)), (2, 2), from the caller's limits or from the rows."""
    if limits is None:
        around = None if rows is None else padded_limits(rows, _MARGIN)
        if around is not None and np.isfinite(around).all():
            return around
        received = "None for both" if rows is None else "rows with a column of gaps alone"
        raise ValueError(
            f"`limits` must be given when there are no rows, or no values in a column. Received: {received}. "
            "Pass limits=((x0, x1), (y0, y1)) in data units, or the rows."
        )
    fix = "Pass ((x0, x1), (y0, y1)) in data units."
    frame = check_finite("limits", limits, "DE", fix=fix, D=2, E=2)
    if not (frame[:, 0] < frame[:, 1]).all():
        raise ValueError(
            f"`limits` must be ((x0, x1), (y0, y1)) with x0 < x1 and y0 < y1. Received: {frame.tolist()}. "
            "Put the smaller number first."
        )
    return frame


def _figure_size(frame: NDArray[np.float64]) -> tuple[float, float]:
    """Computes the size of a new figure in inches: as wide as an equal aspect needs, so that no gap is left."""
    ratio = equal_ratio(frame)
    width, height = FIGURE_SIZE
    return (width if ratio is None else float(np.clip(3.0 * ratio + 1.7, 4.4, 6.0)), height)


def _draw_rows(ax: Axes, rows: NDArray[np.float64]) -> None:
    """Draws rows (N, 2) as dots, smaller and fainter the more there are."""
    num_rows = max(1, len(rows))
    area = float(np.clip(3_000 / num_rows, 2.0, 10.0))
    alpha = float(np.clip(150 / num_rows, 0.25, 0.5))
    ax.scatter(rows[:, 0], rows[:, 1], s=area, color=INK, alpha=alpha, linewidths=0, rasterized=True)


def _write_names(ax: Axes, mesh: QuadMesh, names: tuple[str, str]) -> None:
    """Writes title, axis names, and the colour bar with its unit."""
    ax.set(title="Mixture density", xlabel=names[0], ylabel=names[1])
    label = f"density, per {_area_unit(*(unit_of(name) or f'unit of {name}' for name in names))}"
    ax.figure.colorbar(mesh, ax=ax, label=label if len(label) <= 40 else label.replace(" × ", "\n× "))


def _area_unit(x_unit: str, y_unit: str) -> str:
    """Writes the product of two units in words; the square of one where both are the same."""
    if x_unit != y_unit:
        return f"{x_unit} × {y_unit}"
    # "per m/s²" would say something else: only a single word goes without brackets.
    return f"{x_unit}²" if x_unit.replace("°", "").isalpha() else f"({x_unit})²"
