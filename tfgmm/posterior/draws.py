"""Posterior draws of a mixture as plain arrays: what all engines return."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfgmm.common.checks import check_count
from tfgmm.common.shapes import check_shape
from tfgmm.posterior.arviz import PARAMETERS, from_arviz, to_arviz
from tfgmm.posterior.record import PosteriorRecord
from tfgmm.posterior.row_arrays import row_arrays

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

    def thinned(self, every: int) -> Draws:
        """Keeps every so many-th draw of each chain: where all draws would take too much memory or time.

        Args:
            every: 10 for a tenth of the draws.

        Returns:
            The draws that are kept, with all that is known of them; they are worth no more than their number.

        Raises:
            ValueError: If it is no whole number of at least 1.

        Example:

        >>> Draws(np.ones((2, 100, 1)), np.zeros((2, 100, 1, 1)), np.ones((2, 100, 1, 1))).thinned(10).num_draws
        10
        """
        step = check_count("every", every)
        kept: dict[str, Any] = {
            field.name: value[:, ::step]
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), np.ndarray)
        }
        kept["sample_stats"] = {name: np.asarray(values)[:, ::step] for name, values in self.sample_stats.items()}
        if self.posterior is not None and self.posterior.ess is not None:
            num_kept = float(kept["weights"].shape[0] * kept["weights"].shape[1])
            kept["posterior"] = dataclasses.replace(self.posterior, ess=min(self.posterior.ess, num_kept))
        return dataclasses.replace(self, **kept)

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

    def to_arviz(self, rows: Any = None, *, noise: Any = None, predictive: int | None = None, seed: int = 0) -> Any:
        """Converts the draws to ArviZ, with named coordinates: chain, draw, component, feature; with rows, row too.

        Features have the names of the columns, or numbers if they have none. `sample_stats` and `posterior` are kept,
        the latter as an attribute of the group "posterior".

        With the rows of the fit there are three groups more, each with one variable, "rows": "log_likelihood" for
        `arviz.loo`, `arviz.compare` and `arviz.waic`; "observed_data" and "posterior_predictive" for `arviz.plot_ppc`.
        A row with gaps counts with the density of the columns that it has, one with measurement noise with that of what
        was measured; simulated rows have the same gaps and noise. Rows without any value are left out: the coordinate
        "row" numbers those that are there. The order of the components does not matter.

        The log likelihoods take 8 bytes x draws x rows, and `arviz.loo` several times as much.

        Args:
            rows: N rows of D columns, of any kind that `fit_mixture` takes, or N numbers for one column, data units;
                NaN is a gap. Default: only the draws themselves.
            noise: Measurement noise of the rows, as in `fit_mixture`.
            predictive: Number of simulated data sets, each of N rows from one draw, spread evenly over all draws.
                Default 100, fewer if these are large; 0 for none.
            seed: Seed of the simulated rows.

        Returns:
            An `arviz.InferenceData`, whose `.to_netcdf(path)` saves the draws.

        Raises:
            ModuleNotFoundError: If ArviZ is not installed; the message names the extras that install it.
            ValueError: If the rows have other columns or infinite values, if they are none, or more than 2^27 over the
                number of draws (1 GiB); if draws are not finite; if there are options but no rows.
            TypeError: If the rows are not numbers, or have weights: these say nothing of what it is to leave a row out.

        Example:

        >>> draws = Draws(np.full((1, 4, 2), 0.5), np.zeros((1, 4, 2, 3)), np.ones((1, 4, 2, 3)))
        >>> dict(draws.to_arviz().posterior.sizes)
        {'chain': 1, 'draw': 4, 'component': 2, 'feature': 3}
        >>> dict(draws.to_arviz(np.zeros((5, 3))).log_likelihood.sizes)
        {'chain': 1, 'draw': 4, 'row': 5}
        """
        values = {name: getattr(self, name) for name in PARAMETERS if getattr(self, name) is not None}
        of_rows = None
        if rows is not None:
            check_finite(self)
            of_rows = row_arrays(self, rows, noise, predictive, seed)
        elif noise is not None or predictive is not None:
            name = "noise" if noise is not None else "predictive"
            raise ValueError(f"`{name}` must be left out without rows. Received: no rows. Pass rows, or leave it out.")
        return to_arviz(values, self.column_names, self.sample_stats, self.posterior, of_rows)

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


def check_finite(draws: Draws) -> None:
    """Checks draws: Raises ValueError unless there are some, and all are finite."""
    if draws.num_chains * draws.num_draws == 0:
        raise ValueError("`draws` must hold at least one draw. Received: none. Draw some.")
    parts = [draws.weights, draws.locs, draws.scales, *([] if draws.covariances is None else [draws.covariances])]
    if not (all(np.isfinite(part).all() for part in parts) and (draws.scales > 0).all()):
        raise ValueError(
            "`draws` must be finite, and their scales positive. Received: some that are not. Drop those draws, and "
            "look at what the sampler says of them."
        )


def _taken(values: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """Puts the components of (C, S, K, ...) in the order of permutations (C, S, K)."""
    index = permutations.reshape(*permutations.shape, *([1] * (values.ndim - 3)))
    return np.take_along_axis(values, index, axis=2)
