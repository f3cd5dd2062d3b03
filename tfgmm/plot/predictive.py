"""The pictures that hold rows against rows that the model predicts: their histogram, and any statistic of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from tfgmm.common.checks import check_count, check_seed
from tfgmm.common.columns import column_labels
from tfgmm.common.words import shown_number
from tfgmm.plot.colours import component_colours, ink, mix, paper
from tfgmm.plot.frames import add_caption, axes_or_new, check_finite
from tfgmm.plot.mixtures import check_column, check_rows, marginal
from tfgmm.plot.partial_rows import ShownRows, check_sample_weight, check_values, draw_bars, num_bins_of
from tfgmm.plot.pictures import picture
from tfgmm.posterior.draws import Draws
from tfgmm.posterior.predictive import replicated_rows

_SIZE = (6.0, 3.6)
_NAMES = {0.0: "smallest value", 0.5: "median", 1.0: "largest value"}
_BAND = 0.9
_MOST_ROWS = 20_000  # of a predicted set, where the weights of the real rows say more


@picture
def predictive_check(
    rows: ArrayLike,
    predicted: ArrayLike | Draws,
    *,
    column: int | str = 0,
    column_name: str | None = None,
    num_sets: int = 200,
    seed: int = 0,
    sample_weight: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws histograms of real rows and of rows that the model predicts, in the same bins; returns the Axes.

    All have area 1. Of several predicted sets the band shows between which heights 90 % of them lie in each bin: the
    bars of a model that fits leave it in about one bin of ten. Of a single set its bars are drawn.

    Args:
        rows: (N,) one column of the data; or (N, D), all columns of the draws. Those without a value in the column,
            NaN, are counted in the key.
        predicted: Posterior draws, of which `num_sets` data sets of as many rows each are made (see
            `tfgmm.posterior.predictive.replicated_rows`); or predicted rows, (M,) of one set, or (R, M) of R sets.
        column: Column of the draws, by number, or by the name that they have for it.
        column_name: Name of the column, with the unit if there is one; default that of the draws, or "data value".
        num_sets, seed: Number and seed of the data sets that draws give.
        sample_weight: (N,) how often each row counts; default once. The data sets then have as many rows as the weights
            add up to, but at most 20,000, or N where that is more.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: Wrong shapes; infinite numbers; predicted rows that are NaN; rows that are all equal; an unknown
            column.

    Source: Gelman, Meng and Stern 1996.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> rows = np.random.default_rng(0).normal(size=300)
    >>> draws = Draws(np.ones((1, 1, 1)), np.zeros((1, 1, 1, 1)), np.ones((1, 1, 1, 1)))
    >>> ax = predictive_check(rows, draws)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['90 % of 200 predicted sets', 'their median', '300 rows']
    >>> plt.close(ax.figure)
    """
    all_rows, new, label = _both(rows, predicted, column, column_name, num_sets, seed, sample_weight)
    real = all_rows.complete()
    edges = bins_of(real)
    ax = axes_or_new(ax, _SIZE)
    colours = component_colours(2)
    # What lies beyond the rows counts in the area
    heights = np.stack([np.histogram(one, edges)[0] for one in new]) / (new.shape[1] * np.diff(edges))
    name_of_rows = all_rows.words()
    if len(new) == 1:
        draw_bars(ax, real, edges, color=mix(colours[0], paper(), 0.45), label=name_of_rows)
        ax.stairs(heights[0], edges, color=colours[1], linewidth=1.6, label=f"{new.shape[1]:,} predicted")
    else:
        low, middle, high = np.quantile(heights, [(1 - _BAND) / 2, 0.5, (1 + _BAND) / 2], axis=0)
        pale = mix(colours[1], paper(), 0.65)
        name = f"{100 * _BAND:g} % of {len(new):,} predicted sets"
        ax.stairs(high, edges, baseline=low, fill=True, color=pale, linewidth=0, label=name)
        ax.stairs(middle, edges, baseline=None, color=colours[1], linewidth=1.2, linestyle="--", label="their median")
        of_rows = np.histogram(real.values, edges, weights=real.weights, density=True)[0]
        ax.stairs(of_rows, edges, color=ink(), linewidth=1.6, label=name_of_rows)
    ax.set_ylim(bottom=0)
    ax.set(xlabel=label, ylabel="density", title="Posterior predictive beside the data")
    ax.legend(loc="best", fontsize="small")
    return ax


