"""Which components are occupied: those in which a row or more is expected, rounding aside."""

from __future__ import annotations

import numpy as np

from tfgmm.mixture.occupied import is_occupied


def test_one_expected_row_is_enough_also_when_it_is_rounded_down() -> None:
    counts = np.array([0.0, 0.999, 1.0 - 1e-12, 1.0, 7.5])
    np.testing.assert_array_equal(is_occupied(counts), [False, False, True, True, True])
