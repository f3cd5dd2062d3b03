"""Rows without noise, one matrix product each way: complete rows, and masked ones of independent columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.mixture.features import ProductWriter, write_first_squares
from tfgmm.mixture.integrands import Coefficients, Integrands, integrands_of, log_integrals, without_masks
from tfgmm.mixture.log_joints import factors_of, write_features
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.registry import FormName
from tfgmm.mixture.row_sums import (
    Consumer,
    log_likelihoods_over_rows,
    mapped_over_groups,
    one_group,
    sums_over_rows,
)
from tfgmm.mixture.statistics import RowSums, Statistics, with_whole_masks

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock

# Largest size of features that are kept from pass to pass; larger ones are computed again, chunk by chunk. For one
# type of products and one set of rows: five folds side by side may keep seven times as much.
_CACHED_BYTES = 2**24


class KeptFeatures:
    """Features of rows, computed once for each type of products where they are few.

    Args:
        write_products: Function that writes the products of columns.
        values: (n, D) float32.
        is_on: Whether any are kept.
    """

    def __init__(self, write_products: ProductWriter, values: np.ndarray, is_on: bool) -> None:
        self._write_products, self._values, self._is_on = write_products, values, is_on
        self._features: dict[Any, np.ndarray] = {}

    def of(self, dtype: type[np.floating], num_features: int) -> np.ndarray | None:
        """Computes the features of all rows, (F + 1, n), or hands them on; None where they are not kept.

        Args:
            dtype: Type of the products.
            num_features: F.
        """
        shape = num_features + 1, len(self._values)
        if not self._is_on or math.prod(shape) * np.dtype(dtype).itemsize > _CACHED_BYTES:
            return None
        if dtype not in self._features:
            self._features[dtype] = np.empty(shape, dtype)
            write_features(self._write_products, self._values.T, self._features[dtype])
        return self._features[dtype]


class CompleteRows:
    """Rows that have all values, with weights or without.

    Args:
        form: Form of the parameters.
        block: (n, D) float32 values, measured from the centre.
        num_masks: G, columns that have masks in the coefficients; a complete row has all of them.
        keeps_features: Whether the features of rows are kept from pass to pass, where they are few.
    """

    def __init__(self, form: FormName, block: RowBlock, num_masks: int, keeps_features: bool) -> None:
        self._write_products, self._block, self._num_masks = FORMS[form].write_products, block, num_masks
        self._kept = KeptFeatures(self._write_products, block.values, keeps_features)

    def sums(self, coefficients: Sequence[np.ndarray], dtype: type[np.floating]) -> RowSums:
        """Sums statistics and log likelihoods; see `RowGroups.sums`."""
        plain = without_masks(coefficients, self._num_masks)
        features = self._kept.of(dtype, plain[0].shape[1])
        found = sums_over_rows(self._write_products, self._block, plain, dtype, features)
        return found._replace(statistics=with_whole_masks(found.statistics, self._num_masks))

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> np.ndarray:
        """Sums logsumexp_k and max_k of the log joints, (2, R)."""
        return log_likelihoods_over_rows(
            self._write_products, self._block, without_masks(coefficients, self._num_masks)
        )

    def mapped(self, coefficients: Sequence[np.ndarray], function: Consumer) -> Iterator[Any]:
        """Yields what a function makes of log joints; see `RowGroups.mapped`."""
        factors = factors_of(without_masks(coefficients, self._num_masks))[None]
        yield from mapped_over_groups(one_group(self._write_products, self._block), factors, function)


class MaskedRows:
    """Rows of independent columns that lack some values: a mask for each column that has gaps.

    Args:
        block: (n, D) float32 values, measured from the centre, NaN where a row has none; with weights or without.
        gap_columns: Columns that have masks in the coefficients. A gap in any other column is a value that nobody has
            seen, with its expectation in the statistics.
        keeps_features: As for `CompleteRows`.
    """

    def __init__(self, block: RowBlock, gap_columns: Sequence[int], keeps_features: bool) -> None:
        self._num_columns, self._gap_columns = block.values.shape[1], tuple(gap_columns)
        is_missing = np.isnan(block.values)
        has_gaps = np.flatnonzero(is_missing.any(axis=0)).tolist()
        self._unseen = [column for column in has_gaps if column not in self._gap_columns]
        masks = ~is_missing[:, [*self._gap_columns, *self._unseen]]
        # A mask is one column more, which has no square
        values = np.concatenate([np.where(is_missing, 0.0, block.values), masks], axis=1, dtype=np.float32)
        self._block = block._replace(values=values)
        self._kept = KeptFeatures(write_first_squares, values, keeps_features)

    def sums(self, coefficients: Sequence[np.ndarray], dtype: type[np.floating]) -> RowSums:
        """Sums statistics and log likelihoods; see `RowGroups.sums`."""
        masked, integrands = self._with_masks(coefficients)
        features = self._kept.of(dtype, masked[0].shape[1])
        found = sums_over_rows(write_first_squares, self._block, masked, dtype, features)
        counts, both, squares = found.statistics
        first, masks, unseen = np.split(both, [self._num_columns, self._num_columns + len(self._gap_columns)], axis=-1)
        if integrands is not None:
            first, squares = self._with_expectations(counts[..., None] - unseen, first, squares, integrands)
        return found._replace(statistics=Statistics(counts, first, np.concatenate([squares, masks], axis=-1)))

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> np.ndarray:
        """Sums logsumexp_k and max_k of the log joints, (2, R)."""
        return log_likelihoods_over_rows(write_first_squares, self._block, self._with_masks(coefficients)[0])

    def mapped(self, coefficients: Sequence[np.ndarray], function: Consumer) -> Iterator[Any]:
        """Yields what a function makes of log joints; see `RowGroups.mapped`."""
        factors = factors_of(self._with_masks(coefficients)[0])[None]
        yield from mapped_over_groups(one_group(write_first_squares, self._block), factors, function)

    def _with_masks(self, coefficients: Sequence[np.ndarray]) -> tuple[Coefficients, Integrands | None]:
        """Gives masks to the columns that have none: where no value is seen, the density is integrated over it.

        The masks stand after the columns, before the squares.
        """
        linear, constants = coefficients
        of_columns, of_squares, of_masks = np.split(linear, [self._num_columns, 2 * self._num_columns], axis=1)
        if not self._unseen:
            return (np.concatenate([of_columns, of_masks, of_squares], axis=1), constants), None
        integrands = integrands_of(coefficients, self._num_columns, self._gap_columns)
        integrals = log_integrals(*(value[..., self._unseen] for value in integrands[1:3]))
        parts = [of_columns, of_masks, -integrals.swapaxes(1, 2), of_squares]
        return (np.concatenate(parts, axis=1), constants + integrals.sum(axis=-1)), integrands

    def _with_expectations(
        self, times: np.ndarray, first: np.ndarray, second: np.ndarray, integrands: Integrands
    ) -> tuple[np.ndarray, np.ndarray]:
        """Adds the moments of the values that nobody has seen, which are `times` (R, K, columns) as many."""
        locs, variances = integrands.locs[..., self._unseen], integrands.covariances[..., self._unseen]
        first, second = first.copy(), second.copy()
        first[..., self._unseen] += times * locs
        second[..., self._unseen] += times * (np.square(locs) + variances)
        return first, second