@picture
def predictive_statistic(
    rows: ArrayLike,
    predicted: ArrayLike | Draws,
    statistic: float | Callable[[NDArray[np.float64]], Any] = 0.5,
    *,
    name: str | None = None,
    column: int | str = 0,
    column_name: str | None = None,
    num_sets: int = 500,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draws one statistic of the data, and a histogram of it over data sets that the model predicts; returns the Axes.

    The line above tells the share of predicted sets whose statistic is larger than that of the data, equal ones by
    half (a posterior predictive p-value): near 0 or 1 the model does not give data like these. As the draws have
    seen the data, values for a model that fits are nearer to 0.5 than chance would have them. Rows without a value in
    the column, NaN, are left out.

    Args:
        rows: (N,) one column of the data; or (N, D), all columns of the draws.
        predicted: Posterior draws; or predicted rows (R, N) of R sets. See `predictive_check`.
        statistic: A quantile, from 0 for the smallest value to 1 for the largest; or a function from rows (N,) to a
            number, such as `np.std`.
        name: Name of the statistic; default that of the quantile, or of the function.
        column, column_name, num_sets, seed, ax: As in `predictive_check`.

    Raises:
        TypeError: A statistic that is neither.
        ValueError: As `predictive_check`; a quantile out of range; one set only; a statistic that is not finite.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> generator = np.random.default_rng(0)
    >>> ax = predictive_statistic(generator.normal(size=50), generator.normal(size=(400, 50)), np.std)
    >>> [text.get_text()[:9] for text in ax.get_legend().get_texts()]
    ['the data:', '400 predi']
    >>> plt.close(ax.figure)
    """
    called, value_of = _statistic(statistic, name)
    all_rows, new, label = _both(rows, predicted, column, column_name, num_sets, seed, None)
    real = all_rows.complete().values
    if len(new) < 2:
        raise ValueError("`predicted` must be at least two sets. Received: 1. Pass draws, or rows of shape (R, N).")
    observed = _value(value_of, real)
    replicated = np.array([_value(value_of, one) for one in new])
    share = float((replicated > observed).mean() + 0.5 * (replicated == observed).mean())
    spread = float(np.std(replicated)) or float(abs(observed - replicated[0])) or 1.0
    ax = axes_or_new(ax, _SIZE)
    ax.axvline(observed, color=ink(), label=f"the data: {shown_number(observed, spread)}")
    bars: dict[str, Any] = {"color": mix(component_colours(2)[1], paper(), 0.4), "stat": "count"}
    sets = ShownRows(replicated)
    draw_bars(ax, sets, num_bins_of(sets, 8, 40), label=f"{len(replicated):,} predicted sets", **bars)
    ax.margins(x=0.05)
    ax.set(xlabel=f"{called} of {label}", ylabel="predicted sets", title=f"Predicted {called}")
    add_caption(ax, f"larger in {_percent(share, len(replicated))} of predicted sets")
    ax.legend(loc="best", fontsize="small")
    return ax


def bins_of(rows: ShownRows) -> NDArray[np.float64]:
    """Computes the edges of even bins over rows (N,): the root of N of them, which is finer than for one cluster."""
    values = rows.values
    if np.ptp(values) == 0:
        equal = f"{len(values)} rows equal to {values[0]:g}"
        raise ValueError(f"`rows` must vary. Received: {equal}. Choose another column.")
    return np.linspace(values.min(), values.max(), 1 + num_bins_of(rows))


def _both(
    rows: ArrayLike,
    predicted: Any,
    column: int | str,
    column_name: str | None,
    num_sets: int,
    seed: int,
    sample_weight: ArrayLike | None,
) -> tuple[ShownRows, NDArray[np.float64], str]:
    """Extracts one column of the data (N,), predicted sets of it (R, M), and its label."""
    if isinstance(predicted, Draws):
        index = check_column("column", column, predicted)
        label = (
            column_labels(predicted.column_names, predicted.num_features)[index] if column_name is None else column_name
        )
        real = _real_rows(rows, predicted, index, sample_weight)
        sets = check_count("num_sets", num_sets, least=2)
        new = replicated_rows(marginal(predicted, [index]), sets, _size_of_set(real), check_seed(seed))[..., 0]
        return real, new, label
    values = check_values("rows", rows, "N", fix="Pass one column of the data.")
    fix = "Pass the same column of predicted rows, (M,) or (R, M), or posterior draws."
    new = check_finite("predicted", predicted, "M" if np.ndim(predicted) < 2 else "RM", fix=fix)
    label = "data value" if column_name is None else column_name
    return check_sample_weight(values, sample_weight), np.atleast_2d(new), label


def _real_rows(rows: ArrayLike, draws: Draws, index: int, sample_weight: ArrayLike | None) -> ShownRows:
    """Extracts one column of the data from rows with that column alone, or with all columns of the draws."""
    array = np.asarray(rows)
    fix = "Pass one column of the data, or all columns of the draws."
    if array.ndim != 1:
        checked = check_rows(array, draws, sample_weight)
        if checked is not None:
            array, sample_weight = checked.values[:, index], checked.weights
    return check_sample_weight(check_values("rows", array, "N", fix=fix), sample_weight)


def _size_of_set(rows: ShownRows) -> int:
    """Chooses the number of predicted rows of a set: that of the real ones, by weight, where they are not too many."""
    real = rows.complete()
    return int(np.clip(round(real.total), 1, max(_MOST_ROWS, len(real.values))))


def _statistic(statistic: Any, name: str | None) -> tuple[str, Callable[[NDArray[np.float64]], Any]]:
    """Looks up the name of a statistic and the function that computes it."""
    if callable(statistic):
        return name or str(getattr(statistic, "__name__", "statistic")), statistic
    if isinstance(statistic, bool) or not isinstance(statistic, (int, float, np.number)):
        raise TypeError(
            f"`statistic` must be a quantile or a function. Received: {type(statistic).__name__}. Pass for example "
            "0.5 or np.std."
        )
    level = float(statistic)
    if not 0 <= level <= 1:
        raise ValueError(f"`statistic` must be a quantile from 0 to 1. Received: {statistic!r}. 0.5 is the median.")
    called: str = name or _NAMES.get(level, f"{100 * level:g} % quantile")
    return called, lambda rows: np.quantile(rows, level)


def _value(statistic: Callable[[NDArray[np.float64]], Any], rows: NDArray[np.float64]) -> float:
    value = np.asarray(statistic(rows), dtype=np.float64)
    if value.shape != () or not np.isfinite(value):
        raise ValueError(
            f"`statistic` must give one finite number for rows (N,). Received: {value.tolist()}. Pass for example "
            "np.std."
        )
    return float(value)


def _percent(share: float, num_sets: int) -> str:
    """Writes a share in percent; one that no set, or every set, has is no exact 0 or 100."""
    if share < 1 / num_sets:
        return f"less than {100 / num_sets:.2g} %"
    return f"more than {100 - 100 / num_sets:.4g} %" if share > 1 - 1 / num_sets else f"{100 * share:.0f} %"
