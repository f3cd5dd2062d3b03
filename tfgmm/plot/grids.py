"""Densities on a rectangle of cells: where the cells lie, what they hold, and what share lies within a contour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tfgmm.common.shapes import check_shape

MASSES = (0.5, 0.9)
LINE_STYLES = ("-", "--")
MASS_CAPTION = "lines hold 50 % and 90 %"
_CHUNK = 10_000  # points per call of `log_prob`: bounds its (B, K) intermediates


class Grid(NamedTuple):
    """A density per unit area, (M, L), in cells with the edges x (L + 1,) and y (M + 1,)."""

    x_edges: NDArray[np.float64]
    y_edges: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def masses(self) -> NDArray[np.float64]:
        """The probability in each cell, (M, L)."""
        masses: NDArray[np.float64] = self.values * np.outer(np.diff(self.y_edges), np.diff(self.x_edges))
        return masses


def middles(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Computes the middles (L,) between edges (L + 1,)."""
    return (edges[:-1] + edges[1:]) / 2


def cell_edges(low: float, high: float, num_cells: int, values: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Computes num_cells + 1 rising edges from `low` to `high`: half evenly spread, half where the `values` (N,) are.

    Even cells alone lose a cluster that is narrower than a cell. The edges are equal steps of the average of two
    distribution functions: the uniform one, and that of the values with straight lines between them.
    """
    even = np.linspace(low, high, num_cells + 1)
    inside = np.empty(0) if values is None else values[(values > low) & (values < high)]
    if inside.size == 0:
        return even
    knots, counts = np.unique(inside, return_counts=True)
    places = np.concatenate([[low], knots, [high]])
    empirical = np.concatenate([[0.0], np.cumsum(counts) / inside.size, [1.0]])
    uniform = (places - low) / (high - low)
    edges = np.interp(np.linspace(0, 1, num_cells + 1), (uniform + empirical) / 2, places)
    edges[[0, -1]] = low, high
    return edges


def grid_edges(
    limits: NDArray[np.float64], num_cells: int, rows: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Computes the edges of cells along x and y within limits (2, 2), by rows (N, 2) where there are any."""
    (x_low, x_high), (y_low, y_high) = limits
    x, y = (None, None) if rows is None else rows.T
    return cell_edges(x_low, x_high, num_cells, x), cell_edges(y_low, y_high, num_cells, y)


def density_grid(
    log_prob: Callable[[NDArray[np.float64]], Any], x_edges: NDArray[np.float64], y_edges: NDArray[np.float64]
) -> Grid:
    """Evaluates exp(log_prob) at the middle of every cell. `log_prob`: (B, 2) float64 -> (B,) nats."""
    columns, lines = np.meshgrid(middles(x_edges), middles(y_edges))
    points = np.column_stack([columns.ravel(), lines.ravel()])
    parts = [_log_prob_at(log_prob, points[i : i + _CHUNK]) for i in range(0, len(points), _CHUNK)]
    return Grid(x_edges, y_edges, np.exp(np.concatenate(parts)).reshape(columns.shape))


def _log_prob_at(log_prob: Callable[[NDArray[np.float64]], Any], points: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.asarray(log_prob(points), dtype=np.float64)
    fix = "It is given points (B, 2) in data units and must return one log density in nats for each."
    check_shape("log_prob(points)", values, "B", fix=fix, B=len(points))
    num_bad = int(np.isnan(values).sum() + np.isposinf(values).sum())
    if num_bad:
        raise ValueError(
            f"`log_prob` must return numbers below infinity. Received: {num_bad} of {values.size:,} are NaN or "
            "infinite. Check that the model has been fitted, and that `limits` are in data units."
        )
    return values


def mass_levels(grid: Grid, masses: Sequence[float]) -> NDArray[np.float64]:
    """Computes the density above which each share of the grid's probability lies, one per entry of `masses`.

    The region above such a level is the smallest one with that share (highest-density region). Shares are of the
    probability inside the grid. All zero where the grid holds none.
    """
    order = np.argsort(grid.values, axis=None)[::-1]
    cumulative = np.cumsum(grid.masses.ravel()[order])
    if not cumulative[-1] > 0:
        return np.zeros(len(masses))
    return np.interp(masses, cumulative / cumulative[-1], grid.values.ravel()[order])


def draw_mass_lines(ax: Axes, grid: Grid, colour: str) -> None:
    """Draws the outlines of the highest-density regions with 50 % and 90 % of the probability."""
    x, y = middles(grid.x_edges), middles(grid.y_edges)
    for level, style in zip(mass_levels(grid, MASSES), LINE_STYLES, strict=True):
        if grid.values.min() < level < grid.values.max():
            ax.contour(x, y, grid.values, levels=[level], colors=[colour], linestyles=style, linewidths=1.2)
