"""The picture of several restarts: how the bound of each rose, and which optimum it reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tfgmm.plot.colours import component_colours, ink
from tfgmm.plot.frames import add_caption, axes_or_new, check_finite
from tfgmm.plot.pictures import picture

_SIZE = (6.0, 3.6)
_SAME = 0.1  # nats: bounds closer than this are one optimum
_LOWEST = 1e-3  # nats


@picture
def restarts(restarts: Sequence[Any], *, ax: Axes | None = None) -> Axes:
    """Draws for every restart how far its bound lies below the best one, sweep by sweep; returns the Axes.

    The axis is logarithmic and ends at 0.001 nats. A line that runs down to it reached the best optimum; one that
    stays level, with a dot at its end, sits in a worse one. Restarts whose ends differ by less than 0.1 nats count as
    one optimum.

    Args:
        restarts: Restarts of a fit, `result.restarts`; or the bounds of each, (T,), nats, higher is better.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: No restarts; bounds that are empty, NaN or infinite.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> ax = restarts([[-120.0, -101.0, -100.0], [-130.0, -110.5, -110.0]])
    >>> ax.get_ylabel()
    'bound below the best (nats)'
    >>> plt.close(ax.figure)
    """
    paths = [
        check_finite(f"restarts[{number}]", getattr(restart, "elbos", restart), "T", fix="Pass `result.restarts`.")
        for number, restart in enumerate(restarts)
    ]
    if not paths:
        raise ValueError("`restarts` must not be empty. Received: no restart. Pass `result.restarts`.")
    best = max(float(path.max()) for path in paths)
    ends = np.array([best - path[-1] for path in paths])
    number, num_best = num_optima(ends)
    ax = axes_or_new(ax, _SIZE)
    best_look: dict[str, Any] = {"color": component_colours(1)[0]}
    look_below: dict[str, Any] = {"color": ink(), "linewidth": 0.9, "linestyle": "--", "alpha": 0.75}
    for path, end in sorted(zip(paths, ends), key=lambda pair: -pair[1]):
        gaps = np.maximum(best - path, _LOWEST)
        is_best = end < _SAME
        look = best_look if is_best else look_below
        ax.plot(1 + np.arange(len(gaps)), gaps, label=_label(is_best, num_best, len(paths)), **look)
        if not is_best:
            ax.plot(len(gaps), gaps[-1], marker="o", markersize=4, color=ink(), linestyle="", label="_end")
    ax.set_yscale("log")
    ax.set_ylim(bottom=_LOWEST)
    # Plain numbers: powers of ten would go through the typesetting of formulas, half of the time of this picture
    ax.yaxis.set_major_formatter("{x:,.10g}")
    ax.locator_params(axis="x", integer=True)
    ax.set(xlabel="sweep", ylabel="bound below the best (nats)", title=f"{len(paths)} restarts")
    add_caption(ax, f"best bound {best:.1f} nats; {'1 optimum' if number == 1 else f'{number} different optima'}")
    handles = dict(zip(*reversed(ax.get_legend_handles_labels())))
    ax.legend(handles.values(), handles.keys(), loc="best", fontsize="small")
    return ax


def _label(is_best: bool, num_best: int, num_restarts: int) -> str:
    return f"{num_best} reached the best" if is_best else f"{num_restarts - num_best} ended below it"


def num_optima(gaps: NDArray[np.float64]) -> tuple[int, int]:
    """Counts the optima that restarts reached, and the restarts at the best; closer than 0.1 nats is the same.

    Args:
        gaps: How far each ended below the best bound, (R,), nats.

    Example:

    >>> num_optima(np.array([0.0, 0.02, 7.0]))
    (2, 2)
    """
    return 1 + int((np.diff(np.sort(gaps)) >= _SAME).sum()), int((gaps < _SAME).sum())
