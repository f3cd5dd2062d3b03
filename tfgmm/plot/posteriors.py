"""The pictures of posterior draws: one number, two together, or a parameter of a mixture by its name."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from tfgmm.common.words import shown_number
from tfgmm.plot.colours import component_colours, ink, mix, paper
from tfgmm.plot.frames import (
    add_caption,
    axes_or_new,
    check_finite,
    check_names,
    check_share,
    halo,
    padded_limits,
    set_frame,
)
from tfgmm.plot.grids import LINE_STYLES, MASS_CAPTION, MASSES
from tfgmm.plot.mixtures import check_draws
from tfgmm.plot.partial_rows import ShownRows, at_most, draw_bars
from tfgmm.plot.pictures import picture
from tfgmm.posterior.draws import Draws

_MAX_KERNELS = 4_000
_NUM_CELLS = 100
_TAILS = 0.002  # of the draws, on either side, lie beyond the cells: few far ones do not make these large
_WORDS = {"weights": "weight", "locs": "mean", "scales": "standard deviation", "covariances": "covariance"}


@picture
def posterior(
    values: ArrayLike, *, label: str, interval: float = 0.9, colour: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draws a histogram of posterior draws, their mean, and the central interval; returns the Axes.

    The bars have area 1, so the height is a density. The interval leaves out (1 - interval) / 2 of the draws on
    either side.

    Args:
        values: (S,) draws of one number.
        label: What the number is, with its unit, e.g. "standard deviation of eruptions (minutes), component 0".
        interval: The share of the draws inside the interval, between 0 and 1.
        colour: Colour of the bars; `component_colours(K)[k]` for component k. None: that of component 0.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: No draws; a wrong shape; NaN or infinite draws; all draws equal; `interval` not inside (0, 1).

    Example:

    >>> import numpy as np
    >>> import matplotlib.pyplot as plt
    >>> ax = posterior(np.linspace(1.0, 3.0, 101), label="spread (m)", interval=0.5)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['mean: 2.00', '50 % interval: 1.50 to 2.50']
    >>> plt.close(ax.figure)
    """
    draws = check_finite("values", values, "S", fix="Pass the draws of one number.")
    _check_vary(draws[:, None])
    check_share("interval", interval)
    fill = component_colours(1)[0] if colour is None else colour
    low, high = np.quantile(draws, [(1 - interval) / 2, (1 + interval) / 2])
    mean_text, low_text, high_text = (shown_number(v, float(draws.std())) for v in (draws.mean(), low, high))
    ax = axes_or_new(ax)
    top = draw_bars(ax, ShownRows(draws), _num_bins(draws), color=mix(fill, paper(), 0.35))
    ax.axvspan(low, high, color=mix(fill, paper(), 0.85), linewidth=0, zorder=0)
    ax.axvline(draws.mean(), color=ink(), label=f"mean: {mean_text}")
    ends = f"{100 * interval:g} % interval: {low_text} to {high_text}"
    for end, name in ((low, ends), (high, None)):
        ax.axvline(end, color=ink(), linewidth=1.1, linestyle="--", label=name)
    ax.set_ylim(0, 1.35 * top)  # room for the legend above the bars
    ax.set(xlabel=textwrap.fill(label, 56), ylabel="density", title="Posterior draws")
    ax.legend(loc="upper right", fontsize="small", framealpha=1.0)
    return ax


