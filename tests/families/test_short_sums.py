"""Sums over short lines are those of NumPy to the last bit, whatever stands in front."""

from __future__ import annotations

import numpy as np
import pytest

from tfgmm.families.short_sums import sum_of_columns, sum_of_ratios


@pytest.mark.parametrize("num_features", [1, 2, 3, 7, 8, 11])
@pytest.mark.parametrize("leading", [(), (1,), (16,), (3, 2)])
def test_sums_of_short_lines_are_those_of_numpy_to_the_last_bit(num_features, leading):
    generator = np.random.default_rng(num_features)
    sizes, shares = generator.gamma(1.0, size=(*leading, 31, num_features)), generator.random((*leading, 31))
    np.testing.assert_array_equal(sum_of_columns(sizes), sizes.sum(axis=-1))
    np.testing.assert_array_equal(sum_of_ratios(shares, sizes), (shares[..., None] / sizes).sum(axis=-2))
