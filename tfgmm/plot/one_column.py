"""The pictures of a mixture of one column: its components, and to which of them rows belong."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from tfgmm.common.checks import check_count
from tfgmm.plot.colours import component_colours, component_marker, component_style, ink
from tfgmm.plot.column_densities import grid_of
from tfgmm.plot.frames import axes_or_new, check_finite
from tfgmm.plot.partial_rows import ShownRows, check_values, has_values
from tfgmm.plot.pictures import picture
from tfgmm.posterior.draws import Draws
from tfgmm.posterior.predictive import component_densities

_WIDE = (6.0, 3.6)
_FLAT = (6.0, 2.6)


@picture
def weighted_components(
    weights: ArrayLike,
    locs: ArrayLike,
    scales: ArrayLike,
    rows: ArrayLike | None = None,
    *,
    column_name: str = "data value",
    palette: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the density of a mixture of one column, each weighted component, and the rows below; returns the Axes.

    Args:
        weights: (K,) that sum to 1.
        locs: (K,) means, data units.
        scales: (K,) standard deviations, or one number for all.
        rows: (N,), data units, drawn as marks on the axis; those without a value, NaN, are counted; None for none.
        column_name: Name of the column, with the unit if there is one.
        palette: Colours of the components, as `component_colours` takes them.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: Wrong shapes; infinite numbers; parameters that are NaN; scales that are not positive.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> ax = weighted_components([0.4, 0.6], [0.5, 11.0], 0.65, [0.0, 1.0, 10.0, 11.0, 12.0])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['component 0', 'component 1', 'sum', '5 rows']
    >>> plt.close(ax.figure)
    """
    fix = "Pass one number per component."
    middles = check_finite("locs", locs, "K", fix=fix)
    shares = check_finite("weights", weights, "K", fix=fix, K=len(middles))
    all_scales = np.broadcast_to(scales, middles.shape) if np.ndim(scales) == 0 else scales
    widths = check_finite("scales", all_scales, "K", fix=fix, K=len(middles))
    if not (widths > 0).all():
        raise ValueError(f"`scales` must be positive. Received: {widths.min()}. Pass standard deviations.")
    checked = None if rows is None else ShownRows(check_values("rows", rows, "N", fix="Pass one column, data units."))
    points = np.empty(0) if checked is None else checked.complete().values
    mixture = Draws(shares[None, None], middles[None, None, :, None], widths[None, None, :, None])
    grid = grid_of(mixture, np.concatenate([middles - 4 * widths, middles + 4 * widths, points]))
    parts = component_densities(mixture, grid)
    ax = axes_or_new(ax, _WIDE)
    for k, part in enumerate(parts):
        ax.plot(grid, part, label=f"component {k}", zorder=2.5, **component_style(k))
    ax.plot(grid, parts.sum(axis=0), color=ink(), linewidth=1.0, label="sum")
    if checked is not None:
        marks: dict[str, Any] = {"linestyle": "", "marker": "|", "markersize": 12, "color": ink(), "clip_on": False}
        ax.plot(points, np.zeros(len(points)), label=checked.words(), **marks)
    ax.set(xlabel=column_name, ylabel="probability density", title=f"Density of {len(parts)} components")
    ax.set_ylim(bottom=0)
    ax.legend(loc="best", fontsize="small")
    return ax


@picture
def assignments(
    x: ArrayLike,
    components: ArrayLike,
    *,
    num_components: int | None = None,
    title: str = "Assignment",
    column_name: str = "data value",
    palette: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the component that each value was assigned to, one line of marks per component; returns the Axes.

    Args:
        x: (N,) values, data units: a grid, or rows. Those that are missing, NaN, are left out.
        components: (N,) whole numbers, as `classify` or `assign` returns them.
        num_components: K; default as many as appear.
        title: What the assignment is, e.g. "Most probable component".
        column_name: Name of the column, with the unit if there is one.
        palette: Colours of the components, as `component_colours` takes them.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: Wrong shapes; infinite values; components of values that are not 0 to K - 1.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> ax = assignments([0.0, 1.0, 10.0], [0, 0, 1], title="Most probable component")
    >>> ax.get_ylabel()
    'component'
    >>> plt.close(ax.figure)
    """
    values = check_values("x", x, "N", fix="Pass one column, data units.")
    fix = "Pass one whole number per value, as `classify` returns them."
    numbers = check_finite("components", components, "N", fix=fix, N=len(values))
    values, numbers = values[has_values(values)], numbers[has_values(values)]  # assign gives -1 where there is no value
    if num_components is None:
        num_components = int(numbers.max()) + 1 if numbers.max() >= 0 else 1
    num_components = check_count("num_components", num_components)
    wrong, last = np.setdiff1d(numbers, np.arange(num_components)), num_components - 1
    if len(wrong):
        raise ValueError(f"`components` must be whole numbers from 0 to {last}. Received: {wrong[0]:g}. {fix}")
    ax = axes_or_new(ax, _FLAT)
    size = float(np.clip(400 / len(values), 3.0, 7.0))
    for k, colour in enumerate(component_colours(num_components)):
        of_component = values[numbers == k]
        ax.plot(of_component, np.full(len(of_component), k), "x", color=colour, markersize=size)
    ax.set(xlabel=column_name, ylabel="component", title=title, ylim=(-0.5, num_components - 0.5))
    ax.set_yticks(range(num_components))
    return ax


@picture
def assignment_probabilities(
    x: ArrayLike,
    probabilities: ArrayLike,
    *,
    locs: ArrayLike | None = None,
    column_name: str = "data value",
    palette: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the probability of every component for each value, a mark per component; returns the Axes.

    Args:
        x: (N,) values, data units. Those that are missing, NaN, are left out.
        probabilities: (N, K), rows sum to 1.
        locs: (K,) means, named in the legend; None for numbers alone.
        column_name: Name of the column, with the unit if there is one.
        palette: Colours of the components, as `component_colours` takes them.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: Wrong shapes; infinite numbers; probabilities that are NaN.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> ax = assignment_probabilities([0.0, 10.0], [[0.9, 0.1], [0.0, 1.0]], locs=[0.5, 11.0])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['component 0, mean 0.5', 'component 1, mean 11']
    >>> plt.close(ax.figure)
    """
    values = check_values("x", x, "N", fix="Pass one column, data units.")
    fix = "Pass a line of K probabilities per value."
    shares = check_finite("probabilities", probabilities, "NK", fix=fix, N=len(values))
    values, shares = values[has_values(values)], shares[has_values(values)]
    num_components = shares.shape[1]
    middles = None if locs is None else check_finite("locs", locs, "K", fix="One per component.", K=num_components)
    ax = axes_or_new(ax, _WIDE)
    for k, colour in enumerate(component_colours(num_components)):
        label = f"component {k}" + ("" if middles is None else f", mean {middles[k]:.3g}")
        # Hollow and of different forms, so that marks upon each other stay visible, in grey as well
        style: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 1.4, "clip_on": False}
        ax.plot(values, shares[:, k], component_marker(k), color=colour, label=label, **style)
    ax.set(xlabel=column_name, ylabel="probability", title="Probability of each component", ylim=(0, 1))
    ax.legend(loc="center", fontsize="small")
    return ax
