"""The picture of which row belongs to which component, and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from tfgmm.plot.colours import component_colours, component_marker, mix, paper
from tfgmm.plot.frames import add_caption, axes_or_new, check_finite, check_names
from tfgmm.plot.partial_rows import ShownRows, at_most, check_values, has_values
from tfgmm.plot.pictures import picture

_SIZE = (6.0, 4.0)
_MAX_ROWS_SHOWN = 5_000
_MOST_PALE = 0.95


@picture
def responsibilities(
    rows: ArrayLike,
    probabilities: ArrayLike,
    *,
    columns: tuple[int, int] = (0, 1),
    column_names: Sequence[str] | None = None,
    palette: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws every row in the colour of its most probable component, faded where that is unsure; returns the Axes.

    A mark is filled with the full colour where the component has probability 1, and white where all components are
    equally probable; its rim keeps the colour. Each component has marks of its own form. Of more than 5,000 rows 5,000
    are drawn, always the same ones; unsure rows lie on top. Rows without a value in one of the two columns, NaN, are
    counted above.

    Args:
        rows: (N, D), data units, NaN for gaps.
        probabilities: (N, K), lines sum to 1, e.g. `model.responsibilities(rows)`.
        columns: The numbers of the two columns to draw.
        column_names: Their two names, with the unit if there is one.
        palette: Colours of the components, as `component_colours` takes them.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: Wrong shapes; infinite rows; NaN, infinite or negative probabilities; columns that are not there.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> ax = responsibilities([[0.0, 0.0], [1.0, 2.0]], [[1.0, 0.0], [0.4, 0.6]], column_names=("x (m)", "y (m)"))
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['component 0', 'component 1']
    >>> plt.close(ax.figure)
    """
    values = check_values("rows", rows, "ND", fix="Pass the rows, two or more columns in data units.")
    fix = "Pass a line of K probabilities per row, e.g. `model.responsibilities(rows)`."
    shares = check_finite("probabilities", probabilities, "NK", fix=fix, N=len(values))
    if (shares < 0).any() or np.abs(shares.sum(axis=1) - 1).max() > 1e-3:
        raise ValueError(f"`probabilities` must be at least 0 and sum to 1 in each line. Received: others. {fix}")
    places = _check_columns(columns, values.shape[1])
    default = tuple(f"column {place}" for place in places)
    names = check_names("column_names", default if column_names is None else column_names)
    points = values[:, places]
    caption = f"{ShownRows(points).words()}; filled: sure, hollow: could as well be another"
    both = has_values(points)
    points, shares = points[both], shares[both]
    if len(points) > _MAX_ROWS_SHOWN:
        caption = f"{_MAX_ROWS_SHOWN:,} of " + caption
    chosen = at_most(_MAX_ROWS_SHOWN, np.arange(len(points)))
    points, shares = points[chosen], shares[chosen]
    ax = axes_or_new(ax, _SIZE)
    num_components = shares.shape[1]
    assigned, sureness = shares.argmax(axis=1), _sureness(shares.max(axis=1), num_components)
    area = float(np.clip(12_000 / max(1, len(points)), 14.0, 30.0))
    colours = component_colours(num_components)
    keys = []
    for k in np.unique(assigned):
        of_component = np.flatnonzero(assigned == k)
        of_component = of_component[np.argsort(-sureness[of_component])]
        faces = [mix(colours[k], paper(), _MOST_PALE * (1 - sureness[row])) for row in of_component]
        form: dict[str, Any] = {"marker": component_marker(int(k)), "edgecolors": colours[k], "linewidths": 0.5}
        x, y = points[of_component].T
        ax.scatter(x, y, s=area, c=faces, rasterized=len(points) > 1_000, **form)
        keys.append(Line2D([], [], linestyle="", marker=form["marker"], color=colours[k], label=f"component {k}"))
    ax.set(xlabel=names[0], ylabel=names[1], title="Most probable component")
    add_caption(ax, caption)
    ax.legend(handles=keys, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")  # beside: rows are anywhere
    return ax


def _sureness(largest: np.ndarray, num_components: int) -> np.ndarray:
    """Gives 1 where the most probable component is sure, 0 where all K are equally probable."""
    if num_components == 1:
        return np.ones_like(largest)
    return np.clip((largest - 1 / num_components) / (1 - 1 / num_components), 0.0, 1.0)


def _check_columns(columns: tuple[int, int], num_features: int) -> list[int]:
    numbers = [int(c) for c in columns if isinstance(c, (int, np.integer)) and 0 <= c < num_features]
    if len(numbers) != 2 or len(columns) != 2 or numbers[0] == numbers[1]:
        raise ValueError(
            f"`columns` must be two different whole numbers from 0 to {num_features - 1}. Received: {columns!r}. "
            "Pass for example (0, 1)."
        )
    return numbers
