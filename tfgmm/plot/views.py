"""What stays in view on Axes that are in use, and which scales of an axis a picture of densities can be drawn on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

Draw = TypeVar("Draw", bound=Callable[..., Any])

_MARGIN = 0.05  # of the range, as matplotlib has it


def axes_of(ax: Any) -> list[Axes]:
    """Lists the Axes of what a picture is given as `ax`: one, an array of them, a grid of seaborn, or None."""
    return [panel for panel in np.ravel(getattr(ax, "axes", ax)) if isinstance(panel, Axes)]


@contextmanager
def view_kept(axes: list[Axes]) -> Iterator[None]:
    """Keeps in view what is drawn already on Axes, and on those that share an axis with them: limits only widen."""
    before = [(panel, axis, _limits(panel, axis)) for panel in axes for axis in "xy" if _is_in_use(panel, axis)]
    yield
    for panel, axis, (start, end) in before:
        ends = sorted([start, end, *_limits(panel, axis)])
        low, high = (ends[0], ends[-1]) if start <= end else (ends[-1], ends[0])
        if (low, high) != _limits(panel, axis):
            getattr(panel, f"set_{axis}lim")(low, high, auto=None)


def bring_into_view(ax: Axes, x: ArrayLike, y: ArrayLike | None = None) -> None:
    """Widens the limits about values drawn on Axes that do not follow what is drawn, as an earlier picture set them."""
    for axis, values in (("x", x), ("y", y)):
        if values is not None and np.size(values) and not getattr(ax, f"get_autoscale{axis}_on")():
            low, high = float(np.min(values)), float(np.max(values))
            margin = _MARGIN * (high - low)
            bounds = getattr(ax, f"get_{axis}bound")()
            getattr(ax, f"set_{axis}bound")(min(bounds[0], low - margin), max(bounds[1], high + margin))


def on_linear_axes(draw: Draw) -> Draw:
    """Makes a function that draws a density refuse Axes with other scales: there its bars were per unit of a logarithm.

    Args:
        draw: Function that takes `ax`.
    """

    @functools.wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> Any:
        for panel in axes_of(kwargs.get("ax")):
            scales = panel.get_xscale(), panel.get_yscale()
            if scales != ("linear", "linear"):
                raise ValueError(
                    f"`ax` must have linear scales: a density is per unit of the data. Received: x {scales[0]}, y "
                    f"{scales[1]}. Set the scale after the picture, or fit the logarithms of the column."
                )
        return draw(*args, **kwargs)

    return drawn  # type: ignore[return-value]


def _is_in_use(ax: Axes, axis: str) -> bool:
    shared = ax.get_shared_x_axes() if axis == "x" else ax.get_shared_y_axes()
    return any(panel.has_data() for panel in shared.get_siblings(ax))


def _limits(ax: Axes, axis: str) -> tuple[float, float]:
    low, high = getattr(ax, f"get_{axis}lim")()
    return float(low), float(high)
