"""What lies behind rows of correlated columns that have gaps or measurement noise, for each pattern of these.

Given a row x and a component, the true values z are normal with mean A x + c and covariance C; what is not seen is
integrated out of the log joint, whose coefficients are then those of the pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tfgmm.mixture.features import pair_coefficients, pairs
from tfgmm.mixture.integrands import LOG_TWO_PI, Coefficients, correlated_integrands_of, precisions_of
from tfgmm.mixture.symmetric import inverses

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock


class TrueValues(NamedTuple):
    """How the true values z behind rows follow from what is known of these, per component: mean A x + c, covariance C.

    gains: A, (..., D, D). offsets: c, (..., D). spreads: C, (..., D, D).
    """

    gains: np.ndarray
    offsets: np.ndarray
    spreads: np.ndarray

    def moments(self, counts: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turns sums over rows (...), (..., D) and (..., D, D) into those of z and of z z'."""
        gains, offsets, spreads = self
        moved = (gains @ first[..., None])[..., 0]
        total = moved + counts[..., None] * offsets
        cross = moved[..., :, None] * offsets[..., None, :]
        squares = gains @ second @ gains.swapaxes(-1, -2) + cross + cross.swapaxes(-1, -2)
        squares += counts[..., None, None] * (offsets[..., :, None] * offsets[..., None, :] + spreads)
        return total, squares


class Patterns(NamedTuple):
    """What G groups show: 1 where a row has a value, (G, D), and covariances of the noise, (G, D, D), None for none."""

    observed: np.ndarray
    noise: np.ndarray | None

    def part(self, chosen: slice) -> Patterns:
        """Takes some of the groups."""
        return Patterns(self.observed[chosen], None if self.noise is None else self.noise[chosen])


def covariances_of(noise: np.ndarray) -> np.ndarray:
    """Makes covariances (n, D, D) of standard deviations (n, D); covariances stay."""
    return noise if noise.ndim == 3 else np.square(noise)[..., None] * np.eye(noise.shape[1])


def has_gaps(values: np.ndarray) -> bool:
    """Tells whether a value is NaN, at the speed of the memory."""
    with np.errstate(invalid="ignore"):
        return bool(np.isnan(np.min(values, initial=0.0)))


# Patterns of G groups -> their coefficients, (G, R, F, K) and (G, R, K), and the true values behind their rows
OfPatterns = Callable[[Patterns], tuple[Coefficients, TrueValues]]


def behind_gaps(coefficients: Sequence[np.ndarray], num_columns: int) -> OfPatterns:
    """Makes the function that integrates gaps out: Bishop 2006, 2.3.1, in the precisions, which need no inverse."""
    precisions = precisions_of(coefficients[0], num_columns)
    linear, constants = coefficients[0][:, :num_columns].swapaxes(1, 2), coefficients[1]

    def of_patterns(patterns: Patterns) -> tuple[Coefficients, TrueValues]:
        observed = patterns.observed[:, None, None]  # (G, 1, 1, D)
        hidden = 1.0 - observed
        # The hidden columns of the precisions, and 1 on the diagonal of the others
        spreads, log_determinants = _inverted_within(precisions, hidden)
        gains = _diagonal(observed) - spreads @ precisions * observed[..., None, :]
        offsets = (spreads @ linear[..., None])[..., 0]
        gone = hidden.sum(axis=-1) * LOG_TWO_PI - log_determinants + (linear * offsets).sum(axis=-1)
        moved = (gains.swapaxes(-1, -2) @ linear[..., None])[..., 0]
        of_groups = _coefficients(observed[..., None] * (precisions @ gains), moved, constants + 0.5 * gone)
        return of_groups, TrueValues(gains, offsets, spreads)

    return of_patterns


def behind_noise(coefficients: Sequence[np.ndarray], num_columns: int) -> OfPatterns:
    """Makes the function that integrates true values out, behind noise and in gaps: Bovy, Hogg and Roweis 2011."""
    log_shares, locs, covariances, *_ = correlated_integrands_of(coefficients, num_columns)

    def of_patterns(patterns: Patterns) -> tuple[Coefficients, TrueValues]:
        observed, noise = patterns.observed[:, None, None], np.asarray(patterns.noise)[:, None, None]
        precisions, log_determinants = _inverted_within(covariances + noise, observed)
        gains = covariances @ precisions
        offsets = locs - (gains @ locs[..., None])[..., 0]
        linear = (precisions @ locs[..., None])[..., 0]
        gone = observed.sum(axis=-1) * LOG_TWO_PI + log_determinants + (linear * locs).sum(axis=-1)
        of_groups = _coefficients(precisions, linear, log_shares - 0.5 * gone)
        return of_groups, TrueValues(gains, offsets, covariances - gains @ covariances)

    return of_patterns


def _inverted_within(matrices: np.ndarray, is_in: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverts the rows and columns that are in, (G, 1, 1, D) of 0 and 1, of matrices; all others become 0.

    Returns (G, R, K, D, D) and the log determinants, (G, R, K).
    """
    both = matrices * (is_in[..., :, None] * is_in[..., None, :]) + _diagonal(1.0 - is_in)
    found, log_determinants = inverses(np.ascontiguousarray(np.moveaxis(both, 0, -1)))
    found = np.ascontiguousarray(np.moveaxis(found, -1, 0))
    return found * is_in[..., None, :] * is_in[..., None], np.moveaxis(log_determinants, -1, 0)


def _diagonal(values: np.ndarray) -> np.ndarray:
    return values[..., None] * np.eye(values.shape[-1])


def _coefficients(precisions: np.ndarray, linear: np.ndarray, constants: np.ndarray) -> Coefficients:
    """Writes precisions (G, R, K, D, D), linear terms (G, R, K, D) and constants as coefficients of features."""
    num_columns = linear.shape[-1]
    precisions = 0.5 * (precisions + precisions.swapaxes(-1, -2))
    times = pair_coefficients(num_columns)
    quadratic = -0.5 * times * precisions[..., *pairs(num_columns)]
    return np.concatenate([linear, quadratic], axis=-1).swapaxes(-1, -2), constants


def what_is_shown(block: RowBlock) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups rows that have values in the same columns, with the same noise.

    Returns:
        The number of one row of each group, (G,), the group of each row, (n,), and the rows of each group, (G,).
    """
    parts = [np.packbits(np.isnan(block.values), axis=1)]
    if block.noise is not None:
        noise = block.noise.reshape(len(block.noise), -1) + 0.0  # -0 is 0
        parts.append(np.ascontiguousarray(noise, np.float64).view(np.uint8))
    together = np.ascontiguousarray(np.concatenate(parts, axis=1))
    keys = together.view(np.dtype((np.void, together.shape[1]))).ravel()
    _, places, number, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return places, number, counts
