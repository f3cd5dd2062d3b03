"""The pictures of a choice: every criterion against the number of components, or the evidence of several shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tfgmm.plot.colours import component_colours, component_marker, component_style, ink
from tfgmm.plot.frames import add_caption, axes_or_new, marked
from tfgmm.plot.pictures import picture

_FIGURE_SIZE = (6.4, 4.6)
_STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))
_EVIDENCE, _HELD_OUT = "evidence", "held-out density"
_SIDE_STEP = 0.09  # so that marks of one height do not hide each other
_LEAST_DEPTH = 6.0  # nats: e^-6 of the evidence
_LEAST_OF_SHAPES = 12.0  # nats
_DEEPEST = 5.0  # times the depth of what matters: so far down the best of a poor shape may pull the frame
_NAMES = {"evidence": "recommended", "held_out": "held out", "bic": "BIC", "icl": "ICL (groups)"}
# Where the letter of a chosen fit stands, points from it: four cannot cover each other, wherever the fits are
_BESIDE = ((0, 13), (0, -13), (-13, 0), (13, 0))
# Legends below a picture, whose lines may be anywhere
_BELOW: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "fontsize": "small", "frameon": False}


@picture
def num_components(selection: Any, *, ax: Axes | None = None) -> Axes:
    """Draws evidence, held-out density, BIC and ICL of every number of components tried; returns the Axes.

    All are drawn as nats away from the best number of that criterion, for all rows together, so that they can be
    compared and larger is better: BIC and ICL are halved and turned for that. Bars are one standard error of the
    difference from the best, row by row for held-out densities. The recommended number stands in a grey band. The
    evidence is the one that decides, see `Selection.decided_by`; that of importance sampling has bars too. The frame
    reaches down to the evidence and the held-out density of every number above the fewest plausible; numbers of which
    nothing is in it are named above.

    Of several covariance shapes the evidence is drawn, a line per shape; rings and letters show the fits that are
    recommended, that predict held-out rows best, and that BIC and ICL choose.

    Args:
        selection: A `tfgmm.Selection`, as `fit_mixture` returns it for several numbers or shapes.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        TypeError: `selection` is something else.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> import tfgmm
    >>> rows = np.random.default_rng(0).normal([[-3.0]] * 50 + [[3.0]] * 50, 0.5)
    >>> ax = num_components(tfgmm.fit_mixture(rows, [1, 2, 3], restarts=1))
    >>> ax.get_xlabel()
    'number of components'
    >>> plt.close(ax.figure)
    """
    table, chosen = _table_of(selection), int(selection.num_components)
    if len(selection.shapes) > 1:
        ax = axes_or_new(ax, _FIGURE_SIZE)
        _draw_shapes(selection, ax)
        return ax
    tried = table["num_components"]
    lines, errors = _deficits(table, selection.best.num_data, selection.decided_by)
    ax = axes_or_new(ax, _FIGURE_SIZE)
    ax.axvspan(chosen - 0.4, chosen + 0.4, color=ink(), alpha=0.12, zorder=0, linewidth=0)
    for number, ((name, values), colour) in enumerate(zip(lines.items(), component_colours(len(lines)), strict=True)):
        line, mark = _STYLES[number]
        places = tried + _SIDE_STEP * (number - 0.5 * (len(lines) - 1))
        style: dict[str, Any] = {"color": colour, "linestyle": line, "marker": mark, "markersize": 5, "linewidth": 1.2}
        ax.errorbar(places, values, yerr=errors.get(name), capsize=3, label=name, zorder=3, **style)
    ax.set(
        xlabel="number of components", ylabel="difference from the best (nats, all rows)", title="How many components"
    )
    ax.legend(ncols=len(lines), **_BELOW)
    plausible = ", ".join(str(number) for number in selection.plausible)
    add_caption(ax, f"grey: recommended, {chosen}; 90 % of the evidence: {plausible}")
    low = _set_limits(ax, lines, errors.get(_HELD_OUT, np.zeros(len(tried))), tried, selection.plausible)
    is_below = np.max(list(lines.values()), axis=0) < low
    notes = ["bars: one standard error, paired"] if _HELD_OUT in lines else []
    notes += ["evidence by importance sampling"] if _EVIDENCE in errors else []
    if is_below.any():
        notes.append(f"below this frame: {', '.join(str(number) for number in tried[is_below])}")
    if notes:
        add_caption(ax, "; ".join(notes))
    return ax


def _table_of(selection: Any) -> NDArray[Any]:
    table = getattr(selection, "table", None)
    if not isinstance(table, np.ndarray) or table.dtype.names is None:
        raise TypeError(
            f"`selection` must be a tfgmm.Selection. Received: {type(selection).__name__}. "
            "Pass what fit_mixture(data, range(1, 11)) returns."
        )
    return table


def _deficits(
    table: NDArray[Any], num_data: float, decided_by: str
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Computes each criterion in nats behind its best, (M,) each, and the standard errors of those that have one."""
    lines, errors = {_EVIDENCE: table[decided_by] - table[decided_by].max()}, {}
    if decided_by == "evidence":
        best, alone = int(np.argmax(table["evidence"])), table["evidence_error"]
        errors[_EVIDENCE] = np.where(np.arange(len(alone)) == best, 0.0, np.hypot(alone, alone[best]))
    if np.isfinite(table["behind"]).all():
        lines[_HELD_OUT] = -num_data * table["behind"]
        errors[_HELD_OUT] = num_data * np.nan_to_num(table["behind_error"])
    lines["BIC / 2"] = -0.5 * (table["bic"] - table["bic"].min())
    lines["ICL / 2"] = -0.5 * (table["icl"] - table["icl"].min())
    return lines, errors


