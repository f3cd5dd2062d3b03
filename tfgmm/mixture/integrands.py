"""What coefficients of log joints say of each component: its share, and its normal density.

exp(features of z @ the first coefficients + the second) = share_k Normal(z | mean_k, covariance_k). Whatever a row does
not show exactly is integrated over: gaps, and the true values behind measurement noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.common.shapes import Tensor
from tfgmm.mixture.features import matrices_of_products, pair_coefficients
from tfgmm.mixture.symmetric import inverted

LOG_TWO_PI = math.log(2.0 * math.pi)

Coefficients = tuple[np.ndarray, np.ndarray]


class Integrands(NamedTuple):
    """Components as R posteriors have them, float64; a row has the log joint log_shares + log Normal.

    log_shares: (R, K), nats.
    locs: (R, K, D).
    covariances: (R, K, D, D), or variances (R, K, D) of independent columns.
    without: (R, K, D), what is added to the log joint, besides the density of the other columns, where a row has no
        value in the column: 0 except in the columns that have masks; None where none has.
    """

    log_shares: np.ndarray
    locs: np.ndarray
    covariances: np.ndarray
    without: np.ndarray | None = None


def without_masks(coefficients: Sequence[Tensor], num_masks: int) -> Sequence[Tensor]:
    """Adds what stands at G masks, (..., G, K), to the constants: for rows that have all values each mask is 1."""
    if not num_masks:
        return coefficients
    linear, constants = map(np.asarray, coefficients)
    return linear[..., :-num_masks, :], constants + linear[..., -num_masks:, :].sum(axis=-2)


def with_masks(coefficients: Coefficients, of_values: np.ndarray) -> Coefficients:
    """Moves what values in G columns add to the constants, (..., K, G), to the masks of these columns."""
    linear, constants = coefficients
    return np.concatenate([linear, of_values.swapaxes(-1, -2)], axis=-2), constants - of_values.sum(axis=-1)


def precisions_of(linear: np.ndarray, num_features: int) -> np.ndarray:
    """Computes the precision matrices (R, K, D, D) of correlated columns from coefficients (R, D + P, K)."""
    quadratic = linear[:, num_features:].swapaxes(1, 2)
    return matrices_of_products(-2.0 / pair_coefficients(num_features) * quadratic, num_features)


def integrands_of(coefficients: Sequence[np.ndarray], num_features: int, gap_columns: Sequence[int]) -> Integrands:
    """Takes apart the coefficients of independent columns, (R, 2 D + G, K) and (R, K).

    Args:
        coefficients: As `RowGroups.sums` takes them.
        num_features: D.
        gap_columns: The G columns that have masks.
    """
    linear, constants = coefficients[0].swapaxes(1, 2), coefficients[1]
    variances = -0.5 / linear[..., num_features : 2 * num_features]
    locs = linear[..., :num_features] * variances
    integrals = log_integrals(locs, variances)
    of_masks = linear[..., 2 * num_features :]
    log_shares = constants + of_masks.sum(axis=-1) + integrals.sum(axis=-1)
    if not len(gap_columns):
        return Integrands(log_shares, locs, variances)
    without, columns = np.zeros_like(locs), list(gap_columns)
    without[..., columns] = -(of_masks + integrals[..., columns])
    return Integrands(log_shares, locs, variances, without)


def with_integrals(coefficients: Coefficients, num_features: int, columns: Sequence[int]) -> Coefficients:
    """Gives masks to columns that have none: where a row has no value, the density is integrated over it.

    Args:
        coefficients: (..., D + P, K) and (..., K) of independent columns with known parameters.
        num_features: D.
        columns: G columns.

    Returns:
        (..., D + P + G, K) and (..., K): what each of these columns adds to the constant stands by itself.
    """
    linear, _ = coefficients
    chosen, squares = np.array(columns, np.intp), num_features + np.array(columns, np.intp)
    variances = -0.5 / linear[..., squares, :]
    integrals = log_integrals(linear[..., chosen, :] * variances, variances)
    return with_masks(coefficients, -integrals.swapaxes(-1, -2))


def log_integrals(locs: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Computes log of the integral of exp(linear z + quadratic z^2) for independent columns, nats."""
    return 0.5 * (LOG_TWO_PI + np.log(variances) + np.square(locs) / variances)


def correlated_integrands_of(coefficients: Sequence[np.ndarray], num_features: int) -> Integrands:
    """Takes apart the coefficients of correlated columns, (R, D + P, K) and (R, K)."""
    linear, constants = coefficients[0][:, :num_features].swapaxes(1, 2), coefficients[1]
    precisions = precisions_of(coefficients[0], num_features)
    covariances, log_determinants = inverted(precisions)
    locs = (covariances @ linear[..., None])[..., 0]
    integrals = 0.5 * (num_features * LOG_TWO_PI - log_determinants + (linear * locs).sum(axis=-1))
    return Integrands(constants + integrals, locs, covariances)
