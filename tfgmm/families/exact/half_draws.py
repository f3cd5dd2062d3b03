"""One half of the draws of adaptive importance sampling, with their log densities under all proposals, by NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tfgmm.families.exact.proposals import Proposal, drawn_from, log_average


@dataclass
class HalfDraws:
    """Collects the draws that one half of all stages has made, and weighs them against the average of its proposals.

    A proposal is a mixture of parts. The log density of each part at each draw is computed once.

    Attributes:
        xi: Draws, (S, P) float64.
        log_target: Log density of the target at the draws, (S,) float64 in nats.
        stages: Stage of each draw, (S,) int64 from 0.
    """

    xi: np.ndarray
    log_target: np.ndarray = field(default_factory=lambda: np.empty(0))
    stages: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    _parts: list[Proposal] = field(default_factory=list)
    _log_parts: list[np.ndarray] = field(default_factory=list)
    _counts: list[float] = field(default_factory=list)

    def add_part(self, part: Proposal) -> int:
        """Adds a part that proposals may have, and gives its number."""
        self._parts.append(part)
        self._log_parts.append(part.log_density(self.xi))
        self._counts.append(0.0)
        return len(self._parts) - 1

    def draw(self, shares: dict[int, float], num_draws: int, generator: np.random.Generator) -> np.ndarray:
        """Draws points (num_draws, P) from the parts with these numbers, in these shares, and keeps them."""
        parts = [self._parts[part] for part in shares]
        points = drawn_from(parts, np.array([*shares.values()]), num_draws, generator)
        self._log_parts = [
            np.append(known, part.log_density(points)) for known, part in zip(self._log_parts, self._parts, strict=True)
        ]
        for part, share in shares.items():
            self._counts[part] += share * num_draws
        stage = self.stages[-1] + 1 if len(self.stages) else 0
        self.stages = np.append(self.stages, np.full(num_draws, stage))
        self.xi = np.concatenate([self.xi, points])
        return points

    def log_drawn(self) -> np.ndarray:
        """Gives the log average of all proposals at the draws, (S,) float64 in nats."""
        shares = np.array(self._counts) / sum(self._counts)
        return log_average(np.stack(self._log_parts), shares)

    def log_ratios(self) -> np.ndarray:
        """Gives log target minus log average of all proposals (the balance heuristic), (S,) float64 in nats."""
        return self.log_target - self.log_drawn()
