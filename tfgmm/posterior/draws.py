"""Posterior draws of a mixture as plain arrays: what all engines return."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfgmm.common.shapes import check_shape
from tfgmm.posterior.arviz import PARAMETERS, from_arviz, to_arviz
from tfgmm.posterior.record import PosteriorRecord

# The sample_stats entry with log p(rows, draw) - log q(draw), nats
LOG_RATIO = "log_importance_ratio"


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """Draws from a posterior over mixtures, C chains of S draws each, in data units.

    Args:
        weights: Weights of the components, (C, S, K) float64; each line sums to 1.
        locs: Means of the components, (C, S, K, D) float64.
        scales: Standard deviations of the components, (C, S, K, D) float64, positive.
        column_names: Names of the D columns, or None.
        covariances: Covariances of the components, (C, S, K, D, D) float64, whose diagonals are scales^2; None where
            the columns of a component are independent.
        sample_stats: What the sampler says of each draw, such as "diverging": arrays (C, S) by name.
        posterior: How the draws were made, and how far to trust them; None where their engine does not say.

    Raises:
        ValueError: If the shapes do not fit together.

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
    sample_stats: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    posterior: PosteriorRecord | None = None

    def __post_init__(self) -> None:
        for name in PARAMETERS:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.asarray(getattr(self, name)))
        check_shape("weights", self.weights, "CSK", fix="Add the axes of chains and draws in front.")
        chains, draws, components = self.weights.shape
        check_shape("locs", self.locs, "CSKD", C=chains, S=draws, K=components)
        check_shape("scales", self.scales, "CSKD", C=chains, S=draws, K=components, D=self.locs.shape[-1])
        if self.covariances is not None:
            sizes = dict(zip("CSKD", self.locs.shape))
            check_shape("covariances", self.covariances, "CSKDD", **sizes)
        if self.column_names is not None and len(self.column_names) != self.num_features:
            raise ValueError(
                f"`column_names` must be one per feature, {self.num_features}. Received: {self.column_names}. "
                "Pass as many, or None."
            )
        for name, values in self.sample_stats.items():
            check_shape(f"sample_stats[{name!r}]", values, "CS", C=chains, S=draws)

    @property
    def num_components(self) -> int:
        """K, the number of components."""
        return int(self.locs.shape[-2])

    @property
    def num_features(self) -> int:
        """D, the number of columns."""
        return int(self.locs.shape[-1])

    @property
    def num_chains(self) -> int:
        """C, the number of chains."""
        return int(self.locs.shape[0])

    @property
    def num_draws(self) -> int:
        """S, the number of draws of each chain."""
        return int(self.locs.shape[1])

    def permuted(self, permutations: np.ndarray) -> Draws:
        """Reorders the components of every draw.

        Args:
            permutations: Order of the components, (C, S, K) int; component k of a draw becomes what its component
                permutations[c, s, k] was.

        Returns:
            The draws in the new order.

        Raises:
            ValueError: If a draw's entries are not a permutation of 0 to K - 1.
        """
        check_shape("permutations", permutations, "CSK", **dict(zip("CSK", self.weights.shape)))
        if not (np.sort(permutations, axis=-1) == np.arange(self.num_components)).all():
            raise ValueError(
                f"`permutations` must hold each of 0 to {self.num_components - 1} once in every draw. Received: an "
                "array that does not. Pass what `tfgmm.align` found."
            )
        parameters = {name: getattr(self, name) for name in PARAMETERS if getattr(self, name) is not None}
        moved: dict[str, Any] = {name: _taken(values, permutations) for name, values in parameters.items()}
        return dataclasses.replace(self, **moved)

    def numbers(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Lists all numbers of the mixture that can vary, each by itself.

        These are the weights of more than one component, locations, scales, and covariances below the diagonal.
        Columns have their names, or their numbers if they have none.

        Returns:
            The P names, and the draws of these numbers, (C, S, P).

        Example:

        >>> draws = Draws(np.full((1, 4, 2), 0.5), np.zeros((1, 4, 2, 1)), np.ones((1, 4, 2, 1)))
        >>> draws.numbers()[0]
        ('weights[0]', 'weights[1]', 'locs[0, 0]', 'locs[1, 0]', 'scales[0, 0]', 'scales[1, 0]')
        """
        columns = self.column_names or tuple(map(str, range(self.num_features)))
        names, values = [], []
        for name in PARAMETERS:
            part = getattr(self, name)
            if part is None or (name == "weights" and self.num_components == 1):
                continue
            for component, *features in np.ndindex(part.shape[2:]):
                if len(features) == 2 and features[1] >= features[0]:
                    continue  # the square of a scale, or listed already
                names.append(f"{name}[{', '.join([str(component), *(columns[feature] for feature in features)])}]")
                values.append(part[(slice(None), slice(None), component, *features)])
        return tuple(names), np.stack(values, axis=-1)

    def to_arviz(self) -> Any:
        """Converts the draws to ArviZ, with named coordinates: chain, draw, component, feature.

        Features have the names of the columns, or numbers if they have none. `sample_stats` and `posterior` are kept,
        the latter as an attribute of the group "posterior".

        Returns:
            An `arviz.InferenceData`, whose `.to_netcdf(path)` saves the draws.

        Raises:
            ModuleNotFoundError: If ArviZ is not installed; the message names the extras that install it.

        Example:

        >>> draws = Draws(np.full((1, 4, 2), 0.5), np.zeros((1, 4, 2, 3)), np.ones((1, 4, 2, 3)))
        >>> dict(draws.to_arviz().posterior.sizes)
        {'chain': 1, 'draw': 4, 'component': 2, 'feature': 3}
        """
        values = {name: getattr(self, name) for name in PARAMETERS if getattr(self, name) is not None}
        return to_arviz(values, self.column_names, self.sample_stats, self.posterior)

    @staticmethod
    def from_arviz(data: Any) -> Draws:
        """Restores the draws that `to_arviz` converted, or reads any with the same names and dimensions.

        Args:
            data: An `arviz.InferenceData`, or the path of a NetCDF file of one.

        Returns:
            The `Draws`.

        Raises:
            ValueError: If there is no group "posterior", or it lacks weights, locs or scales.
        """
        return Draws(**from_arviz(data))


def _taken(values: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """Puts the components of (C, S, K, ...) in the order of permutations (C, S, K)."""
    index = permutations.reshape(*permutations.shape, *([1] * (values.ndim - 3)))
    return np.take_along_axis(values, index, axis=2)
