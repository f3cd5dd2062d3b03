"""The picture of the components themselves: an ellipse about the rows of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from tfgmm.plot.colours import component_style
from tfgmm.plot.frames import add_caption, axes_or_new, check_share, halo, padded_limits, set_frame, write_number
from tfgmm.plot.mixtures import (
    Gaussians,
    check_column_names,
    check_columns_of,
    check_draws,
    marginal,
    mean_gaussians,
)
from tfgmm.plot.pictures import picture
from tfgmm.posterior.draws import Draws


@picture
def components(
    draws: Draws,
    *,
    columns: Sequence[int | str] | None = None,
    mass: float = 0.95,
    min_weight: float = 0.01,
    column_names: Sequence[str] | None = None,
    palette: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the ellipse of every component that holds a share of its rows, numbered at its mean; returns the Axes.

    The ellipse is about the ROWS of a component, {x: (x - mu)' Sigma^-1 (x - mu) = -2 log(1 - mass)}; `means` draws
    where the mean itself may be. Parameters are averaged over the draws, so components must be in the same order
    in all of them (`tfgmm.align`).

    Args:
        draws: `model.mean_parameters()`, or posterior draws of any engine.
        columns: Two columns of the draws, by number or name; default the first two.
        mass: The share of a component's rows inside its ellipse, between 0 and 1.
        min_weight: Components with less weight are left out, and a line above says how many: those that no row needs
            lie where the prior does.
        column_names: One per column of the draws, with the unit. None: those that `ax` has, else those of the draws.
        palette: Colours of the components, as `component_colours` takes them.
        ax: Where to draw, for example on what `density` returned; its limits stay. None makes a new figure.

    Raises:
        TypeError: `draws` are no `tfgmm.Draws`.
        ValueError: Unknown columns, or not two; a mass or weight out of range.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> draws = Draws(np.array([[[0.4, 0.6]]]), np.array([[[[0.0, 0.0], [5.0, 1.0]]]]), np.ones((1, 1, 2, 2)))
    >>> ax = components(draws, column_names=("x (m)", "y (m)"))
    >>> len(ax.patches)
    2
    >>> plt.close(ax.figure)
    """
    chosen = check_columns_of(check_draws(draws), columns, 2)
    if len(chosen) != 2:
        raise ValueError(f"`columns` must be two columns. Received: {len(chosen)}. Pass for example (0, 1).")
    check_share("mass", mass, usual=0.95)
    if not 0 <= min_weight < 1:
        raise ValueError(f"`min_weight` must be from 0 to below 1. Received: {min_weight!r}. The usual value is 0.01.")
    labels = check_column_names(draws, column_names)
    mixture = mean_gaussians(marginal(draws, chosen))
    ax = axes_or_new(ax)
    is_empty = not ax.has_data()
    extents = draw_ellipses(ax, mixture, mass, min_weight)
    if is_empty:
        set_frame(ax, padded_limits(extents, 0.08))
        ax.set_title("Components")
    names = [labels[index] for index in chosen] if column_names is not None else [ax.get_xlabel(), ax.get_ylabel()]
    ax.set(xlabel=names[0] or labels[chosen[0]], ylabel=names[1] or labels[chosen[1]])
    num_left_out = int((mixture.weights < min_weight).sum())
    without = f"; {num_left_out} of weight below {min_weight:g} left out" if num_left_out else ""
    add_caption(ax, f"ellipses: {100 * mass:g} % of a component's rows{without}")
    return ax


def draw_ellipses(
    ax: Axes, mixture: Gaussians, mass: float, min_weight: float, *, is_small: bool = False
) -> NDArray[np.float64]:
    """Draws the ellipses of two-column components that weigh enough; returns corners around them, (2, 2)."""
    radius = float(np.sqrt(-2 * np.log1p(-mass)))  # the chi-square quantile with 2 degrees of freedom is its square
    heavy = np.flatnonzero(mixture.weights >= min(min_weight, mixture.weights.max()))
    for k in heavy:
        widths, axes = np.linalg.eigh(mixture.covariances[k])
        long, short = 2 * radius * np.sqrt(widths[::-1])
        angle = float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])))
        # A white rim would cover what a small panel shows
        rim: dict[str, Any] = {"linewidth": 1.1} if is_small else {"linewidth": 1.6, "path_effects": halo()}
        style = component_style(int(k)) | rim
        place = float(mixture.locs[k, 0]), float(mixture.locs[k, 1])
        ax.add_patch(Ellipse(place, long, short, angle=angle, fill=False, zorder=4, **style))
        write_number(ax, int(k), place, style["color"], size="x-small" if is_small else "medium")
    reach = radius * np.sqrt(np.diagonal(mixture.covariances[heavy], axis1=1, axis2=2))
    locs = mixture.locs[heavy]
    return np.stack([(locs - reach).min(axis=0), (locs + reach).max(axis=0)])
