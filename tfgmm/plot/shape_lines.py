"""The picture of a choice among several covariance shapes: the evidence of each against the number of components."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tfgmm.plot.colours import component_marker, component_style, ink
from tfgmm.plot.frames import HALO, add_caption

_LEAST_DEPTH = 12.0  # nats
_DEEPEST = 5.0  # times the depth of what matters: so far down the best of a poor shape may pull the frame
_NAMES = {"evidence": "recommended", "held_out": "held out", "bic": "BIC", "icl": "ICL (groups)"}
# Where the letter of a chosen fit stands, points from it: four cannot cover each other, wherever the fits are
_BESIDE = ((0, 13), (0, -13), (-13, 0), (13, 0))


def draw_shapes(selection: Any, ax: Axes) -> None:
    """Draws a line per shape, the evidence in nats behind the best fit, and rings the fits that criteria choose.

    Args:
        selection: A `tfgmm.Selection` with several shapes.
        ax: Axes to draw on.
    """
    table = selection.table
    evidence = table[selection.decided_by]
    deficits = evidence - evidence.max()
    chosen = _places_of_criteria(selection)
    low = _lowest(selection, deficits, chosen)
    for number, shape in enumerate(selection.shapes):
        is_shape = table["covariance"] == shape
        style = component_style(number) | {"marker": component_marker(number), "markersize": 4, "linewidth": 1.3}
        ax.plot(table["num_components"][is_shape], deficits[is_shape], label=shape, zorder=3, **style)
    ax.set(
        xlabel="number of components",
        ylabel="evidence, behind the best (nats)",
        title="Which shape, and how many components",
    )
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=min(3, len(selection.shapes)), fontsize="small",
        frameon=False,
    )  # fmt: skip
    tried = table["num_components"]
    ax.set_ylim(low, -0.16 * low)
    ax.set_xlim(tried.min() - 0.6, tried.max() + 0.6)
    ax.set_xticks(np.unique(tried))
    for number, (place, names) in enumerate(chosen.items()):
        result = selection.results[place]
        letter = chr(ord("A") + number)
        _ring(ax, (result.num_components, float(deficits[place])), letter, _BESIDE[number])
        add_caption(ax, f"{letter}, {result.covariance} with {result.num_components}: {', '.join(names)}")
    below = [shape for shape in selection.shapes if deficits[table["covariance"] == shape].max() < low]
    if below:
        add_caption(ax, f"below this frame: {', '.join(below)}")


def _places_of_criteria(selection: Any) -> dict[int, list[str]]:
    """Lists the criteria that choose a fit, by its place among the results; the recommended one first."""
    places = {id(result): place for place, result in enumerate(selection.results)}
    found: dict[int, list[str]] = {}
    for criterion, name in _NAMES.items():
        if criterion in selection.best_by:
            found.setdefault(places[id(selection.best_by[criterion])], []).append(name)
    return found


def _lowest(selection: Any, deficits: NDArray[np.float64], chosen: dict[int, list[str]]) -> float:
    """Chooses the lower end of the frame: below all fits that criteria choose, and the best of most shapes."""
    depth = max(_LEAST_DEPTH, float(-deficits[list(chosen)].min()))
    if len(np.unique(selection.table["num_components"])) == 1:
        return float(1.25 * min(-depth, deficits.min()))  # a point per shape: nothing is hidden for it
    of_shapes = [-float(deficits[selection.table["covariance"] == shape].max()) for shape in selection.shapes]
    return -1.25 * max(depth, *(value for value in of_shapes if value <= _DEEPEST * depth))


def _ring(ax: Axes, point: tuple[int, float], letter: str, beside: tuple[int, int]) -> None:
    """Rings a fit, and writes its letter beside it."""
    ax.plot(*point, "o", markersize=11, markerfacecolor="none", markeredgecolor=ink(), markeredgewidth=1.2, zorder=5)
    ax.annotate(
        letter,
        point,
        xytext=beside,
        textcoords="offset points",
        ha="center",
        va="center",
        weight="bold",
        path_effects=HALO,
        zorder=6,
    )
