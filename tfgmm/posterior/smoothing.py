"""Importance weights whose largest are smoothed, so that few draws do not carry the sums, and how far to trust them."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

# Fewer ratios have too short a tail; ratios that differ by less, nats, are equal except for rounding.
FEWEST_RATIOS, _EQUAL = 100, 1e-3
# A generalised Pareto distribution is not fitted to as few as this
_TOO_SHORT = 4
# Smaller weights are zero beside the largest
_LEAST = float(np.log(np.finfo(np.float64).tiny))
# Zhang and Stephens 2009, section 3: scale of the prior of b. Vehtari et al. 2024, appendix C: k is drawn towards 0.5
# as by ten more draws.
_PRIOR_SCALE, _PRIOR_DRAWS, _PRIOR_SHAPE = 3.0, 10, 0.5


def smoothed_log_weights(log_ratios: np.ndarray) -> tuple[np.ndarray, float]:
    """Smooths the largest of S importance ratios, and normalises them all.

    The largest min(S / 5, 3 sqrt(S)) ratios are replaced by quantiles of the generalised Pareto distribution that fits
    them, none above the largest of them. Its shape k-hat tells whether the variance of the ratios is finite (below
    0.5), and whether weighted draws are useful at all (below 0.7), whatever the number of dimensions.

    Args:
        log_ratios: log target density - log density that the draws are from, (S,), nats, up to a constant; -inf where
            the target is zero.

    Returns:
        Log weights, (S,) float64, whose exponentials add up to 1; and k-hat. It is NaN, and nothing is smoothed, with
        fewer than 100 ratios; 0 where all are equal; infinite where four ratios or fewer make up the tail.

    Raises:
        ValueError: If a ratio is NaN or +inf, or all are -inf.

    Source: Vehtari, Simpson, Gelman, Yao and Gabry 2024, "Pareto smoothed importance sampling".

    Example:

    >>> log_weights, k_hat = smoothed_log_weights(np.linspace(-3.0, 0.0, 1_000))
    >>> round(float(np.exp(log_weights).sum()), 6), round(k_hat, 1)
    (1.0, -0.7)
    """
    ratios = np.asarray(log_ratios, np.float64)
    _check(ratios)
    shifted, k_hat = ratios - ratios.max(), float("nan")
    if len(ratios) >= FEWEST_RATIOS:
        shifted, k_hat = _smoothed(shifted)
    return shifted - logsumexp(shifted), k_hat


def effective_sample_size(log_weights: np.ndarray) -> float:
    """Computes how many equally weighted draws are worth as much as draws of these weights: 1 / sum of squares.

    Args:
        log_weights: Log weights, (S,), whose exponentials add up to 1.

    Returns:
        Between 1, where one draw has all the weight, and S, where all are equal.

    Example:

    >>> round(effective_sample_size(np.log([0.5, 0.25, 0.25])), 3)
    2.667
    """
    return float(np.exp(-logsumexp(2.0 * np.asarray(log_weights, np.float64))))


def _check(ratios: np.ndarray) -> None:
    if ratios.ndim != 1 or not len(ratios):
        raise ValueError(
            f"`log_ratios` must be one row of numbers, (S,). Received: shape {ratios.shape}. "
            "Pass the log ratio of each draw."
        )
    if np.isnan(ratios).any() or ratios.max() == np.inf:
        raise ValueError(
            "`log_ratios` must be numbers or -inf. Received: NaN or +inf among them. "
            "Give -inf where the target density is zero or cannot be computed."
        )
    if ratios.max() == -np.inf:
        raise ValueError(
            f"`log_ratios` must be above -inf for one draw at least. Received: {len(ratios):,} that are -inf. "
            "Draw from a distribution that overlaps the target."
        )


def _smoothed(shifted: np.ndarray) -> tuple[np.ndarray, float]:
    """Smooths the largest of the log ratios, (S,) with 0 the largest; returns them and k-hat."""
    finite = shifted[np.isfinite(shifted)]
    if len(finite) > _TOO_SHORT and np.ptp(finite) <= _EQUAL:
        return shifted, 0.0  # the target is flat beside the draws' density: there is no tail to fit
    order = np.argsort(shifted)
    num_tail = int(np.ceil(min(len(shifted) / 5.0, 3.0 * np.sqrt(len(shifted)))))
    cutoff = max(shifted[order[-num_tail - 1]], _LEAST)
    tail = order[np.searchsorted(shifted[order], cutoff, side="right") :]
    if len(tail) <= _TOO_SHORT:
        return shifted, float("inf")
    shape, scale = _fitted_tail(np.exp(shifted[tail]) - np.exp(cutoff))
    if not np.isfinite(shape):
        return shifted, float("inf")
    probabilities = np.arange(0.5, len(tail)) / len(tail)
    result = shifted.copy()
    result[tail] = np.minimum(np.log(_quantiles(probabilities, shape, scale) + np.exp(cutoff)), 0.0)
    return result, shape


def _fitted_tail(excesses: np.ndarray) -> tuple[float, float]:
    """Fits a generalised Pareto distribution to excesses, (n,) in rising order; returns its shape and scale.

    Source: Zhang and Stephens 2009, "A new and efficient estimation method for the generalized Pareto distribution":
    the mean of b = -shape / scale under its profile likelihood and a weak prior, on a grid.
    """
    num = len(excesses)
    num_points = 30 + int(np.sqrt(num))
    quartile = excesses[int(num / 4 + 0.5) - 1]
    with np.errstate(all="ignore"):  # excesses that are zero beside the largest make a shape that is not finite
        grid = 1.0 - np.sqrt(num_points / (np.arange(1, num_points + 1) - 0.5))
        grid = grid / (_PRIOR_SCALE * quartile) + 1.0 / excesses[-1]
        shapes = np.log1p(-grid[:, None] * excesses).mean(axis=1)
        log_likelihoods = num * (np.log(-grid / shapes) - shapes - 1.0)
        weights = 1.0 / np.exp(log_likelihoods - log_likelihoods[:, None]).sum(axis=1)
        is_heavy = weights >= 10 * np.finfo(np.float64).eps
        b = (grid[is_heavy] * (weights[is_heavy] / weights[is_heavy].sum())).sum()
        shape = np.log1p(-b * excesses).mean()
        scale = -shape / b
    return float((num * shape + _PRIOR_DRAWS * _PRIOR_SHAPE) / (num + _PRIOR_DRAWS)), float(scale)


def _quantiles(probabilities: np.ndarray, shape: float, scale: float) -> np.ndarray:
    """Computes quantiles of the generalised Pareto distribution, (n,)."""
    exponential = -np.log1p(-probabilities)
    if abs(shape) < np.finfo(np.float64).eps:
        return scale * exponential
    with np.errstate(over="ignore"):  # infinite ones are cut at the largest ratio
        return scale * np.expm1(shape * exponential) / shape
