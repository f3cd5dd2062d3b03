"""Adaptive multiple importance sampling (Cornuet, Marin, Mira and Robert 2012) of any log density, by NumPy.

The draws go in two halves, and each half draws from proposals that were fitted to the other one. Draws that are weighed
against a proposal fitted to themselves make the integral too small: by 0.1 nats at 17 coordinates, by 0.6 at 35.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from tfgmm.common.threads import one_thread_each
from tfgmm.families.exact.fitted_proposals import effective_size, first_mixture, fitted_mixture
from tfgmm.families.exact.half_draws import HalfDraws
from tfgmm.families.exact.proposals import Proposal
from tfgmm.posterior import effective_sample_size, smoothed_log_weights

LogDensity = Callable[[np.ndarray], np.ndarray]
Tell = Callable[[int, int], None]

# Points per call of the log density, so that its memory is bounded
CHUNK = 2_000
# Shares of every stage: of the caller's proposal, and of the first proposal, which bounds the ratios
EXTRA_SHARE = 0.3
FIRST_SHARE = 0.1
# Weights are flattened until this many effective draws per coordinate fit the next proposal
DRAWS_PER_COORDINATE = 10.0
# Good enough: a light tail and enough draws, or a tail of finite variance and many
LIGHT_TAIL, ENOUGH_DRAWS = 0.3, 1_000
FINITE_VARIANCE, MANY_DRAWS = 0.5, 2_000


@dataclass(frozen=True)
class Weighted:
    """Holds weighted draws of a distribution.

    Attributes:
        xi: Draws, (S, P) float64, in the order in which the log density was asked for.
        log_ratios: Log density of the target minus `log_drawn`, (S,) float64 in nats; -inf where the target has no
            density.
        log_drawn: Log average of the proposals at each draw, (S,) float64 in nats.
        log_weights: The ratios, Pareto smoothed and normalised, (S,) float64 in nats: logsumexp is 0.
        k_hat: Shape of the tail of the ratios; above 0.7 the draws cannot be trusted.
        size: Effective number of draws, 1 / sum of the squared weights.
        log_evidence: Log of the integral of the target, in nats: log of the average ratio.
        evidence_error: Monte Carlo standard error of `log_evidence`, in nats; above k-hat 0.5 at least that of smoothed
            ratios.
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
    log_density: LogDensity, num_coordinates: int, generator: np.random.Generator, **options: Any
) -> Weighted:
    """Draws from a distribution by importance sampling, from proposals that learn its shape stage by stage.

    Args:
        log_density, num_coordinates, generator: As in `stages`.
        options: The other arguments of `stages`.

    Returns:
        The draws of all stages.

    Example:

    >>> import numpy as np
    >>> normal = lambda xi: -0.5 * np.square(xi).sum(axis=1)
    >>> drawn = adaptive_importance(normal, 2, np.random.default_rng(0))
    >>> drawn.xi.shape, round(float(np.exp(drawn.log_evidence)), 1)  # the integral is 2 pi
    ((2000, 2), 6.3)
    """
    return deque(stages(log_density, num_coordinates, generator, **options), maxlen=1).pop()


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
    """Yields the draws of all stages so far after each stage, until they are good enough.

    That is k-hat below 0.3 and 1,000 effective draws, or below 0.5 and 2,000. Where a stage has fewer draws, half a
    stage's and a whole stage's are enough.

    Args:
        log_density: Log density of the target at points (S, P), (S,) in nats; what is not finite counts as no density.
            It is best measured so that the target is near standard normal.
        num_coordinates: P, the number of coordinates.
        generator: Source of the random numbers.
        num_draws: Number of draws of each stage, at least 2.
        max_stages: Highest number of stages, at least 1.
        extra: A proposal of the caller's that gives three tenths of the draws of each stage.
        tell: Called as tell(stage, max_stages) before each stage; stages count from 1.

    Source: Cornuet, Marin, Mira and Robert 2012, "Adaptive multiple importance sampling".
    """
    halves = [HalfDraws(np.empty((0, num_coordinates))) for _ in range(2)]
    first = [half.add_part(first_mixture(num_coordinates)) for half in halves][0]
    added = {} if extra is None else {[half.add_part(extra) for half in halves][0]: EXTRA_SHARE}
    rest = 1.0 - sum(added.values())
    shares = {first: rest, **added}
    for stage in range(1, max_stages + 1):
        if tell is not None:
            tell(stage, max_stages)
        _draw(halves, shares, num_draws, log_density, generator)
        weighted = weighted_draws(halves)
        yield weighted
        if stage == max_stages or weighted.size == 0.0 or is_good(weighted, num_draws):
            return
        fitted = _fit_to_each_other(halves, generator)
        shares = {fitted: rest * (1.0 - FIRST_SHARE), first: rest * FIRST_SHARE, **added}


