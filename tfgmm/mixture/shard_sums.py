"""Sums over the rows of one part, where they are held: functions that go to the rows. They load no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tfgmm.common.threads import one_core
from tfgmm.data.blocks import RowBlock
from tfgmm.data.shards.part import SEAL_ROWS, rows_and_seal
from tfgmm.mixture.registry import FormName
from tfgmm.mixture.row_groups import RowGroups
from tfgmm.mixture.statistics import RowSums, Statistics


@dataclass(frozen=True, eq=False)
class PartSums:
    """Sums statistics and log likelihoods over the held rows of a part, under one posterior.

    Args:
        form: Form of the parameters.
        coefficients: (F, K) and (K,) float64; see `RowGroups.sums`.
        gap_columns: As in `RowGroups`.
        num_features: D.
    """

    form: FormName
    coefficients: tuple[np.ndarray, np.ndarray]
    gap_columns: tuple[int, ...]
    num_features: int

    def __call__(self, number: int, blocks: Iterator[RowBlock]) -> np.ndarray:
        """Adds the sums over the blocks in their order; behind them stands the seal of the part."""
        del number
        linear, constants = self.coefficients
        num_features, num_components = linear.shape
        size = num_components * (1 + num_features) + 3

        def of_groups(groups: RowGroups) -> np.ndarray:
            return _flat(groups.sums([linear[None], constants[None]]), groups.total_weight)

        return _with_seal(blocks, size, self.form, self.gap_columns, of_groups)

    def of_flat(self, totals: np.ndarray) -> tuple[RowSums, float]:
        """Reads sums, and the weight of the rows, from an array that `__call__` made, or several added."""
        num_rows, num_components = self.coefficients[0].shape
        table = totals[: num_components * (1 + num_rows)].reshape(-1, num_components)
        first, second = table[1 : 1 + self.num_features].T, table[1 + self.num_features :].T
        log_likelihood, largest, weight = totals[-3:]
        statistics = Statistics(table[0].copy(), np.ascontiguousarray(first), np.ascontiguousarray(second))
        return RowSums(statistics, log_likelihood, largest), float(weight)


def _with_seal(
    blocks: Iterator[RowBlock],
    size: int,
    form: FormName,
    gap_columns: tuple[int, ...],
    of_groups: Callable[[RowGroups], np.ndarray],
) -> np.ndarray:
    """Adds what `of_groups` makes of each held block, (size,) float64, in their order; behind it stands the seal."""
    totals = np.zeros(size + SEAL_ROWS)
    for block in rows_and_seal(blocks):
        if not isinstance(block, RowBlock):
            totals[size:] += block
            continue
        with one_core():
            totals[:size] += of_groups(RowGroups(form, block, gap_columns))
    return totals


def _flat(sums: RowSums, weight: float) -> np.ndarray:
    """Writes sums under one posterior, (1, ...) each, as one array: counts, first, second, two totals, the weight."""
    counts, first, second = (np.asarray(value)[0] for value in sums.statistics)
    totals = [float(sums.log_likelihood[0]), float(sums.largest[0]), weight]
    return np.concatenate([counts, first.T.ravel(), second.T.ravel(), totals])


@dataclass(frozen=True, eq=False)
class PartLogLikelihoods:
    """Sums log likelihoods of the held rows of a part under R mixtures.

    Args:
        form, gap_columns: As in `PartSums`.
        coefficients: (R, F, K) and (R, K) float64.
    """

    form: FormName
    coefficients: Sequence[np.ndarray]
    gap_columns: tuple[int, ...]

    def __call__(self, number: int, blocks: Iterator[RowBlock]) -> np.ndarray:
        """Adds logsumexp_k and max_k, 2 R numbers, and the weight of the rows; behind them stands the seal."""
        del number
        size = 2 * len(self.coefficients[1]) + 1

        def of_groups(groups: RowGroups) -> np.ndarray:
            return np.append(groups.log_likelihoods(self.coefficients).ravel(), groups.total_weight)

        return _with_seal(blocks, size, self.form, self.gap_columns, of_groups)

    def of_flat(self, totals: np.ndarray) -> tuple[np.ndarray, float]:
        """Reads (2, R) nats, and the weight of the rows."""
        return totals[:-1].reshape(2, -1), float(totals[-1])
