"""Sums over parts in an order that depends on their number alone: by eights, and these by eights again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

EIGHT = 8


def added(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Adds arrays of one shape, one or more, from the first to the last."""
    total = np.array(arrays[0])
    for array in arrays[1:]:
        total += array
    return total


def added_by_eights(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Adds arrays of one shape, one or more: each eight that follow each other, then each eight of these sums.

    Example:

    >>> added_by_eights([np.ones(2)] * 100).tolist()
    [100.0, 100.0]
    """
    while len(arrays) > 1:
        arrays = [added(arrays[start : start + EIGHT]) for start in range(0, len(arrays), EIGHT)]
    return added(arrays)