@picture
def posterior_joint(
    values: ArrayLike, *, labels: Sequence[str], colour: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draws the joint density of two numbers, from their posterior draws; returns the Axes.

    The density is that of `seaborn.kdeplot` (bandwidth by Scott's rule). Each band holds a tenth of the probability,
    the darkest where the density is highest; the outermost tenth stays white. Two lines enclose 50 % and 90 %.
    At most 4,000 draws are used, always the same ones. One unit is as long up as across where the
    two ranges differ less than threefold.

    Args:
        values: (S, 2) draws; 3 or more.
        labels: What the two numbers are, with their units.
        colour: Colour of the bands; `component_colours(K)[k]` for component k. None: that of component 0.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: Too few draws; a wrong shape; NaN or infinite draws; draws that all lie on one line.

    Example:

    >>> import numpy as np
    >>> import matplotlib.pyplot as plt
    >>> draws = np.random.default_rng(0).normal([2.0, 54.5], [0.03, 0.6], size=(200, 2))
    >>> ax = posterior_joint(draws, labels=("mean eruption (minutes)", "mean waiting (minutes)"))
    >>> ax.get_xlabel()
    'mean eruption (minutes)'
    >>> plt.close(ax.figure)
    """
    draws = check_finite("values", values, "SD", fix="Pass the draws of two numbers, one row per draw.", D=2)
    names = check_names("labels", labels)
    _check_vary(draws)
    fill = component_colours(1)[0] if colour is None else colour
    ax = axes_or_new(ax)
    _draw_kernels(ax, draws, fill)
    centre = draws.mean(axis=0)
    where = ", ".join(shown_number(value, width) for value, width in zip(centre, draws.std(axis=0), strict=True))
    ax.plot(*centre, linestyle="", marker="+", markersize=10, color=ink(), path_effects=halo())
    ax.locator_params(nbins=5)
    ax.set(xlabel=textwrap.fill(names[0], 42), ylabel=textwrap.fill(names[1], 42), title="Joint posterior")
    add_caption(ax, f"{MASS_CAPTION}; cross: mean ({where})")
    return ax


@picture
def parameter_posterior(
    draws: Draws,
    name: str,
    *,
    label: str | None = None,
    interval: float = 0.9,
    palette: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the posterior of one number of the mixture, in the colour of its component; returns the Axes.

    Components must be in the same order in all draws: see `tfgmm.align`. All chains are taken together.

    Args:
        draws: Posterior draws of any engine.
        name: As `draws.numbers()` names it, such as "weights[0]", "locs[1, waiting]" or "scales[0, 1]".
        label: What the number is, with its unit; default the name in words, "mean of waiting, component 1".
        interval: The share of the draws inside the interval, between 0 and 1.
        palette: Colours of the components, as `component_colours` takes them.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        TypeError: `draws` are no `tfgmm.Draws`.
        ValueError: No such number; draws that are all equal; `interval` not inside (0, 1).

    Example:

    >>> import numpy as np
    >>> import matplotlib.pyplot as plt
    >>> locs = np.random.default_rng(0).normal(size=(1, 100, 2, 1))
    >>> draws = Draws(np.full((1, 100, 2), 0.5), locs, np.ones_like(locs), column_names=("waiting",))
    >>> parameter_posterior(draws, "locs[1, waiting]").get_xlabel()
    'mean of waiting, component 1'
    >>> plt.close("all")
    """
    names, values = check_draws(draws).numbers()
    if name not in names:
        few = ", ".join(names[:6]) + (f" and {len(names) - 6} more (draws.numbers()[0])" if len(names) > 6 else "")
        raise ValueError(f"`name` must be a number of the mixture: {few}. Received: {name!r}. Choose one of them.")
    k, words = _in_words(name, has_names=draws.column_names is not None)
    colour = component_colours(k + 1)[k]
    number: Any = values[..., names.index(name)].ravel()
    return posterior(number, label=words if label is None else label, interval=interval, colour=colour, ax=ax)


def _draw_kernels(ax: Axes, draws: NDArray[np.float64], fill: str) -> None:
    """Draws bands and outlines of the kernel density of draws (S, 2), and sets the frame about the widest outline."""
    import seaborn  # a second to import: only when it is used

    limits = padded_limits(np.quantile(draws, [_TAILS, 1 - _TAILS], axis=0), 0.12)
    x, y = at_most(_MAX_KERNELS, draws).T
    shares = np.linspace(0.1, 1.0, 10)  # of the probability, below each level
    options: dict[str, Any] = {"gridsize": _NUM_CELLS, "clip": limits, "fill": True, "levels": shares}
    tints = seaborn.blend_palette([mix(fill, paper(), share) for share in (0.88, 0.25)], as_cmap=True)
    seaborn.kdeplot(x=x, y=y, **options, cmap=tints, ax=ax)
    bands: Any = ax.collections[-1]
    levels = [bands.levels[round(10 * (1 - mass)) - 1] for mass in reversed(MASSES)]
    ax.contour(bands, levels=levels, colors=ink(), linestyles=LINE_STYLES[::-1], linewidths=1.2)
    widest: Any = ax.collections[-1].get_paths()[0].vertices
    set_frame(ax, padded_limits(widest, 0.2))


def _check_vary(draws: NDArray[np.float64]) -> None:
    """Checks that draws (S, D) have a spread to draw a density of."""
    deviations = draws - draws.mean(axis=0)
    widths = np.abs(deviations).max(axis=0)
    if (widths > 0).all() and np.linalg.matrix_rank(deviations / widths, tol=1e-9) == draws.shape[1]:
        return
    raise ValueError(
        f"`values` must vary: in each column, and not along one line. Received: {len(draws)} draws with ranges "
        f"{np.ptp(draws, axis=0).tolist()}. Pass more draws, or leave out a number that is fixed."
    )


def _num_bins(draws: NDArray[np.float64]) -> int:
    """Chooses 8 to 200 bins: numpy's "auto" choice, kept in bounds where the tails are long."""
    quartiles = np.quantile(draws, [0.25, 0.75])
    width = 2 * (quartiles[1] - quartiles[0]) / len(draws) ** (1 / 3)
    return 8 if width <= 0 else int(np.clip(np.ptp(draws) / width, 8, 200))


def _in_words(name: str, *, has_names: bool) -> tuple[int, str]:
    """Reads the component from a number's name, and writes the name in words."""
    match = re.fullmatch(r"(\w+)\[(\d+)(?:, (.*))?\]", name, flags=re.S)
    kind, component, features = match.groups() if match else (name, "0", None)
    which = "" if features is None else " of " + ("" if has_names else "column ") + features.replace(", ", " and ")
    return int(component), f"{_WORDS.get(kind, kind)}{which}, component {component}"
