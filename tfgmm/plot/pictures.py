"""What every picture does with its arguments: palettes, the frames of seaborn's grids, letters that a font lacks."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from tfgmm.plot.colours import palette_in_force
from tfgmm.plot.letters import make_legible

Draw = TypeVar("Draw", bound=Callable[..., Any])

_OF_ROWS = ("rows", "values", "x", "sample_weight")  # arguments that may name columns of `data`


def picture(draw: Draw) -> Draw:
    """Makes a function that draws keep to what seaborn's functions do, and its letters legible.

    `palette`, where the function has it, is that of the components. `data`, a DataFrame as `FacetGrid.map_dataframe`
    gives it, has the columns that `rows`, `values`, `x` and `sample_weight` name; then the Axes at hand is drawn on.

    Args:
        draw: Function that takes `ax` and returns the Axes, or an array of them, that it drew on.
    """

    @functools.wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> Any:
        in_facet = "data" in kwargs
        if in_facet:
            args, kwargs = (), _from_frame(inspect.signature(draw), args, kwargs)
        with palette_in_force(kwargs.get("palette")), _facet_kept(kwargs["ax"]) if in_facet else nullcontext():
            result = draw(*args, **kwargs)
        is_single = isinstance(kwargs.get("ax"), Axes)
        make_legible([result] if is_single else {panel.figure for panel in np.ravel(result) if panel is not None})
        return result

    return drawn  # type: ignore[return-value]


@contextmanager
def _facet_kept(ax: Axes) -> Iterator[None]:
    """Keeps the panel's title, and in view what is drawn already in panels that share an axis with it."""
    title, before = ax.get_title(), {}
    for axis, shared in (("x", ax.get_shared_x_axes()), ("y", ax.get_shared_y_axes())):
        if any(panel.has_data() for panel in shared.get_siblings(ax)):
            before[axis] = getattr(ax, f"get_{axis}lim")()
    yield
    for axis, (low, high) in before.items():
        now = getattr(ax, f"get_{axis}lim")()
        getattr(ax, f"set_{axis}lim")(min(low, now[0]), max(high, now[1]))
    ax.title.set_text(title or ax.get_title())


def _from_frame(signature: inspect.Signature, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Looks up the columns of `data` that arguments name, and the Axes at hand; leaves out what is not asked for."""
    import matplotlib.pyplot as plt

    data, colour, label = kwargs.pop("data"), kwargs.pop("color", None), kwargs.pop("label", None)
    extras = {"colour": None if colour is None else to_hex(colour), "label": label}
    arguments = {name: value for name, value in extras.items() if name in signature.parameters and value is not None}
    arguments |= signature.bind_partial(*args, **kwargs).arguments
    for name in _OF_ROWS:
        columns = arguments.get(name)
        if isinstance(columns, (str, list)):
            if not {*([columns] if isinstance(columns, str) else columns)} <= {*data.columns}:
                raise ValueError(
                    f"`{name}` must name columns of `data`. Received: {columns!r}. It has {list(data.columns)}."
                )
            arguments[name] = data[columns].to_numpy()
    return {"ax": plt.gca(), **arguments}
