"""The picture of one column of a mixture: its density with a credible band, and its components."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from tfgmm.common.columns import column_labels
from tfgmm.plot.colours import component_style, ink
from tfgmm.plot.frames import axes_or_new, check_share, unit_of, write_number
from tfgmm.plot.mixtures import check_column, check_draws, check_rows, marginal, thinned
from tfgmm.plot.partial_rows import ShownRows, draw_bars, num_bins_of
from tfgmm.plot.pictures import picture
from tfgmm.posterior.draws import Draws
from tfgmm.posterior.predictive import component_densities, density_band

_SIZE = (6.0, 3.6)
_NUM_EVEN, _NUM_NEAR, _MOST_NEAR = 200, 41, 20


@picture
def column_density(
    draws: Draws,
    rows: ArrayLike | None = None,
    *,
    column: int | str = 0,
    interval: float = 0.9,
    column_name: str | None = None,
    sample_weight: ArrayLike | None = None,
    palette: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the density of one column, its credible band, its weighted components and the rows; returns the Axes.

    The marginal density of a Gaussian mixture in closed form: its mean over the draws, and the band in which it lies
    with the probability `interval`, at each value by itself. The components' lines are means over the draws as well:
    these must have them in the same order (`tfgmm.align`). Of more than 2,000 draws 2,000 are used.

    Args:
        draws: Posterior draws of any engine, e.g. `model.draws(1000)`; a single draw has no band.
        rows: (N, D) all columns of the draws, data units, or (N,) where D is 1; drawn as bars of area 1. Those without
            a value in the column, NaN, are counted in the key.
        column: Column, by number, or by the name that the draws have for it.
        interval: The probability of the band, between 0 and 1.
        column_name: Name of the column, with the unit if there is one; default that of the draws.
        sample_weight: (N,) how often each row counts in the bars; default once.
        palette: Colours of the components, as `component_colours` takes them.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        TypeError: `draws` are no `tfgmm.Draws`.
        ValueError: An unknown column; wrong shapes; infinite rows; weights that are none; an interval out of range.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> generator = np.random.default_rng(0)
    >>> locs = np.array([[0.0], [5.0]]) + 0.1 * generator.normal(size=(1, 50, 2, 1))
    >>> ax = column_density(Draws(np.full((1, 50, 2), 0.5), locs, np.ones_like(locs)), column_name="length (m)")
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['90 % band', 'density', 'component 0', 'component 1']
    >>> plt.close(ax.figure)
    """
    index = check_column("column", column, check_draws(draws))
    checked_rows = check_rows(rows, draws, sample_weight)
    check_share("interval", interval)
    values = None if checked_rows is None else checked_rows.part(index)
    label = column_labels(draws.column_names, draws.num_features)[index] if column_name is None else column_name
    ax = axes_or_new(ax, _SIZE)
    draw_column(ax, thinned(marginal(draws, [index])), values, interval)
    unit = unit_of(label)
    ax.set(xlabel=label, ylabel=f"density, per {unit}" if unit else "density", title="Density and its components")
    ax.legend(loc="best", fontsize="small")
    return ax


def draw_column(
    ax: Axes, draws: Draws, rows: ShownRows | None, interval: float | None, *, size: str = "medium"
) -> None:
    """Draws bars of the rows, band and mean of the density, and the components, of draws of one column."""
    shown = None if rows is None else rows.complete()
    values = None if shown is None or len(shown.values) == 0 else shown.values
    x = grid_of(draws, values)
    band = density_band(draws, x, 0.9 if interval is None else interval)
    highest = [band.mean.max()]
    if rows is not None and shown is not None and values is not None and np.ptp(values) > 0:
        bars: dict[str, Any] = {"color": ink(), "alpha": 0.15, "label": rows.words()}
        highest.append(draw_bars(ax, shown, num_bins_of(shown, fewest=10), **bars))
    if interval is not None and draws.num_draws > 1:
        name = f"{100 * interval:g} % band"
        highest.append(band.upper.max())
        ax.fill_between(x, band.lower, band.upper, color=ink(), alpha=0.3, linewidth=0, label=name)
    ax.plot(x, band.mean, color=ink(), linewidth=1.2, label="density")
    for k, part in enumerate(component_densities(draws, x)):
        style = component_style(k)
        ax.plot(x, part, label=f"component {k}", **style)
        peak = int(np.argmax(part))
        if part[peak] > 0.02 * band.mean.max():
            write_number(ax, k, (float(x[peak]), float(part[peak])), style["color"], above=True, size=size)
    ax.set_ylim(0, 1.13 * max(highest))  # room for the numbers above the peaks
    ax.set_xlim(x[0], x[-1])


def grid_of(draws: Draws, values: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Chooses values at which no peak is missed: an even grid over the rows, finer about the means of some draws.

    Without rows it reaches four standard deviations beyond all components but the lightest, 1 % of the weight.
    """
    few = thinned(draws, _MOST_NEAR)
    locs, scales = few.locs.ravel(), few.scales.ravel()
    if values is None:
        heavy = few.weights.ravel() >= min(0.01, float(few.weights.max()))
        low, high = (locs - 4 * scales)[heavy].min(), (locs + 4 * scales)[heavy].max()
    else:
        margin = 0.08 * float(np.ptp(values)) or 4 * float(scales.max())
        low, high = values.min() - margin, values.max() + margin
    near = (locs[:, None] + scales[:, None] * np.linspace(-4, 4, _NUM_NEAR)).ravel()
    places = np.unique(np.concatenate([np.linspace(low, high, _NUM_EVEN), near[(near > low) & (near < high)]]))
    # More points than pixels are of no use, but where many are close together a peak may be narrow
    step = max(1, len(places) // 1_200)
    return np.unique(np.concatenate([places[::step], [low, high]]))
