"""The pictures that set two answers side by side: two posteriors of one number, a density and the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from tfgmm.plot.colours import component_colours, ink
from tfgmm.plot.frames import axes_or_new, check_finite, check_names, padded_limits, write_number
from tfgmm.plot.partial_rows import at_most, check_sample_weight, check_values, draw_bars
from tfgmm.plot.pictures import picture
from tfgmm.plot.predictive import bins_of

_SIZE = (6.0, 3.6)
_MAX_KERNELS = 5_000
_NUM_POINTS = 400


@picture
def agreement(
    values_a: ArrayLike,
    values_b: ArrayLike,
    *,
    label: str,
    names: tuple[str, str] = ("a", "b"),
    centred: bool = False,
    palette: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the posterior of one number per component, as two sets of draws have it; returns the Axes.

    Lines are a's densities, filled areas b's; a component has its colour in both. Components must be in the same
    order: take `compare(a, b).aligned_a` and `.aligned_b`.

    Args:
        values_a, values_b: (C, S, K) draws, e.g. comparison.aligned_a.locs[..., 0]; C and S may differ.
        label: What the number is, with its unit.
        names: Names of the two engines.
        centred: Measure each component from its mean by b: for components that are far apart beside their widths.
        palette: Colours of the components, as `component_colours` takes them.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: Wrong shapes; other numbers of components; draws that do not vary.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> draws = np.random.default_rng(0).normal(size=(1, 500, 2))
    >>> ax = agreement(0.5 * draws, draws, label="location (m)", names=("closed form", "NUTS"))
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['closed form', 'NUTS', 'component 0', 'component 1']
    >>> plt.close(ax.figure)
    """
    fix = "Pass draws of one number per component, e.g. comparison.aligned_a.locs[..., 0]."
    first = check_finite("values_a", values_a, "CSK", fix=fix)
    second = check_finite("values_b", values_b, "CTL", fix=fix)
    if first.shape[2] != second.shape[2]:
        raise ValueError(
            f"`values_a` and `values_b` must have as many components. Received: {first.shape[2]} and "
            f"{second.shape[2]}. Take both from one `tfgmm.compare`."
        )
    texts = check_names("names", names)
    flat = [values.reshape(-1, values.shape[2]) for values in (first, second)]
    if not all((np.ptp(values, axis=0) > 0).all() for values in flat):
        raise ValueError("`values_a` and `values_b` must vary. Received: draws that are all equal. Pass more draws.")
    if centred:
        flat = [values - flat[1].mean(axis=0) for values in flat]
        label = f"{label}, from its mean by {texts[1]}"
    ax = axes_or_new(ax, _SIZE)
    colours = component_colours(first.shape[2])
    for k, colour in enumerate(colours):
        line, area = (values[:, k] for values in flat)
        _draw_density(ax, area, line, color=colour, fill=True, alpha=0.25, linewidth=0)
        _draw_density(ax, line, area, color=colour)
        outline: Any = ax.lines[-1].get_xydata()
        write_number(ax, k, tuple(outline[outline[:, 1].argmax()]), colour, above=True)
    marks: list[Any] = [Line2D([], [], color=ink()), Patch(color=ink(), alpha=0.25)]
    marks += [Patch(color=colour) for colour in colours]
    ax.legend(marks, [*texts, *(f"component {k}" for k in range(len(colours)))], loc="best", fontsize="small")
    ax.set(xlabel=label, ylabel="posterior density", title=f"{texts[0]} beside {texts[1]}")
    ax.margins(y=0.13)  # room for the numbers above the peaks
    ax.set_ylim(bottom=0)
    return ax


@picture
def density_with_band(
    rows: ArrayLike,
    grid: ArrayLike,
    mean: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    column_name: str = "data value",
    sample_weight: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws a histogram of rows, the posterior mean of their density, and its credible band; returns the Axes.

    Args:
        rows: (N,) one column of the data; those without a value, NaN, are counted in the key.
        grid: (G,) values, increasing. mean, lower, upper: (G,) densities there, as `density_band` returns them.
        column_name: Name of the column, with the unit if there is one.
        sample_weight: (N,) how often each row counts; default once.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: Wrong shapes; densities that are NaN; infinite numbers; rows that are all equal.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> x = np.linspace(-3, 3, 50)
    >>> y = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    >>> ax = density_with_band(np.random.default_rng(0).normal(size=300), x, y, 0.9 * y, 1.1 * y)
    >>> ax.get_ylabel()
    'density'
    >>> plt.close(ax.figure)
    """
    all_rows = check_sample_weight(check_values("rows", rows, "N", fix="Pass one column of the data."), sample_weight)
    real = all_rows.complete()
    x = check_finite("grid", grid, "G", fix="Pass increasing values.")
    fix = "Pass one density per value of the grid."
    middle, low, high = (
        check_finite(name, values, "G", fix=fix, G=len(x))
        for name, values in (("mean", mean), ("lower", lower), ("upper", upper))
    )
    ax = axes_or_new(ax, _SIZE)
    colour = component_colours(1)[0]
    draw_bars(ax, real, bins_of(real), color=ink(), alpha=0.15, label=all_rows.words())
    ax.fill_between(x, low, high, color=colour, alpha=0.35, linewidth=0, label="credible band")
    ax.plot(x, middle, color=colour, label="posterior mean")
    ax.set(xlabel=column_name, ylabel="density", title="Density and how sure it is")
    ax.legend(loc="best", fontsize="small")
    return ax


def _draw_density(ax: Axes, draws: NDArray[np.float64], others: NDArray[np.float64], **look: Any) -> None:
    """Draws the kernel density of draws over a range that holds most of both; far single draws do not widen it."""
    import seaborn  # a second to import: only when it is used

    ends = [np.quantile(values, [0.001, 0.999]) for values in (draws, others)]
    [limits] = padded_limits(np.reshape(ends, (-1, 1)), 0.15)
    seaborn.kdeplot(x=at_most(_MAX_KERNELS, draws), gridsize=_NUM_POINTS, clip=limits, ax=ax, **look)
