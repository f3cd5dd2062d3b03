"""The picture of the component means and of how well they are known."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from tfgmm.common.words import shown_number
from tfgmm.plot.colours import component_colours
from tfgmm.plot.frames import (
    FIGURE_SIZE,
    add_caption,
    check_finite,
    check_names,
    halo,
    marked,
    padded_limits,
    scaled,
    set_frame,
)
from tfgmm.plot.pictures import picture

# The 95 % quantile of chi-square with 2 degrees of freedom is -2 log(1 - 0.95): the squared radius, in sds.
_RADIUS = float(np.sqrt(-2 * np.log(0.05)))
_PANEL_HEIGHT = 2.1  # inches
_PANEL_LETTERS = 20  # of a name, side by side along a panel


@picture
def means(
    locs: ArrayLike,
    scales: ArrayLike,
    *,
    column_names: Sequence[str] | None = None,
    palette: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws a cross at each component's mean and the ellipse that holds it with probability 95 %; returns the Axes.

    The ellipse is about the LOCATION of a component, not about its rows: it shrinks as rows are added, and is often
    smaller than a cross. It is always true to scale. Given `ax`, only that is drawn, legible on top of a density.
    Without `ax`, the new figure has a map of all means above and, below it, one panel for each component, magnified
    so that the ellipse can be seen; all panels have the same scale, so that their sizes compare.

    Args:
        locs: (K, 2) posterior means of the locations, data units.
        scales: (K, 2) posterior standard deviations of the locations, data units, above 0.
        column_names: Two names, with the unit if there is one. None: those that `ax` has, else "column 0" and 1.
        palette: Colours of the components, as `component_colours` takes them.
        ax: Where to draw; its limits stay as they are if there is a picture on it already.

    Returns:
        The matplotlib Axes with the map. The magnified panels are the other `ax.figure.axes`.

    Raises:
        ValueError: Shapes that are not (K, 2); NaN or infinite numbers; a scale that is not above 0.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> ax = means([[2.0, 54.5], [4.3, 80.0]], [[0.03, 0.6], [0.03, 0.5]], column_names=("eruptions", "waiting"))
    >>> len(ax.figure.axes)
    3
    >>> plt.close(ax.figure)
    """
    checked_locs = check_finite("locs", locs, "KD", fix="Pass one location of two columns per component.", D=2)
    fix = "Pass one standard deviation per location and column, e.g. `model.scales`."
    checked_scales = check_finite("scales", scales, "KD", fix=fix, K=len(checked_locs), D=2)
    if not (checked_scales > 0).all():
        raise ValueError(f"`scales` must be above 0. Received: a smallest value of {checked_scales.min()}. {fix}")
    names = None if column_names is None else check_names("column_names", column_names)
    panels: list[Axes] = []
    if ax is None:
        ax, panels = _new_map_and_panels(len(checked_locs))
    _draw_map(ax, checked_locs, checked_scales, names)
    for k, panel in enumerate(panels):
        _draw_panel(panel, k, checked_locs, checked_scales)
    _name_panels(panels, ax.get_xlabel(), ax.get_ylabel())
    return ax


def _draw_map(ax: Axes, locs: NDArray[np.float64], scales: NDArray[np.float64], names: tuple[str, str] | None) -> None:
    """Draws all means on one plane, with names."""
    is_empty = not ax.has_data()
    for k, colour in enumerate(component_colours(len(locs))):
        _draw_mean(ax, locs[k], scales[k], colour)
        corner = locs[k] + _RADIUS * scales[k] / np.sqrt(2)
        ax.annotate(str(k), corner, color=colour, xytext=(5, 4), **marked())
    if is_empty:
        set_frame(ax, padded_limits(np.concatenate([locs - _RADIUS * scales, locs + _RADIUS * scales]), 0.15))
        ax.set_title("Means of the components")
    x_name, y_name = names or (ax.get_xlabel() or "column 0", ax.get_ylabel() or "column 1")
    ax.set(xlabel=x_name, ylabel=y_name)
    add_caption(ax, "crosses: means; ellipses: their 95 %, true to scale")


def _draw_mean(ax: Axes, loc: NDArray[np.float64], scale: NDArray[np.float64], colour: str) -> None:
    """Draws one cross and its 95 % ellipse, both with a white rim."""
    width, height = 2 * _RADIUS * scale
    rim: dict[str, Any] = {"path_effects": halo(), "zorder": 5}
    ax.add_patch(Ellipse(tuple(loc), width, height, facecolor="none", edgecolor=colour, linewidth=1.5, **rim))
    ax.plot(*loc, linestyle="", marker="+", markersize=10, markeredgewidth=1.5, color=colour, **rim)


def _new_map_and_panels(num_components: int) -> tuple[Axes, list[Axes]]:
    """Makes the Axes of one new figure: the map, and below it one panel for each of the K components."""
    num_columns = _num_columns(num_components)
    num_lines = -(-num_components // num_columns)
    width, height = FIGURE_SIZE
    size = scaled(max(width, 1.7 * num_columns)), scaled(height + _PANEL_HEIGHT * num_lines)
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=size, layout="constrained")
    cells = figure.add_gridspec(num_lines + 1, num_columns, height_ratios=[height] + [_PANEL_HEIGHT] * num_lines)
    upper = figure.add_subplot(cells[0, :])
    panels = [figure.add_subplot(cells[1 + k // num_columns, k % num_columns]) for k in range(num_components)]
    return upper, panels


def _draw_panel(ax: Axes, k: int, locs: NDArray[np.float64], scales: NDArray[np.float64]) -> None:
    """Draws component k alone; the panel is a little larger than the largest ellipse of all."""
    colour = component_colours(k + 1)[k]
    _draw_mean(ax, locs[k], scales[k], colour)
    half = 1.25 * _RADIUS * scales.max(axis=0)
    set_frame(ax, np.stack([locs[k] - half, locs[k] + half], axis=1))
    where = ", ".join(shown_number(loc, scale) for loc, scale in zip(locs[k], scales[k], strict=True))
    ax.set_title(f"component {k}\n({where})", color=colour, fontsize="small")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(3))
    ax.ticklabel_format(useOffset=False)
    ax.tick_params(labelsize="x-small")


def _name_panels(panels: list[Axes], x_name: str, y_name: str) -> None:
    """Writes the names of the columns below the panels that have none below them, and left of those on the left."""
    num_columns = _num_columns(len(panels))
    for k, panel in enumerate(panels):
        if k + num_columns >= len(panels):
            panel.set_xlabel(textwrap.fill(x_name, _PANEL_LETTERS), fontsize="x-small")
        if k % num_columns == 0:
            panel.set_ylabel(textwrap.fill(y_name, _PANEL_LETTERS), fontsize="x-small")


def _num_columns(num_components: int) -> int:
    """Chooses how many of the K panels stand side by side."""
    return max(min(num_components, 3), int(np.ceil(num_components**0.5)))
