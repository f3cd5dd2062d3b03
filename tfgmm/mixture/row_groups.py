"""Rows sorted once by what is known of them, and summed over again and again, each kind in the way that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tfgmm.mixture.exact_rows import CompleteRows, MaskedRows
from tfgmm.mixture.noisy_columns import NoisyColumns
from tfgmm.mixture.noisy_rows import NoisyRows
from tfgmm.mixture.pattern_groups import PatternGroups
from tfgmm.mixture.rare_gaps import RareGaps
from tfgmm.mixture.registry import FormName
from tfgmm.mixture.row_sums import Consumer
from tfgmm.mixture.statistics import RowSums, added
from tfgmm.mixture.true_values import has_gaps, what_is_shown

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock


Rows = slice | np.ndarray


class _Kind(Protocol):
    """Rows of one kind."""

    def sums(self, coefficients: Sequence[np.ndarray], dtype: type[np.floating]) -> RowSums: ...

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> np.ndarray: ...

    def mapped(self, coefficients: Sequence[np.ndarray], function: Consumer) -> Iterator[Any]: ...


# Rows of one kind, and where they are among all; None where they are all
_Place = tuple[_Kind, np.ndarray | None]


class RowGroups:
    """Centred rows for many passes.

    What a row does not show exactly is integrated over: gaps, and the true values behind measurement noise. Statistics
    are those of the true values: sums of memberships, and of expectations of z and of its products.

    Args:
        form: Form of the parameters.
        block: (n, D) float32 values, measured from the centre, NaN where a row has none; with weights and noise.
        gap_columns: Columns that have masks in the coefficients, of independent columns only; () where none has. There
            a row without a value does not count. A gap elsewhere is a true value that nobody has seen.
        keeps_features: Whether the features of rows are kept from pass to pass, where they are few.
    """

    def __init__(
        self, form: FormName, block: RowBlock, gap_columns: Sequence[int] = (), *, keeps_features: bool = False
    ) -> None:
        self.form, self.block = form, block
        self.gap_columns = tuple(gap_columns) if form == "independent" else ()
        kinds = _of_independent(block, self.gap_columns, keeps_features)
        if form == "correlated":
            kinds = _of_correlated(block, keeps_features)
        self._kinds = list(kinds)

    def __len__(self) -> int:
        return len(self.block.values)

    @property
    def are_plain(self) -> bool:
        """Whether the rows have neither weights nor gaps nor noise: masks, if there are some, are all 1."""
        is_complete = len(self._kinds) == 1 and isinstance(self._kinds[0][0], CompleteRows)
        return is_complete and self.block.weights is None

    @property
    def total_weight(self) -> float:
        """Sum of the weights of the rows: their number where they have none."""
        weights = self.block.weights
        return float(len(self)) if weights is None else float(weights.sum())

    def sums(self, coefficients: Sequence[np.ndarray], dtype: type[np.floating] = np.float64) -> RowSums:
        """Sums statistics and log likelihoods of the rows under R posteriors, all fields (R, ...) float64.

        Args:
            coefficients: (R, F, K) and (R, K) float64; F as the layout of the features has it: D columns, P products,
                and for each of the gap columns what it adds to the log joint of a row that has a value there.
            dtype: Type of the products. Rows whose errors in float32 have no bound are summed in float64 always.
        """
        first, *others = (kind.sums(coefficients, dtype) for kind, _ in self._kinds)
        for more in others:
            totals = first.log_likelihood + more.log_likelihood, first.largest + more.largest
            first = RowSums(added(first.statistics, more.statistics), *totals)
        return first

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> np.ndarray:
        """Sums logsumexp_k and max_k of the log joints under R mixtures, (2, R) float64, nats."""
        first, *others = (kind.log_likelihoods(coefficients) for kind, _ in self._kinds)
        return sum(others, first)

    def mapped(self, coefficients: Sequence[np.ndarray], function: Callable[[Rows, np.ndarray], Any]) -> Iterator[Any]:
        """Yields what a function makes of the log joints of some rows at a time; it is called in threads.

        Args:
            coefficients: As for `sums`.
            function: Function of the numbers of B rows, and of their log joints (R K, B) float64, nats, which it may
                overwrite and must not keep.
        """
        for kind, where in self._kinds:
            yield from kind.mapped(coefficients, function if where is None else _at(where, function))


def _at(where: np.ndarray, function: Callable[[Rows, np.ndarray], Any]) -> Consumer:
    """Makes the function that tells another where rows are among all."""
    return lambda part, joints: function(where[part], joints)


def _of_independent(block: RowBlock, gap_columns: tuple[int, ...], keeps_features: bool) -> Iterator[_Place]:
    """Sorts rows of independent columns: without noise, and with it."""
    is_noisy = _is_noisy(block)
    where = None if is_noisy is None else np.flatnonzero(~is_noisy)
    exact = (block if where is None else block.part(where))._replace(noise=None)
    if has_gaps(exact.values):
        yield MaskedRows(exact, gap_columns, keeps_features), where
    elif len(exact.values) or is_noisy is None:
        yield CompleteRows("independent", exact, len(gap_columns), keeps_features), where
    if is_noisy is not None:
        where = np.flatnonzero(is_noisy)
        noisy = block.part(where)
        has_matrices = noisy.noise is not None and noisy.noise.ndim == 3
        yield NoisyRows("independent", noisy, gap_columns) if has_matrices else NoisyColumns(noisy, gap_columns), where


def _of_correlated(block: RowBlock, keeps_features: bool) -> Iterator[_Place]:
    """Sorts rows of correlated columns: complete ones, groups that show the same, and others."""
    is_noisy, num_columns = _is_noisy(block), block.values.shape[1]
    if is_noisy is None and not has_gaps(block.values):
        yield CompleteRows("correlated", block._replace(noise=None), 0, keeps_features), None
        return
    places, number, counts = what_is_shown(block if is_noisy is not None else block._replace(noise=None))
    lacks = np.isnan(block.values[places]).any(axis=1)
    has_noise = np.zeros(len(places), bool) if is_noisy is None else is_noisy[places]
    is_large = counts >= num_columns
    if has_noise.sum() > len(number) / num_columns:
        is_large &= ~has_noise
    if (complete := ~lacks & ~has_noise).any():
        where = np.flatnonzero(complete[number])
        yield CompleteRows("correlated", block.part(where)._replace(noise=None), 0, keeps_features), where
    for chosen in (is_large & lacks & ~has_noise, is_large & has_noise):
        if chosen.any():
            yield _groups(block, number, chosen, keeps_features)
    if (rare := ~is_large & lacks & ~has_noise).any():
        where = np.flatnonzero(rare[number])
        where = where[np.argsort(np.isnan(block.values[where]).sum(axis=1), kind="stable")]
        yield RareGaps(block.part(where)._replace(noise=None)), where
    if (rest := ~is_large & has_noise).any():
        where = np.flatnonzero(rest[number])
        yield NoisyRows("correlated", block.part(where), ()), where


def _groups(block: RowBlock, number: np.ndarray, chosen: np.ndarray, keeps_features: bool) -> _Place:
    """Puts the rows of the chosen groups one group after the other; `number` is the group of each row."""
    where = np.flatnonzero(chosen[number])
    where = where[np.argsort(number[where], kind="stable")]
    counts = np.bincount(number[where], minlength=len(chosen))[chosen]
    return PatternGroups(block.part(where), counts, keeps_features), where


def _is_noisy(block: RowBlock) -> np.ndarray | None:
    """Tells which rows have noise, (n,) bool; None where none has."""
    if block.noise is None:
        return None
    is_noisy = np.any(block.noise, axis=tuple(range(1, block.noise.ndim)))
    return np.asarray(is_noisy) if is_noisy.any() else None
