"""The pictures of an optimizer at work: losses and gradient norms of every step, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from tfgmm.plot.colours import component_colours, component_style
from tfgmm.plot.frames import add_caption, axes_or_new, check_finite
from tfgmm.plot.pictures import picture


@picture
def convergence(losses: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draws the loss of every step on a logarithmic axis; returns the Axes.

    Losses that are not all positive have no logarithm: then the axis is an even one, and a line above says so.

    Args:
        losses: Losses of T steps, (T,), nats.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: No losses; a wrong shape; NaN or infinite ones.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> ax = convergence([30.0, 21.0, 20.0])
    >>> ax.get_yscale()
    'log'
    >>> plt.close(ax.figure)
    """
    values = check_finite("losses", losses, "T", fix="Pass the loss of every step, e.g. fit.losses.")
    ax = axes_or_new(ax)
    ax.plot(1 + np.arange(len(values)), values, color=component_colours(1)[0])
    ax.set(xlabel="step", ylabel="loss (nats)", title="Loss by step")
    if (values > 0).all():
        _set_log_scale(ax)
    else:
        add_caption(ax, "even axis: some losses are not positive")
    return ax


@picture
def gradient_norms(norms: Mapping[str, ArrayLike], *, ax: Axes | None = None) -> Axes:
    """Draws the norm of every parameter's gradient at every step, on a logarithmic axis; returns the Axes.

    Args:
        norms: Norms of T steps, (T,), by parameter; zeros are left out.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        TypeError: Not a mapping.
        ValueError: Nothing in it; a wrong shape; NaN, infinite or negative norms.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> ax = gradient_norms({"locs": [2.0, 0.5], "scale": [1.0, 0.1]})
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['locs', 'scale']
    >>> plt.close(ax.figure)
    """
    fix = 'Pass one line per parameter, e.g. fit.gradient_norms or {"locs": [2.0, 0.5]}.'
    if not isinstance(norms, Mapping):
        raise TypeError(f"`norms` must be a mapping from names to norms. Received: {type(norms).__name__}. {fix}")
    if not norms:
        raise ValueError(f"`norms` must not be empty. Received: no parameter. {fix}")
    lines = {name: check_finite(f"norms[{name!r}]", values, "T", fix=fix) for name, values in norms.items()}
    if any((values < 0).any() for values in lines.values()):
        raise ValueError(f"`norms` must not be negative. Received: one below 0. {fix}")
    ax = axes_or_new(ax)
    for number, (name, values) in enumerate(lines.items()):
        positive = np.where(values > 0, values, np.nan)  # no logarithm
        ax.plot(1 + np.arange(len(values)), positive, label=name, **component_style(number))
    ax.set(xlabel="step", ylabel="norm of the gradient", title="Gradient norms by step")
    if any((values > 0).any() for values in lines.values()):
        _set_log_scale(ax)
    ax.legend(loc="best", fontsize="small")
    return ax


def _set_log_scale(ax: Axes) -> None:
    """Sets a logarithmic axis whose numbers read as plain ones where it spans less than a decade."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    if high < 20 * low:
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
        ax.tick_params(axis="y", which="minor", labelsize="small")
