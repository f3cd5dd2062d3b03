"""The picture of a mixture of many columns: a triangle of panels, one per column and one per pair of them."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from tfgmm.common.checks import check_count
from tfgmm.common.words import counted
from tfgmm.plot.colours import DENSITY_COLORMAP, INK, component_style, ink
from tfgmm.plot.column_densities import draw_column
from tfgmm.plot.ellipses import draw_ellipses
from tfgmm.plot.frames import scaled
from tfgmm.plot.grids import density_grid, grid_edges
from tfgmm.plot.mixtures import (
    check_column_names,
    check_columns_of,
    check_draws,
    check_rows,
    frame_about,
    marginal,
    mean_gaussians,
    mean_log_density,
    thinned,
)
from tfgmm.plot.partial_rows import ShownRows, at_most
from tfgmm.plot.pictures import picture
from tfgmm.posterior.draws import Draws

_MOST_COLUMNS = 5
_MOST_ROWS = 1_000
_MASS = 0.95
_MOST_KEYS = 12  # components in the key, the heaviest
_PANEL, _NAMES = 1.9, 0.6  # inches
_LETTERS = 18  # of a name, side by side along a panel


@picture
def pairs(
    draws: Draws,
    rows: ArrayLike | None = None,
    *,
    columns: Sequence[int | str] | None = None,
    column_names: Sequence[str] | None = None,
    min_weight: float = 0.01,
    num_points: int = 60,
    sample_weight: ArrayLike | None = None,
    palette: Any = None,
    ax: Any = None,
) -> NDArray[Any]:
    """Draws the density of each column in a square of Axes, on its diagonal, and of each pair below it; returns it.

    All are marginals of the same mixture, in closed form. A panel on the diagonal shows the rows as bars, the density
    and its components; one below it the density in colour, the rows, and an ellipse with 95 % of the rows
    of each component. Densities are means over the draws (at most 50 of them below the
    diagonal); ellipses and components are drawn at averages, so draws must be aligned. At most 1,000 rows are drawn
    below the diagonal, always the same ones; a row with gaps, NaN, is in the panels whose columns it has. Above the
    diagonal stand the key and which columns are shown.

    Args:
        draws: `model.mean_parameters()`, or posterior draws of any engine.
        rows: (N, D) all columns of the draws, data units; None for none.
        columns: Columns, by number or name, 2 or more; default the first five.
        column_names: One name per column of the draws, with the unit; default those of the draws.
        min_weight: Components with less weight get no ellipse.
        num_points: Number of cells along each axis of a panel.
        sample_weight: (N,) how often each row counts in the bars; default once. Below the diagonal a row is one dot.
        palette: Colours of the components, as `component_colours` takes them.
        ax: A `seaborn.PairGrid` of P columns, or an array of Axes (P, P), as `plt.subplots(P, P)` makes them; None
            makes a grid.

    Returns:
        A (P, P) array of Axes; those above the diagonal are empty. On the diagonal of a grid they are twins of the
        grid's own, as densities do not share the y axis of the line.

    Raises:
        TypeError: `draws` are no `tfgmm.Draws`.
        ValueError: Unknown columns, fewer than 2; wrong shapes; infinite rows; weights that are none.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> draws = Draws(np.ones((1, 1, 1)), np.zeros((1, 1, 1, 3)), np.ones((1, 1, 1, 3)))
    >>> panels = pairs(draws, column_names=("length (m)", "mass (kg)", "age (s)"))
    >>> panels.shape, panels[2, 0].get_xlabel(), panels[2, 0].get_ylabel()
    ((3, 3), 'length (m)', 'age (s)')
    >>> plt.close(panels[0, 0].figure)
    """
    chosen = check_columns_of(check_draws(draws), columns, _MOST_COLUMNS)
    if len(chosen) < 2:
        raise ValueError(
            f"`columns` must be at least two. Received: {len(chosen)}. For a single column draw `column_density`."
        )
    labels = check_column_names(draws, column_names)
    checked_rows = check_rows(rows, draws, sample_weight)
    shown = None if checked_rows is None else checked_rows.part(chosen)
    cells = check_count("num_points", num_points, least=2)
    panels = _panels(ax, len(chosen))
    part = thinned(marginal(draws, chosen))
    frame = frame_about(part, None if shown is None else shown.values, min_weight)
    for line, column in itertools.product(range(len(chosen)), repeat=2):
        if column < line:
            pair = [column, line]
            some = None if shown is None else shown.part(pair).complete()
            _draw_pair(panels[line, column], marginal(part, pair), some, frame[pair], min_weight, cells)
        elif column > line and panels[line, column] is not None:
            panels[line, column].set_axis_off()
    _dress(panels, [labels[index] for index in chosen], frame)
    _write_key(panels, part, shown, len(chosen), draws.num_features)
    for line in range(len(chosen)):
        panels[line, line] = _of_densities(panels[line, line])
        some = None if shown is None else shown.part(line)
        draw_column(panels[line, line], marginal(part, [line]), some, None, size="x-small")
        panels[line, line].set(xlim=frame[line], yticks=[], ylabel="")  # densities of columns with different units
    return panels


def _panels(ax: Any, num_columns: int) -> NDArray[Any]:
    """Gives the (P, P) Axes of the caller, or those of a new grid."""
    if ax is None:
        import pandas
        import seaborn  # a second to import: only when it is used

        height = scaled(_PANEL + _NAMES / num_columns)
        ax = seaborn.PairGrid(pandas.DataFrame(np.zeros((1, num_columns))), height=height, despine=False)
        ax.figure.set_layout_engine("constrained")
    panels = np.array(getattr(ax, "axes", ax), dtype=object)
    if panels.shape != (num_columns, num_columns) or not all(isinstance(panel, Axes) for panel in np.diag(panels)):
        raise ValueError(
            f"`ax` must be a seaborn.PairGrid or an array of Axes, ({num_columns}, {num_columns}): one per pair of "
            f"columns. Received: {type(ax).__name__}, shape {panels.shape}. Pass for example "
            f"plt.subplots({num_columns}, {num_columns})[1]."
        )
    return panels


def _of_densities(ax: Axes) -> Axes:
    """Gives the Axes of the densities of a column: a twin of `ax` where that shares its y axis with others."""
    if len(ax.get_shared_y_axes().get_siblings(ax)) == 1:
        return ax
    twin = ax.twinx()
    ax.set_ylabel("")
    ax.tick_params(left=False, labelleft=False)
    return twin


def _draw_pair(
    ax: Axes,
    draws: Draws,
    rows: ShownRows | None,
    limits: NDArray[np.float64],
    min_weight: float,
    num_cells: int,
) -> None:
    """Draws density, some rows and the ellipses of draws of two columns."""
    edges = grid_edges(limits, num_cells, None if rows is None else rows.values)
    grid = density_grid(mean_log_density(draws), *edges)
    ax.pcolormesh(*edges, grid.values, cmap=DENSITY_COLORMAP, vmin=0.0, rasterized=True)
    if rows is not None:
        sample = at_most(_MOST_ROWS, rows.values)
        alpha = float(np.clip(150 / max(1, len(sample)), 0.25, 0.5))
        ax.scatter(sample[:, 0], sample[:, 1], s=2.0, color=INK, alpha=alpha, linewidths=0)
    draw_ellipses(ax, mean_gaussians(draws), _MASS, min_weight, is_small=True)


def _dress(panels: NDArray[Any], labels: Sequence[str], frame: NDArray[np.float64]) -> None:
    """Writes names and numbers at the outer edges alone, and gives all panels of a column the same limits."""
    last = len(panels) - 1
    for line, column in itertools.combinations_with_replacement(range(last, -1, -1), 2):
        panel = panels[line, column]
        panel.set_xlim(*frame[column])
        if column < line:
            panel.set_ylim(*frame[line])
        panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.yaxis.set_major_locator(MaxNLocator(4))
        panel.tick_params(labelsize="x-small", labelbottom=line == last, labelleft=column == 0 and line > 0)
        if line == last:
            panel.set_xlabel(textwrap.fill(labels[column], _LETTERS), fontsize="small")
        if column == line:
            panel.set_title("density" if line == 0 else "", fontsize="small")
        elif column == 0:
            panel.set_ylabel(textwrap.fill(labels[line], _LETTERS), fontsize="small")


def _write_key(panels: NDArray[Any], draws: Draws, shown: ShownRows | None, num_shown: int, num_features: int) -> None:
    """Writes what is drawn into the empty panel at the upper right."""
    weights = draws.weights.mean(axis=(0, 1))
    heavy = sorted(np.argsort(-weights)[:_MOST_KEYS].tolist())
    marks = [Line2D([], [], **component_style(k)) for k in heavy]
    texts = [f"component {k}, weight {100 * weights[k]:.0f} %" for k in heavy]
    marks += [Line2D([], [], color=ink(), linewidth=1.2)]
    texts += ["all together" if len(heavy) == len(weights) else f"all {len(weights)} together"]
    few = f"{num_shown} of {num_features} columns" if num_shown < num_features else f"{num_features} columns"
    title = f"{few}{'' if shown is None else _about_rows(shown)}\nellipses: 95 % of a component"
    look: dict[str, Any] = {"fontsize": "x-small", "title_fontsize": "small", "frameon": False}
    legend = (panels[0, -1] or panels[0, 0].figure).legend(marks, texts, title=title, loc="upper right", **look)
    legend.set_in_layout(False)  # it is wider than a panel, and nothing else stands there


def _about_rows(rows: ShownRows) -> str:
    """Writes how many rows there are, and which of them are not in all panels."""
    num_rows, num_complete = len(rows.values), len(rows.complete().values)
    words = f", {counted(num_rows, 'row')}"
    if num_rows > _MOST_ROWS:
        words += f"\n({_MOST_ROWS:,} dots in a panel)"
    if num_complete < num_rows:
        words += f"\n({num_rows - num_complete:,} with gaps, where they have values)"
    return words if rows.weights is None else f"{words}\n(bars by weight, dots by row)"
