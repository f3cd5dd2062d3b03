"""The pictures of sampled chains: traces of a number, and two numbers together."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from tfgmm.common.checks import check_count
from tfgmm.plot.colours import DENSITY_COLORMAP, INK, component_colours, ink
from tfgmm.plot.frames import axes_or_new, check_finite, check_names, write_number
from tfgmm.plot.pictures import picture

_SIZE = (6.5, 3.0)


@picture
def trace(values: ArrayLike, *, label: str, title: str = "Trace", palette: Any = None, ax: Axes | None = None) -> Axes:
    """Draws the draws of each component in the order in which they came, chain after chain; returns the Axes.

    A component has its colour. Chains follow each other from left to right, with a line between them: where
    components are swapped from one chain to the next, the colours change places.

    Args:
        values: (C, S, K) draws of one number per component, e.g. draws.locs[..., 0].
        label: What the number is, with its unit.
        title: Title above the picture.
        palette: Colours of the components, as `component_colours` takes them.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: A wrong shape; NaN or infinite draws.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> ax = trace(np.zeros((2, 5, 3)), label="location (m)")
    >>> ax.get_xlabel()
    'draw (2 chains of 5, one after the other)'
    >>> plt.close(ax.figure)
    """
    draws = check_finite("values", values, "CSK", fix="Pass draws of one number, e.g. draws.locs[..., 0].")
    num_chains, num_draws, num_components = draws.shape
    ax = axes_or_new(ax, _SIZE)
    colours = component_colours(num_components)
    for chain in range(num_chains):
        steps = chain * num_draws + np.arange(num_draws)
        for k, colour in enumerate(colours):
            label_once = f"component {k}" if chain == 0 else None
            ax.plot(steps, draws[chain, :, k], color=colour, linewidth=0.8, label=label_once)
        if chain:
            ax.axvline(chain * num_draws - 0.5, color=ink(), linewidth=0.8, linestyle=":")
    for k, colour in enumerate(colours):  # told apart in grey as well
        write_number(ax, k, (num_chains * num_draws - 1, float(draws[-1, :, k].mean())), colour)
    counted = "draw" if num_chains == 1 else f"draw ({num_chains} chains of {num_draws:,}, one after the other)"
    ax.set(xlabel=counted, ylabel=label, title=title)
    ax.margins(x=0.02)
    # Beside the picture: chains leave no free corner
    legend = ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
    for line in legend.get_lines():
        line.set_linewidth(2.0)
    return ax


@picture
def joint_histogram(
    values: ArrayLike,
    *,
    labels: tuple[str, str],
    num_bins: int = 20,
    title: str = "Joint posterior",
    ax: Axes | None = None,
) -> Axes:
    """Draws a two-dimensional histogram of draws, and contours of its logarithm; returns the Axes.

    The logarithm keeps the foothills of a mode visible, and a second mode that holds few draws.

    Args:
        values: (S, 2) draws of two numbers.
        labels: What they are, with their units.
        num_bins: Number of bins along each axis.
        title: Title above the picture.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: A wrong shape; NaN or infinite draws; `num_bins` below 2.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> draws = np.random.default_rng(0).normal(size=(500, 2))
    >>> ax = joint_histogram(draws, labels=("location 0", "location 1"))
    >>> round(sum(ax.collections[0].get_array().ravel()))
    500
    >>> plt.close(ax.figure)
    """
    draws = check_finite("values", values, "SE", fix="Pass two columns of draws.", E=2)
    names = check_names("labels", labels)
    import seaborn  # a second to import: only when it is used

    x, y = draws.T
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=check_count("num_bins", num_bins, least=2))
    ax = axes_or_new(ax)
    cells: dict[str, Any] = {"bins": [x_edges, y_edges], "cmap": DENSITY_COLORMAP, "vmin": 0, "rasterized": True}
    seaborn.histplot(x=x, y=y, **cells, thresh=None, cbar=True, cbar_kws={"label": "draws per cell"}, ax=ax)
    # log(h + 3): three levels and more even where a cell holds few draws. An empty ring of cells closes all lines
    ring = [np.concatenate([2 * e[:1] - e[1:2], e, 2 * e[-1:] - e[-2:-1]]) for e in (x_edges, y_edges)]
    middles = [(edges[1:] + edges[:-1]) / 2 for edges in ring]
    ax.contour(*middles, np.log(np.pad(counts.T, 1) + 3.0), colors=INK, linewidths=0.7, alpha=0.7)
    ax.set(xlabel=names[0], ylabel=names[1], title=title)
    ax.locator_params(nbins=5)
    return ax