def _draw(
    halves: Sequence[HalfDraws],
    shares: dict[int, float],
    num_draws: int,
    log_density: LogDensity,
    generator: np.random.Generator,
) -> None:
    """Draws one stage, half of it in each half, with the log density of the target at all of it together."""
    counts = [num_draws // 2, num_draws - num_draws // 2]
    with one_thread_each():
        drawn = [half.draw(shares, count, generator) for half, count in zip(halves, counts, strict=True)]
    points = np.concatenate(drawn)
    values = np.concatenate([log_density(points[start : start + CHUNK]) for start in range(0, num_draws, CHUNK)])
    values = np.where(np.isfinite(values), values, -np.inf)
    for half, part in zip(halves, np.split(values, counts[:1]), strict=True):
        half.log_target = np.append(half.log_target, part)


def _fit_to_each_other(halves: Sequence[HalfDraws], generator: np.random.Generator) -> int:
    """Fits the next proposal of each half to the draws of the other; gives the number of the new part."""
    least = DRAWS_PER_COORDINATE * halves[0].xi.shape[1]
    with one_thread_each():
        fitted = [fitted_mixture(half.xi, flattened_weights(half.log_ratios(), least), generator) for half in halves]
        return [half.add_part(part) for half, part in zip(halves, reversed(fitted), strict=True)][0]


def is_good(weighted: Weighted, num_draws: int) -> bool:
    """Tells whether weighted draws are good enough for stages of `num_draws`; an unknown k-hat (NaN) is not."""
    is_light = weighted.k_hat < LIGHT_TAIL and weighted.size >= min(ENOUGH_DRAWS, num_draws / 2)
    return is_light or (weighted.k_hat < FINITE_VARIANCE and weighted.size >= min(MANY_DRAWS, num_draws))


def weighted_draws(halves: Sequence[HalfDraws]) -> Weighted:
    """Weighs the draws of both halves; without any density anywhere, all weights and the size are 0."""
    # As they were drawn: both halves of a stage, then those of the next
    order = np.argsort(np.concatenate([half.stages for half in halves]), kind="stable")
    xi = np.concatenate([half.xi for half in halves])[order]
    log_drawn = np.concatenate([half.log_drawn() for half in halves])[order]
    log_ratios = np.concatenate([half.log_target for half in halves])[order] - log_drawn
    if not np.isfinite(log_ratios).any():
        return Weighted(xi, log_ratios, log_drawn, log_ratios, math.inf, 0.0, -math.inf, math.inf)
    log_weights, k_hat = smoothed_log_weights(log_ratios)
    log_total = float(logsumexp(log_ratios))
    second = float(np.exp(2.0 * (log_ratios - log_total)).sum())
    if k_hat > FINITE_VARIANCE:
        # The raw ratios may have missed their tail, and the smoothed ones may have cut it
        second = max(second, float(np.exp(2.0 * log_weights).sum()))
    return Weighted(
        xi=xi,
        log_ratios=log_ratios,
        log_drawn=log_drawn,
        log_weights=log_weights,
        k_hat=k_hat,
        size=effective_sample_size(log_weights),
        log_evidence=log_total - math.log(len(log_ratios)),
        evidence_error=math.sqrt(max(0.0, second - 1.0 / len(log_ratios))),
    )


def flattened_weights(log_ratios: np.ndarray, least: float) -> np.ndarray:
    """Normalises weights, raised to the highest power up to 1 that leaves them an effective size of `least`.

    At most half of the draws with any density are asked for.

    Args:
        log_ratios: Log weights, (S,) float64 in nats.
        least: Effective number of draws to leave.

    Returns:
        Weights, (S,) float64 with sum 1; 0 where the log weight is -inf, equal where all are.
    """
    has_density = np.isfinite(log_ratios)
    if not has_density.any():
        return np.full(len(log_ratios), 1.0 / len(log_ratios))
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
