"""Adaptive multiple importance sampling (Cornuet, Marin, Mira and Robert 2012) of any log density, by NumPy."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from tfgmm.families.exact.fitted_proposals import effective_size, first_mixture, fitted_mixture
from tfgmm.families.exact.pooled_draws import LogDensity, PooledDraws
from tfgmm.families.exact.proposals import Proposal
from tfgmm.posterior import effective_sample_size, smoothed_log_weights

Tell = Callable[[int, int], None]

# Shares of every stage: of the caller's proposal, and of the first proposal, which bounds the ratios
EXTRA_SHARE = 0.1
FIRST_SHARE = 0.2
# Weights are flattened until this many effective draws per number fit the next proposal
DRAWS_PER_NUMBER = 3.0
# Good enough: a light tail and enough draws, or a tail of finite variance and many
LIGHT_TAIL, ENOUGH_DRAWS = 0.3, 400
FINITE_VARIANCE, MANY_DRAWS = 0.5, 2_000


@dataclass(frozen=True)
class Weighted:
    """Holds weighted draws of a distribution.

    Attributes:
        xi: Draws, (S, P) float64.
        log_ratios: Log density of the target minus log density of what the draw came from, stages weighed by their
            precision, (S,) float64 in nats; -inf where the target has no density.
        log_drawn: Log density of what each draw came from, (S,), as the ratios have it.
        log_weights: The ratios, Pareto smoothed and normalised, (S,) float64 in nats: logsumexp is 0.
        k_hat: Shape of the tail of the ratios; above 0.7 the draws cannot be trusted.
        size: Effective number of draws, 1 / sum of the squared weights.
        log_evidence: Log of the integral of the target, in nats: log of the average ratio.
        evidence_error: Monte Carlo standard error of `log_evidence`, in nats.
    """

    xi: np.ndarray
    log_ratios: np.ndarray
    log_drawn: np.ndarray
    log_weights: np.ndarray
    k_hat: float
    size: float
    log_evidence: float
    evidence_error: float


def adaptive_importance(
    log_density: LogDensity,
    num_coordinates: int,
    generator: np.random.Generator,
    *,
    num_draws: int = 2_000,
    max_stages: int = 5,
    extra: Proposal | None = None,
    tell: Tell | None = None,
) -> Weighted:
    """Draws from a distribution by importance sampling, from proposals that learn its shape stage by stage.

    Args:
        log_density: Log density of the target at points (S, P), (S,) in nats; what is not finite counts as no density.
            It is best measured so that the target is near standard normal.
        num_coordinates: P, the number of coordinates.
        generator: Source of the random numbers.
        num_draws: Number of draws of each stage.
        max_stages: Highest number of stages.
        extra: A proposal of the caller's that gives a tenth of the draws of each stage.
        tell: Called as tell(stage, max_stages) before each stage; stages count from 1.

    Returns:
        The draws of all stages.

    Example:

    >>> import numpy as np
    >>> normal = lambda xi: -0.5 * np.square(xi).sum(axis=1)
    >>> drawn = adaptive_importance(normal, 2, np.random.default_rng(0))
    >>> drawn.xi.shape, round(float(np.exp(drawn.log_evidence)), 1)  # the integral is 2 pi
    ((2000, 2), 6.3)
    """
    every = stages(
        log_density,
        num_coordinates,
        generator,
        num_draws=num_draws,
        max_stages=max_stages,
        extra=extra,
        tell=tell,
    )
    return deque(every, maxlen=1).pop()


def stages(
    log_density: LogDensity,
    num_coordinates: int,
    generator: np.random.Generator,
    *,
    num_draws: int = 2_000,
    max_stages: int = 5,
    extra: Proposal | None = None,
    tell: Tell | None = None,
) -> Iterator[Weighted]:
    """Yields the draws of all stages so far after each stage of `adaptive_importance`, which has the arguments.

    It ends when the draws are good enough: k-hat below 0.3 and 400 effective draws, or below 0.5 and 2,000. Fewer
    draws are enough where a stage has fewer: a fifth of a stage's, and a whole stage's.
    """
    pool = PooledDraws(log_density, num_coordinates)
    first = pool.add_part(first_mixture(num_coordinates))
    added = {} if extra is None else {pool.add_part(extra): EXTRA_SHARE}
    rest = 1.0 - sum(added.values())
    shares = {first: rest, **added}
    for stage in range(max_stages):
        if tell is not None:
            tell(stage + 1, max_stages)
        pool.draw(shares, num_draws, generator)
        weighted = weighted_draws(pool)
        yield weighted
        if stage + 1 == max_stages or weighted.size == 0.0 or is_good(weighted, num_draws):
            return
        weights = flattened_weights(pool.balanced_ratios(), DRAWS_PER_NUMBER * num_coordinates)
        fitted = pool.add_part(fitted_mixture(pool.xi, weights, generator))
        shares = {fitted: rest * (1.0 - FIRST_SHARE), first: rest * FIRST_SHARE, **added}


def is_good(weighted: Weighted, num_draws: int) -> bool:
    """Tells whether weighted draws are good enough for stages of `num_draws`; an unknown k-hat (NaN) is not."""
    is_light = weighted.k_hat < LIGHT_TAIL and weighted.size >= min(ENOUGH_DRAWS, num_draws / 5)
    return is_light or (weighted.k_hat < FINITE_VARIANCE and weighted.size >= min(MANY_DRAWS, num_draws))


def weighted_draws(pool: PooledDraws) -> Weighted:
    """Weighs the draws of all stages; without any density anywhere, all weights and the size are 0."""
    if not np.isfinite(pool.log_target).any():
        nothing = np.full(len(pool.xi), -np.inf)
        return Weighted(pool.xi, nothing, np.zeros(len(nothing)), nothing, math.inf, 0.0, -math.inf, math.inf)
    log_drawn = pool.log_drawn()
    log_ratios = pool.log_target - log_drawn
    log_weights, k_hat = smoothed_log_weights(log_ratios)
    log_total = float(logsumexp(log_ratios))
    # Beyond the largest draw the tail of the raw ratios is unseen; the smoothed ones foresee it
    counted = log_weights if k_hat > FINITE_VARIANCE else log_ratios - log_total
    return Weighted(
        xi=pool.xi,
        log_ratios=log_ratios,
        log_drawn=log_drawn,
        log_weights=log_weights,
        k_hat=k_hat,
        size=effective_sample_size(log_weights),
        log_evidence=log_total - math.log(len(log_ratios)),
        evidence_error=math.sqrt(max(0.0, float(np.exp(2.0 * counted).sum()) - 1.0 / len(log_ratios))),
    )


def flattened_weights(log_ratios: np.ndarray, least: float) -> np.ndarray:
    """Normalises weights, raised to the highest power up to 1 that leaves them an effective size of `least`.

    At most half of the draws with any density are asked for.

    Args:
        log_ratios: Log weights, (S,) float64 in nats, some of them finite.
        least: Effective number of draws to leave.

    Returns:
        Weights, (S,) float64 with sum 1; 0 where the log weight is -inf.
    """
    has_density = np.isfinite(log_ratios)
    least = min(least, has_density.sum() / 2)

    def weights_at(power: float) -> np.ndarray:
        flattened = np.where(has_density, power * np.where(has_density, log_ratios, 0.0), -np.inf)
        return np.exp(flattened - logsumexp(flattened))

    if effective_size(weights_at(1.0)) >= least:
        return weights_at(1.0)
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if effective_size(weights_at(middle)) >= least else (low, middle)
    return weights_at(low)
