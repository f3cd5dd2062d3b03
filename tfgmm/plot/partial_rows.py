"""Rows with gaps and weights in pictures: checked, cut to those with a value, counted in words, drawn as bars."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from tfgmm.common.shapes import check_shape
from tfgmm.common.words import counted
from tfgmm.plot.frames import check_array


class ShownRows(NamedTuple):
    """Rows of a picture.

    Args:
        values: (N, D) or (N,) float64, data units; NaN where a row has no value, but not everywhere.
        weights: (N,) float64, positive; None where each row counts once.
    """

    values: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None

    def part(self, columns: int | list[int]) -> ShownRows:
        """Takes one column, (N,), or several."""
        return ShownRows(self.values[:, columns], self.weights)

    def complete(self) -> ShownRows:
        """Takes the rows that have all values of the columns at hand; there may be none."""
        has_all = has_values(self.values)
        return self if has_all.all() else ShownRows(*(None if a is None else a[has_all] for a in self))  # type: ignore[arg-type]

    @property
    def total(self) -> float:
        """The number of rows, or the sum of their weights."""
        return float(len(self.values) if self.weights is None else self.weights.sum())

    def words(self) -> str:
        """Writes how many complete rows there are, how many others, and whether they have weights.

        Example:

        >>> ShownRows(np.array([1.0, np.nan, 2.0])).words()
        '2 rows (1 lacks a value)'
        """
        num_complete = int(has_values(self.values).sum())
        num_others = len(self.values) - num_complete
        lack = "lacks" if num_others == 1 else "lack"
        without = f" ({num_others:,} {lack} a value)" if num_others else ""
        return f"{counted(num_complete, 'row')}{'' if self.weights is None else ', weighted'}{without}"


def at_most(most: int, rows: NDArray[Any]) -> NDArray[Any]:
    """Takes at most that many rows, always the same ones."""
    if len(rows) <= most:
        return rows
    return rows[np.random.default_rng(0).choice(len(rows), most, replace=False)]


def has_values(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tells which rows, of (N, D) or (N,), have all values, (N,) bool."""
    is_gap: NDArray[np.bool_] = np.isnan(values)
    return np.logical_not(is_gap if values.ndim == 1 else is_gap.any(axis=1))


def check_values(name: str, values: ArrayLike, letters: str, *, fix: str, **sizes: int) -> NDArray[np.float64]:
    """Checks rows that may have gaps: the axes `letters`, no infinite value, one value at least; gives float64."""
    array = check_array(name, values, letters, fix=fix, **sizes)
    num_infinite = int(np.isinf(array).sum())
    if num_infinite:
        raise ValueError(
            f"`{name}` must hold no infinite number. Received: {num_infinite} of {array.size:,} values are infinite. "
            "Drop or mend them first; a value that is missing is NaN."
        )
    if np.isnan(array).all():
        raise ValueError(f"`{name}` must have some values. Received: {array.size:,} that are all NaN. {fix}")
    return array


def check_sample_weight(values: NDArray[np.float64], sample_weight: ArrayLike | None) -> ShownRows:
    """Checks the weights of rows (N, D) or (N,), and leaves out rows of weight 0."""
    if sample_weight is None:
        return ShownRows(values)
    fix = "Pass how often each row counts: 2 is the row twice, 0 is no row."
    weights = check_array("sample_weight", sample_weight, "N", fix=fix)
    check_shape("sample_weight", weights, "N", fix=fix, N=len(values))
    is_good = np.isfinite(weights) & (weights >= 0)
    if not is_good.all():
        bad = weights[~is_good][0]
        raise ValueError(f"`sample_weight` must be finite and not negative. Received: {bad:g}. {fix}")
    if not weights.any():
        raise ValueError(f"`sample_weight` must be above 0 for some rows. Received: 0 for all of them. {fix}")
    counts = weights > 0
    return ShownRows(values[counts], weights[counts])


def draw_bars(ax: Axes, rows: ShownRows, bins: int | NDArray[np.float64], **look: Any) -> float:
    """Draws complete rows of one column, by weight, as bars of area 1, and gives the height of the highest.

    Args:
        ax: Axes to draw on.
        rows: (N,), without gaps.
        bins: Number of bars, or their edges.
        look: Goes to `seaborn.histplot`.
    """
    import seaborn  # a second to import: only when it is used

    # One area: as many bars as it has would take ten times as long
    options: dict[str, Any] = {"stat": "density", "element": "step", "linewidth": 0, "alpha": 1.0} | look
    seaborn.histplot(x=rows.values, weights=rows.weights, bins=np.asarray(bins).tolist(), **options, ax=ax)
    return float(np.max(ax.collections[-1].get_paths()[0].vertices, axis=0)[1])


def num_bins_of(rows: ShownRows, fewest: int = 5, most: int = 80) -> int:
    """Chooses how many bars rows (N,) get: the root of N, which is finer than for one cluster, within bounds."""
    return int(np.clip(np.sqrt(rows.total), fewest, most))
