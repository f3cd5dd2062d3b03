"""The keys of pictures of many components: a few of them by name, and how many others there are."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

_MOST = 8  # of the key: more would hide the picture, in which numbers stand anyway


def key_labels(weights: ArrayLike, most: int = _MOST) -> list[str]:
    """Labels K components for the key: all of up to `most`, else two fewer, the heaviest. The others get "".

    Example:

    >>> key_labels([0.2, 0.8])
    ['component 0', 'component 1']
    """
    shares = np.asarray(weights, dtype=np.float64)
    heavy = np.argsort(-shares, kind="stable")[: most if len(shares) <= most else most - 2]
    return [f"component {k}" if k in heavy else "" for k in range(len(shares))]


def label_of_rest(labels: list[str]) -> str:
    """Writes how many components have no label; "" where all have one.

    Example:

    >>> label_of_rest(["component 0", "", ""])
    '... and 2 more'
    """
    num_rest = labels.count("")
    return f"... and {num_rest} more" if num_rest else ""


def add_rest(ax: Axes, labels: list[str]) -> None:
    """Adds a line to the key that says how many components have no label."""
    if "" in labels:
        ax.plot([], [], " ", label=label_of_rest(labels))
