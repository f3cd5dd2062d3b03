"""Blocks of rows, and what they may carry along."""

import numpy as np
import pytest

from tfgmm.data.blocks import RowBlock
from tfgmm.mixture.parameters import form_of
from tfgmm.mixture.row_sums import log_likelihoods_over_rows, sums_over_rows

VALUES = np.ones((3, 2), np.float32)


@pytest.mark.parametrize("more", [{"noise": np.ones((3, 2))}, {"weights": np.ones(3), "noise": np.ones((3, 2))}])
@pytest.mark.parametrize("sums", [sums_over_rows, log_likelihoods_over_rows])
def test_sums_refuse_what_they_would_leave_out(sums, more):
    coefficients = np.zeros((1, 4, 2)), np.zeros((1, 2))
    write_products = form_of("diag").write_products
    sums(write_products, RowBlock(VALUES), coefficients)
    with pytest.raises(ValueError, match="neither weights nor noise"):
        sums(write_products, RowBlock(VALUES, **more), coefficients)
