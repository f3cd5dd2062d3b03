"""How optima of one fit rank by their evidence, in figures and in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The best restarts of a fit by bound that ended at different optima, and the evidence near each.

    Args:
        places: Places of these among the restarts of the fit, which stand by bound, best first.
        log_evidence: Evidence near each, nats, of one order of the components: it can be compared with these alone.
        errors: Its Monte-Carlo standard errors, nats; 0 for Laplace's approximation.
        taken: Which of them the fit goes on from, counted from 0: the one with the best bound of those whose evidence
            is the largest, give or take twice the Monte-Carlo error.
    """

    places: tuple[int, ...]
    log_evidence: tuple[float, ...]
    errors: tuple[float, ...]
    taken: int

    @classmethod
    def of(cls, places: Sequence[int], log_evidence: Sequence[float], errors: Sequence[float]) -> Ranking:
        """Ranks optima.

        Example:

        >>> Ranking.of([0, 3, 4], [-10.0, -9.0, -8.9], [0.01, 0.2, 0.3]).taken
        1
        """
        values, sizes = np.array(log_evidence), np.array(errors)
        largest = int(np.argmax(values))
        is_near = values >= values[largest] - 2.0 * np.hypot(sizes, sizes[largest])
        return cls(tuple(places), tuple(log_evidence), tuple(errors), int(np.argmax(is_near)))

    @property
    def place(self) -> int:
        """Place among the restarts of the one that the fit goes on from."""
        return self.places[self.taken]

    def sentence(self, bounds: Sequence[float]) -> str:
        """Says which restart the fit goes on from, and what speaks for it.

        Args:
            bounds: Bounds of all restarts, nats.

        Example:

        >>> Ranking.of([0, 2], [-10.0, -9.0], [0.0, 0.0]).sentence([-12.0, -12.0, -12.5])
        'restarts at different optima, evidence beside the first: +0.0 (bound -12.0), +1.0 (bound -12.5, taken)'
        """
        taken = ("", ", taken")
        described = [
            f"{value - self.log_evidence[0]:+.1f} (bound {bounds[place]:.1f}{taken[place == self.place]})"
            for place, value in zip(self.places, self.log_evidence)
        ]
        return f"restarts at different optima, evidence beside the first: {', '.join(described)}"
