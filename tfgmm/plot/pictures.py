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
from tfgmm.plot.views import axes_of, view_kept

Draw = TypeVar("Draw", bound=Callable[..., Any])

# Arguments that may name columns of `data`
_OF_ROWS = ("rows", "values", "x", "sample_weight", "components", "probabilities")


def picture(draw: Draw) -> Draw:
    """Makes a function that draws keep to what seaborn's functions do, and its letters legible.

    `palette`, where the function has it, is that of the components. `data`, a DataFrame as `FacetGrid.map_dataframe`
    gives it, has the columns that arguments with one or more values per row name. Then the Axes at hand is drawn on;
    the names of `values` are the label, or labels, where none are given.

    Args:
        draw: Function that takes `ax` and returns the Axes, or an array of them, that it drew on.
    """

    @functools.wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> Any:
        in_facet = "data" in kwargs
        if in_facet:
            args, kwargs = (), _from_frame(inspect.signature(draw), args, kwargs)
        kept = _title_kept(kwargs["ax"]) if in_facet else nullcontext()
        with palette_in_force(kwargs.get("palette")), view_kept(axes_of(kwargs.get("ax"))), kept:
            result = draw(*args, **kwargs)
        is_single = isinstance(kwargs.get("ax"), Axes)
        make_legible([result] if is_single else {panel.figure for panel in np.ravel(result) if panel is not None})
        return result

    return drawn  # type: ignore[return-value]


@contextmanager
def _title_kept(ax: Axes) -> Iterator[None]:
    """Keeps the title of a facet's panel."""
    title = ax.get_title()
    yield
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
        if isinstance(columns, str) or (isinstance(columns, list) and all(isinstance(name, str) for name in columns)):
            if not {*([columns] if isinstance(columns, str) else columns)} <= {*data.columns}:
                raise ValueError(
                    f"`{name}` must name columns of `data`. Received: {columns!r}. Pass some of {list(data.columns)}."
                )
            arguments[name] = data[columns]
            if name == "values":
                named = "label" if isinstance(columns, str) else "labels"
                arguments |= {named: columns} if named in signature.parameters and named not in arguments else {}
    return {"ax": plt.gca(), **arguments}
