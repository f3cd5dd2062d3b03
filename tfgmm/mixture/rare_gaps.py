"""Rows of correlated columns whose patterns of gaps are rare: a small matrix each, of the columns without a value."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfgmm.common.threads import shared_out, slices
from tfgmm.mixture.features import pairs
from tfgmm.mixture.integrands import LOG_TWO_PI, precisions_of
from tfgmm.mixture.log_joints import exponentials
from tfgmm.mixture.row_sums import Consumer, log_likelihoods_over_joints
from tfgmm.mixture.statistics import RowSums, Statistics
from tfgmm.mixture.symmetric import inverses

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock

_CHUNK_NUMBERS = 2**17  # numbers in the largest arrays of the rows that are worked on together


class _Components(NamedTuple):
    """One posterior: precisions (K, D + 1, D + 1) and linear terms (K, D + 1), a column of nothing last; constants."""

    precisions: np.ndarray
    linear: np.ndarray
    constants: np.ndarray


class _Known(NamedTuple):
    """What is known of a chunk: log joints (K, B), true values (K, D + 1, B) and covariances of hidden ones.

    spreads: (K, H, H, B). places: (H, B), the hidden columns; D where a row has fewer.
    """

    joints: np.ndarray
    values: np.ndarray
    spreads: np.ndarray
    places: np.ndarray


class RareGaps:
    """Rows without noise, each with a pattern of gaps of its own; Bishop 2006, 2.3.1, in the precisions.

    Args:
        block: (n, D) float32 values, measured from the centre, NaN where a row has none; rows with as many gaps stand
            side by side; with weights or without.
    """

    def __init__(self, block: RowBlock) -> None:
        self._block = block
        is_missing = np.isnan(block.values)
        self._numbers = is_missing.sum(axis=1)
        # The columns without a value stand first, in their order
        self._order = np.argsort(~is_missing, axis=1, kind="stable")

    def sums(self, coefficients: Sequence[np.ndarray], dtype: type[np.floating]) -> RowSums:
        """Sums statistics and log likelihoods; see `RowGroups.sums`. All is in float64, whatever the dtype is."""
        del dtype
        found = [self._sums_of(components) for components in self._components(coefficients)]
        counts, first, second, totals = (np.stack(values) for values in zip(*found))
        return RowSums(Statistics(counts, first, second[..., *pairs(first.shape[-1])]), *totals.T)

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> np.ndarray:
        """Sums logsumexp_k and max_k of the log joints, (2, R)."""
        return log_likelihoods_over_joints(self.mapped, coefficients, self._block.weights)

    def mapped(self, coefficients: Sequence[np.ndarray], function: Consumer) -> Iterator[Any]:
        """Yields what a function makes of log joints; see `RowGroups.mapped`."""
        each = self._components(coefficients)

        def of_part(part: slice) -> Any:
            return function(part, np.concatenate([self._known(components, part).joints for components in each]))

        yield from self._in_parts(of_part, each[0])

    def _components(self, coefficients: Sequence[np.ndarray]) -> list[_Components]:
        num_columns = self._block.values.shape[1]
        linear, constants = coefficients[0][:, :num_columns].swapaxes(1, 2), coefficients[1]
        precisions = np.zeros((*linear.shape[:2], num_columns + 1, num_columns + 1))
        precisions[..., :-1, :-1] = precisions_of(coefficients[0], num_columns)
        precisions[..., -1, -1] = 1.0
        wider = np.concatenate([linear, np.zeros((*linear.shape[:2], 1))], axis=-1)
        return [_Components(*one) for one in zip(precisions, wider, constants)]

    def _in_parts(self, function: Any, components: _Components) -> Iterator[Any]:
        """Yields what a function makes of a slice of rows that stay in the cache, in threads."""
        size = max(1, _CHUNK_NUMBERS // (components.linear.size * (1 + int(self._numbers.max()))))

        def of_share(_: None, parts: Sequence[slice]) -> list[Any]:
            with np.errstate(all="ignore"):  # the caller says that a bound is not finite
                return [function(small) for part in parts for small in slices(part.start, part.stop, size)]

        for found in shared_out(of_share, len(self._numbers), components.precisions.size, lambda _: None):
            yield from found

    def _known(self, components: _Components, part: slice) -> _Known:
        values = np.nan_to_num(self._block.values[part].T.astype(np.float64))
        num_columns, num_rows = values.shape
        numbers = self._numbers[part]
        most = int(numbers.max())
        places = np.where(np.arange(most) < numbers[:, None], self._order[part, :most], num_columns).T
        values = np.concatenate([values, np.zeros((1, num_rows))])
        left = components.linear[..., None] - components.precisions @ values
        matrices = components.precisions[:, places[:, None], places[None]]
        # Where a row has fewer gaps, the column of nothing stands several times
        is_none = places == num_columns
        matrices[:, is_none[:, None] & is_none[None] & ~np.eye(most, dtype=bool)[..., None]] = 0.0
        spreads, log_determinants = inverses(matrices)
        pulls = np.take_along_axis(left, np.broadcast_to(places, (len(left), *places.shape)), axis=1)
        hidden = np.einsum("kijb,kjb->kib", spreads, pulls)
        joints = 0.5 * ((components.linear[..., None] + left) * values).sum(axis=1) + components.constants[:, None]
        joints += 0.5 * (numbers * LOG_TWO_PI - log_determinants + (hidden * pulls).sum(axis=1))
        filled = np.array(np.broadcast_to(values, left.shape))
        np.put_along_axis(filled, np.broadcast_to(places, hidden.shape), hidden, axis=1)
        return _Known(joints, filled, spreads, places)

    def _sums_of(self, components: _Components) -> tuple[np.ndarray, ...]:
        """Sums memberships, true values, products of these, and the two log likelihoods, of one posterior."""
        sums = self._in_parts(functools.partial(self._sums_of_part, components), components)
        return functools.reduce(lambda one, other: tuple(map(np.add, one, other)), sums)

    def _sums_of_part(self, components: _Components, part: slice) -> tuple[np.ndarray, ...]:
        joints, values, spreads, places = self._known(components, part)
        (largest,), (norms,) = exponentials(joints[None])
        weights: Any = 1.0 if self._block.weights is None else self._block.weights[part]
        totals = np.array([(weights * (largest + np.log(norms))).sum(), (weights * largest).sum()])
        joints *= weights / norms
        first = (values @ joints[..., None])[..., 0]
        second = (values * joints[:, None]) @ values.swapaxes(1, 2)
        size = len(components.linear[0])
        flat = (places[:, None] * size + places[None]).ravel()
        for number, (of_one, spread) in enumerate(zip(joints, spreads)):
            added = np.bincount(flat, (of_one * spread).ravel(), size**2)
            second[number] += added.reshape(size, size)
        return joints.sum(axis=1), first[:, :-1], second[:, :-1, :-1], totals
