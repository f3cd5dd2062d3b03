"""Draws of all stages of adaptive importance sampling, each weighed against what it was drawn from, by NumPy.

Weighing an old draw against a proposal that was fitted to it would make the integral too small: by 0.1 nats at 17
numbers, by 0.6 at 35. So each stage stands by itself, and the stages are averaged.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp

from tfgmm.families.exact.proposals import Proposal, drawn_from, log_average

LogDensity = Callable[[np.ndarray], np.ndarray]
CHUNK = 2_000


class PooledDraws:
    """Collects the draws of all stages, with their log densities under the target and under every part of a proposal.

    Args:
        log_density: Log density of the target at points (S, P), (S,) in nats.
        num_coordinates: P, the number of coordinates.
    """

    def __init__(self, log_density: LogDensity, num_coordinates: int) -> None:
        self._log_density = log_density
        self._parts: list[Proposal] = []
        self._shares: list[dict[int, float]] = []
        self.xi = np.empty((0, num_coordinates))
        self.log_target = np.empty(0)
        self._log_parts = np.empty((0, 0))
        self._stages = np.empty(0, dtype=np.int64)

    def add_part(self, part: Proposal) -> int:
        """Adds a part that stages may draw from, and gives its number."""
        self._parts.append(part)
        self._log_parts = np.concatenate([self._log_parts, part.log_density(self.xi)[None]])
        return len(self._parts) - 1

    def draw(self, shares: dict[int, float], num_draws: int, generator: np.random.Generator) -> None:
        """Draws one stage from parts, given by their numbers and shares."""
        points = drawn_from([self._parts[part] for part in shares], np.array([*shares.values()]), num_draws, generator)
        log_parts = np.stack([part.log_density(points) for part in self._parts])
        self._log_parts = np.concatenate([self._log_parts, log_parts], axis=1)
        self.log_target = np.append(self.log_target, self._target_at(points))
        self.xi = np.concatenate([self.xi, points])
        self._stages = np.append(self._stages, np.full(num_draws, len(self._shares)))
        self._shares.append(shares)

    def _target_at(self, points: np.ndarray) -> np.ndarray:
        values = [self._log_density(points[start : start + CHUNK]) for start in range(0, len(points), CHUNK)]
        joined = np.concatenate(values)
        return np.where(np.isfinite(joined), joined, -np.inf)

    def balanced_ratios(self) -> np.ndarray:
        """Gives log target minus log average of all proposals, (S,) in nats: the steadiest, but a little biased."""
        counts = np.bincount(self._stages)
        return self.log_target - log_average(self._log_proposals(), counts / counts.sum())

    def ratios(self) -> np.ndarray:
        """Gives log target minus `log_drawn`, (S,) in nats."""
        return self.log_target - self.log_drawn()

    def log_drawn(self) -> np.ndarray:
        """Gives the log proposal of each draw's own stage, (S,) in nats, the stages weighed by precision.

        The average of the ratios to it is an estimate of the integral of the target. A stage counts by its number of
        draws over the second moment of its ratio, which is estimated from the draws of all stages.
        """
        log_proposals, log_weights = self._log_proposals(), self.balanced_ratios()
        log_weights -= logsumexp(log_weights)
        counts = np.bincount(self._stages)
        seconds = logsumexp(log_weights + self.log_target - log_proposals, axis=1)
        log_shares = np.log(counts) - seconds
        log_shares += np.log(len(self.xi)) - logsumexp(log_shares) - np.log(counts)
        own = log_proposals[self._stages, np.arange(len(self.xi))]
        return np.asarray(own - log_shares[self._stages])

    def _log_proposals(self) -> np.ndarray:
        """Gives the log density of each stage's proposal at all draws, (T, S) float64."""
        rows = [log_average(self._log_parts[[*shares]], np.array([*shares.values()])) for shares in self._shares]
        return np.stack(rows)
