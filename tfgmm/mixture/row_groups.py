"""Rows sorted once by what is known of them, and summed over again and again, each kind in the way that it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tfgmm.mixture.exact_rows import CompleteRows, MaskedRows
from tfgmm.mixture.noisy_columns import NoisyColumns
from tfgmm.mixture.noisy_rows import NoisyRows
from tfgmm.mixture.pattern_groups import PatternGroups
from tfgmm.mixture.registry import FormName
from tfgmm.mixture.statistics import RowSums, added

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock


class _Kind(Protocol):
    """Rows of one kind."""

    def sums(self, coefficients: Sequence[np.ndarray], dtype: type[np.floating]) -> RowSums: ...

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> np.ndarray: ...


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
        self._block = block
        self.gap_columns = tuple(gap_columns) if form == "independent" else ()
        kinds = _of_independent(block, self.gap_columns, keeps_features)
        if form == "correlated":
            kinds = _of_correlated(block, keeps_features)
        self._kinds = list(kinds)

    def __len__(self) -> int:
        return len(self._block.values)

    @property
    def are_plain(self) -> bool:
        """Whether the rows have neither weights nor gaps nor noise, and the coefficients no masks."""
        is_complete = len(self._kinds) == 1 and isinstance(self._kinds[0], CompleteRows)
        return is_complete and self._block.weights is None and not self.gap_columns

    @property
    def total_weight(self) -> float:
        """Sum of the weights of the rows: their number where they have none."""
        weights = self._block.weights
        return float(len(self)) if weights is None else float(weights.sum())

    def sums(self, coefficients: Sequence[np.ndarray], dtype: type[np.floating] = np.float64) -> RowSums:
        """Sums statistics and log likelihoods of the rows under R posteriors, all fields (R, ...) float64.

        Args:
            coefficients: (R, F, K) and (R, K) float64; F as the layout of the features has it: D columns, P products,
                and for each of the gap columns what it adds to the log joint of a row that has a value there.
            dtype: Type of the products. Rows whose errors in float32 have no bound are summed in float64 always.
        """
        first, *others = (kind.sums(coefficients, dtype) for kind in self._kinds)
        for more in others:
            totals = first.log_likelihood + more.log_likelihood, first.largest + more.largest
            first = RowSums(added(first.statistics, more.statistics), *totals)
        return first

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> np.ndarray:
        """Sums logsumexp_k and max_k of the log joints under R mixtures, (2, R) float64, nats."""
        first, *others = (kind.log_likelihoods(coefficients) for kind in self._kinds)
        return sum(others, first)


def _of_independent(block: RowBlock, gap_columns: tuple[int, ...], keeps_features: bool) -> Iterator[_Kind]:
    """Sorts rows of independent columns: without noise, and with it."""
    is_noisy = _is_noisy(block)
    exact = (block if is_noisy is None else block.part(~is_noisy))._replace(noise=None)
    if _has_gaps(exact.values):
        yield MaskedRows(exact, gap_columns, keeps_features)
    elif len(exact.values) or is_noisy is None:
        yield CompleteRows("independent", exact, len(gap_columns), keeps_features)
    if is_noisy is not None:
        noisy = block.part(is_noisy)
        has_matrices = noisy.noise is not None and noisy.noise.ndim == 3
        yield NoisyRows("independent", noisy, gap_columns) if has_matrices else NoisyColumns(noisy, gap_columns)


def _of_correlated(block: RowBlock, keeps_features: bool) -> Iterator[_Kind]:
    """Sorts rows of correlated columns: complete ones, groups that show the same, and others."""
    is_noisy, num_columns = _is_noisy(block), block.values.shape[1]
    if is_noisy is None and not _has_gaps(block.values):
        yield CompleteRows("correlated", block._replace(noise=None), 0, keeps_features)
        return
    places, number, counts = _what_is_shown(block, is_noisy)
    has_gaps = np.isnan(block.values[places]).any(axis=1)
    has_noise = np.zeros(len(places), bool) if is_noisy is None else is_noisy[places]
    is_large = counts >= num_columns
    if has_noise.sum() > len(number) / num_columns:
        is_large &= ~has_noise
    complete = ~has_gaps & ~has_noise
    if complete.any():
        yield CompleteRows("correlated", block.part(complete[number])._replace(noise=None), 0, keeps_features)
    for chosen in (is_large & has_gaps & ~has_noise, is_large & has_noise):
        if chosen.any():
            yield _groups(block, number, chosen, keeps_features)
    if (rest := ~is_large & ~complete).any():
        yield NoisyRows("correlated", block.part(rest[number]), ())


def _groups(block: RowBlock, number: np.ndarray, chosen: np.ndarray, keeps_features: bool) -> PatternGroups:
    """Puts the rows of the chosen groups one group after the other; `number` is the group of each row."""
    rows = np.flatnonzero(chosen[number])
    rows = rows[np.argsort(number[rows], kind="stable")]
    return PatternGroups(block.part(rows), np.bincount(number[rows], minlength=len(chosen))[chosen], keeps_features)


def _is_noisy(block: RowBlock) -> np.ndarray | None:
    """Tells which rows have noise, (n,) bool; None where none has."""
    if block.noise is None:
        return None
    is_noisy = np.any(block.noise.reshape(len(block.noise), -1), axis=1)
    return np.asarray(is_noisy) if is_noisy.any() else None


def _has_gaps(values: np.ndarray) -> bool:
    """Tells whether a value is NaN, at the speed of the memory."""
    with np.errstate(invalid="ignore"):
        return bool(np.isnan(np.min(values, initial=0.0)))


def _what_is_shown(block: RowBlock, is_noisy: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups rows that have values in the same columns, with the same noise.

    Returns:
        The number of one row of each group, (G,), the group of each row, (n,), and the rows of each group, (G,).
    """
    parts = [np.packbits(np.isnan(block.values), axis=1)]
    if is_noisy is not None and block.noise is not None:
        noise = block.noise.reshape(len(block.noise), -1) + 0.0  # -0 is 0
        parts.append(np.ascontiguousarray(noise, np.float64).view(np.uint8))
    together = np.ascontiguousarray(np.concatenate(parts, axis=1))
    keys = together.view(np.dtype((np.void, together.shape[1]))).ravel()
    _, places, number, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return places, number, counts
