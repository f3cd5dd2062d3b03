"""Posterior draws of a mixture: the one currency of all engines, as plain arrays."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfgmm.shapes import check_shape


@dataclasses.dataclass(frozen=True)
class Draws:
    """Draws from a posterior over mixtures, C chains of S draws each, in data units.

    Args:
        weights: (C, S, K) float64, each line sums to 1.
        locs: (C, S, K, D) float64, component means.
        scales: (C, S, K, D) float64, component standard deviations, positive.
        column_names: D names of the columns, or None.
        covariances: (C, S, K, D, D) float64, component covariances whose diagonals are scales^2; None where the
            columns of a component are independent.

    Raises:
        ValueError: the shapes do not fit together.

    Example:

    >>> import numpy as np
    >>> draws = Draws(np.full((1, 4, 2), 0.5), np.zeros((1, 4, 2, 3)), np.ones((1, 4, 2, 3)))
    >>> draws.num_components, draws.num_features
    (2, 3)
    """

    weights: np.ndarray
    locs: np.ndarray
    scales: np.ndarray
    column_names: tuple[str, ...] | None = None
    covariances: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_shape("weights", self.weights, "CSK", fix="Add the axes of chains and draws in front.")
        chains, draws, components = self.weights.shape
        check_shape("locs", self.locs, "CSKD", C=chains, S=draws, K=components)
        check_shape("scales", self.scales, "CSKD", C=chains, S=draws, K=components, D=self.locs.shape[-1])
        if self.covariances is not None:
            sizes = dict(zip("CSKD", self.locs.shape))
            check_shape("covariances", self.covariances, "CSKDD", **sizes)

    @property
    def num_components(self) -> int:
        """K."""
        return int(self.locs.shape[-2])

    @property
    def num_features(self) -> int:
        """D."""
        return int(self.locs.shape[-1])