def _set_limits(
    ax: Axes,
    lines: dict[str, NDArray[np.float64]],
    errors: NDArray[np.float64],
    tried: NDArray[np.int64],
    plausible: tuple[int, ...],
) -> float:
    """Sets the frame around what matters, and gives its lowest value."""
    is_above, is_plausible = tried >= plausible[0], np.isin(tried, plausible)
    depths = [_LEAST_DEPTH, *(-values[is_plausible].min() for values in lines.values())]
    depths += [-lines[_EVIDENCE][is_above].min()]
    top = 0.0
    if _HELD_OUT in lines:
        depths += [float((errors - lines[_HELD_OUT])[is_above].max())]
        top = float((errors + lines[_HELD_OUT])[is_above].max())
    low = -1.06 * max(depths)
    ax.set_ylim(low, max(0.08 * -low, 1.1 * top))
    ax.set_xlim(tried.min() - 0.6, tried.max() + 0.6)
    ax.set_xticks(tried)
    return low


def _draw_shapes(selection: Any, ax: Axes) -> None:
    """Draws a line per shape, the evidence in nats behind the best fit, and rings the fits that criteria choose."""
    table = selection.table
    evidence = table[selection.decided_by]
    deficits = evidence - evidence.max()
    chosen = _places_of_criteria(selection)
    low = _lowest(selection, deficits, chosen)
    for number, shape in enumerate(selection.shapes):
        is_shape = table["covariance"] == shape
        style = component_style(number) | {"marker": component_marker(number), "markersize": 4, "linewidth": 1.3}
        ax.plot(table["num_components"][is_shape], deficits[is_shape], label=shape, zorder=3, **style)
    title = "Which shape, and how many components"
    ax.set(xlabel="number of components", ylabel="evidence, behind the best (nats)", title=title)
    ax.legend(ncols=min(3, len(selection.shapes)), **_BELOW)
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
    depth = max(_LEAST_OF_SHAPES, float(-deficits[list(chosen)].min()))
    if len(np.unique(selection.table["num_components"])) == 1:
        return float(1.25 * min(-depth, deficits.min()))  # a point per shape: nothing is hidden for it
    of_shapes = [-float(deficits[selection.table["covariance"] == shape].max()) for shape in selection.shapes]
    return -1.25 * max(depth, *(value for value in of_shapes if value <= _DEEPEST * depth))


def _ring(ax: Axes, point: tuple[int, float], letter: str, beside: tuple[int, int]) -> None:
    """Rings a fit, and writes its letter beside it."""
    ax.plot(*point, "o", markersize=11, markerfacecolor="none", markeredgecolor=ink(), markeredgewidth=1.2, zorder=5)
    ax.annotate(letter, point, xytext=beside, ha="center", va="center", **marked())
