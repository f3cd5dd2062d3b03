"""Quantiles over draws as operations, where a served level is out of range."""

import numpy as np
import pytest

from tfgmm.mixture.stored_draws import NUM_DRAWS
from tfgmm.scoring.graph import intervals


@pytest.mark.parametrize("level", [-0.5, np.nan, 0.0])
def test_served_level_that_draws_cannot_tell_is_held(level):
    values = np.random.default_rng(0).normal(size=(3, NUM_DRAWS)).astype(np.float32)
    for end in intervals.quantiles(values, level):
        np.testing.assert_allclose(end, np.median(values, axis=-1), rtol=1e-5, atol=1e-6)
