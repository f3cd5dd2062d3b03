"""What all pictures share: the Axes to draw on, its aspect, numbers in words, and the checks of arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray

from tfgmm.common.shapes import check_shape
from tfgmm.plot.colours import paper

FIGURE_SIZE = (5.0, 4.0)  # inches: 10-point text is still 10 pixels high on a screen 360 pixels wide
_LARGEST_EQUAL_RATIO = 3.0
_CAPTION = "tfgmm caption"


def axes_or_new(ax: Axes | None, size: tuple[float, float] = FIGURE_SIZE) -> Axes:
    """Gives `ax`, or the Axes of one new figure of that size (inches) when `ax` is None."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt  # it keeps the figures that it makes: only where none is given

    return plt.subplots(figsize=(scaled(size[0]), scaled(size[1])), layout="constrained")[1]


def scaled(inches: float) -> float:
    """Gives the length that beside the theme's letters looks like `inches` beside those of 10 points."""
    return inches * float(matplotlib.rcParams["font.size"]) / 10


def halo() -> list[Any]:
    """Makes the rim, in the theme's background, that keeps a mark legible on anything."""
    return [withStroke(linewidth=3, foreground=paper())]


def marked() -> dict[str, Any]:
    """Makes the look of a letter or number at a place."""
    return {"weight": "bold", "path_effects": halo(), "zorder": 6, "textcoords": "offset points"}


def set_frame(ax: Axes, limits: NDArray[np.float64]) -> None:
    """Sets the limits (2, 2); one unit is as long up as across where the two ranges differ less than threefold."""
    ax.set_xlim(*limits[0])
    ax.set_ylim(*limits[1])
    ax.set_aspect("auto" if equal_ratio(limits) is None else "equal")


def equal_ratio(limits: NDArray[np.float64]) -> float | None:
    """Computes the width over the height of limits (2, 2), or None when they differ threefold or more."""
    ratio = float(np.ptp(limits[0]) / np.ptp(limits[1]))
    return ratio if 1 / _LARGEST_EQUAL_RATIO < ratio < _LARGEST_EQUAL_RATIO else None


def add_caption(ax: Axes, line: str) -> None:
    """Adds a line of small print between the picture and its title, below those that are there already.

    A legend would lie on the rows; here nothing is hidden, and no layout cuts it off.
    """
    earlier = [text for text in ax.texts if text.get_gid() == _CAPTION]
    lines = [text.get_text() for text in earlier if text.get_text() != line] + [line]
    for text in earlier:
        text.remove()
    look: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": "small", "linespacing": 1.2, "gid": _CAPTION}
    look |= {"xycoords": "axes fraction", "xytext": (0, 4), "textcoords": "offset points"}
    caption = ax.annotate("\n".join(lines), (0.5, 1.0), **look)
    caption.set_in_layout(False)  # its width must not move the picture; the title above it keeps its height
    ax.set_title(ax.get_title(), pad=7 + 1.25 * float(caption.get_fontsize()) * (1 + caption.get_text().count("\n")))


def write_number(
    ax: Axes, k: int, place: tuple[float, float], colour: str, *, above: bool = False, size: str = "medium"
) -> None:
    """Writes the number of component k at (or above) a place in data units, legible on anything, inside the picture."""
    look: dict[str, Any] = {"va": "bottom", "xytext": (0, 2)} if above else {"va": "center", "xytext": (0, 0)}
    ax.annotate(str(k), place, color=colour, ha="center", size=size, annotation_clip=True, **look, **marked())


def padded_limits(points: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    """Computes ((x0, x1), (y0, y1)) around points (N, 2), widened on each side by `margin` times the range.

    Gaps, NaN, are not looked at; a column that has nothing else gets NaN.
    """
    low, high = np.fmin.reduce(points, axis=0), np.fmax.reduce(points, axis=0)
    span = high - low
    span = np.where(span > 0, span, np.maximum(np.abs(high), 1.0))
    return np.stack([low - margin * span, high + margin * span], axis=1)


def data_limits(summary: Any) -> Any:
    """Chooses ((x0, x1), (y0, y1)) around the rows, but not around a single one that is far from all others.

    Args:
        summary: `DataSummary` of two columns.
    """
    centre, spread = np.array(summary.centre), np.array(summary.spread)
    low, high = np.maximum(summary.minimum, centre - 5 * spread), np.minimum(summary.maximum, centre + 5 * spread)
    return tuple(zip((low - 0.2 * spread).tolist(), (high + 0.2 * spread).tolist()))


def unit_of(name: str) -> str | None:
    """Extracts what stands in brackets at the end of a column's name; None where nothing does."""
    match = re.fullmatch(r".*\((.+)\)\s*", name)
    return match[1] if match else None


def check_share(name: str, share: float, usual: float = 0.9) -> None:
    """Checks that a share is between 0 and 1."""
    if not 0 < share < 1:
        raise ValueError(f"`{name}` must be between 0 and 1. Received: {share!r}. The usual value is {usual:g}.")


def check_array(name: str, values: ArrayLike, letters: str, *, fix: str, **sizes: int) -> NDArray[np.float64]:
    """Checks that `values` are numbers with the axes `letters`, at least one of them; gives them as float64."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be an array of numbers. Received: {type(values).__name__}. {fix}") from error
    check_shape(name, array, letters, fix=fix, **sizes)
    if array.size == 0:
        raise ValueError(f"`{name}` must not be empty. Received: shape {array.shape}. {fix}")
    return array


def check_finite(name: str, values: ArrayLike, letters: str, *, fix: str, **sizes: int) -> NDArray[np.float64]:
    """Checks that `values` have the axes `letters`, at least one row and only finite numbers; gives them as float64."""
    array = check_array(name, values, letters, fix=fix, **sizes)
    num_bad = int(array.size - np.isfinite(array).sum())
    if num_bad:
        raise ValueError(
            f"`{name}` must hold finite numbers only. Received: {num_bad} of {array.size:,} values are NaN or "
            "infinite. Drop or mend them first."
        )
    return array


def check_names(name: str, names: Sequence[str]) -> tuple[str, str]:
    """Checks that `names` are two strings; gives them as a tuple."""
    if isinstance(names, str) or len(names) != 2 or not all(isinstance(entry, str) for entry in names):
        raise ValueError(f'`{name}` must be two strings. Received: {names!r}. Pass for example ("x", "y").')
    return names[0], names[1]
