"""Rows sorted once by what is known of them, and summed over again and again, each kind in the way that it needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.mixture.features import num_products
from tfgmm.mixture.log_joints import write_features
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.registry import FormName
from tfgmm.mixture.row_sums import log_likelihoods_over_rows, sums_over_rows
from tfgmm.mixture.statistics import RowSums

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock

# Largest size of features that are kept from pass to pass; larger ones are computed again, chunk by chunk. For one
# type of products and one set of rows: five folds side by side may keep seven times as much.
_CACHED_BYTES = 2**24


class RowGroups:
    """Centred rows for many passes.

    Args:
        form: Form of the parameters.
        block: (n, D) float32 values, measured from the centre, NaN where a row has none; with weights and noise.
        gap_columns: Columns in which some rows have no value; () where all have all.
        keeps_features: Whether the features of rows are kept from pass to pass, where they are few.
    """

    def __init__(
        self, form: FormName, block: RowBlock, gap_columns: Sequence[int] = (), *, keeps_features: bool = False
    ) -> None:
        self._form, self._block, self._keeps_features = form, block, keeps_features
        self.gap_columns = tuple(gap_columns)
        self._features: dict[Any, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._block.values)

    @property
    def total_weight(self) -> float:
        """Sum of the weights of the rows: their number where they have none."""
        weights = self._block.weights
        return float(len(self)) if weights is None else float(weights.sum())

    def sums(self, coefficients: Sequence[np.ndarray], dtype: type[np.floating] = np.float64) -> RowSums:
        """Sums statistics and log likelihoods of the rows under R posteriors, all fields (R, ...) float64.

        Args:
            coefficients: (R, F, K) and (R, K) float64; F as the layout of the features has it.
            dtype: Type of the products.
        """
        write_products, features = FORMS[self._form].write_products, self._kept_features(dtype)
        return sums_over_rows(write_products, self._block, coefficients, dtype, features)

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> np.ndarray:
        """Sums logsumexp_k and max_k of the log joints under R mixtures, (2, R) float64, nats."""
        return log_likelihoods_over_rows(FORMS[self._form].write_products, self._block, coefficients)

    def _kept_features(self, dtype: type[np.floating]) -> np.ndarray | None:
        """Computes the features of all rows once, (F + 1, n); None where they are not kept."""
        if not self._keeps_features:
            return None
        write_products, values = FORMS[self._form].write_products, self._block.values
        shape = (values.shape[1] + num_products(write_products, values.shape[1]) + 1, len(values))
        if math.prod(shape) * np.dtype(dtype).itemsize > _CACHED_BYTES:
            return None
        if dtype not in self._features:
            self._features[dtype] = np.empty(shape, dtype)
            write_features(write_products, values.T, self._features[dtype])
        return self._features[dtype]
