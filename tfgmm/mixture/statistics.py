"""The expected sufficient statistics of rows: all that a step needs to know of them."""

from __future__ import annotations

from typing import Any, NamedTuple

Tensor = Any


class Statistics(NamedTuple):
    """Expected sums over rows, float64. Statistics of different rows add.

    counts: (K,) N_k = sum_i r_ik.
    first: (K, D) S1_k = sum_i r_ik x_i, rows measured from the centre.
    second: (K, P) S2_k = sum_i r_ik times the P features of second order of x_i, as the components define them.
    """

    counts: Tensor
    first: Tensor
    second: Tensor
