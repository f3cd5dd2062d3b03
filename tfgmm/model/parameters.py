"""The fitted numbers as the model shows them: parts of the posterior, in data units."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

Tensor = Any


class MixtureParameters:
    """The posterior of `GaussianMixtureModel` under the names of its parts.

    A subclass provides the attributes below.
    """

    covariance: str
    weight_prior: str
    components: Any
    mixture_weights: Any
    stored_centre: Any
    stored_num_data: Any
    stored_elbo: Any
    posteriors: Any  # () -> q of the weights, q of the components

    @property
    def locs(self) -> Tensor:
        """Means of q(mu), (K, D) float64, data units."""
        return self.components.posterior().locs + self.stored_centre

    @property
    def scales(self) -> Tensor:
        """Standard deviations of q(mu), (K, D) float64, data units. (Not those of the components.)"""
        return self._public("scales")

    @property
    def alpha(self) -> Tensor:
        """Shapes of q(tau), (K, D) float64; not of "full" and "tied"."""
        return self._public("alpha")

    @property
    def beta(self) -> Tensor:
        """Rates of q(tau), (K, D) float64, squared data units; not of "full" and "tied"."""
        return self._public("beta")

    @property
    def loc_covariances(self) -> Tensor:
        """Covariances of q(mu), (K, D, D) float64, squared data units; of "full" and "tied" only."""
        return self._public("loc_covariances")

    @property
    def degrees(self) -> Tensor:
        """Degrees of freedom of q(Lambda), (K,) float64; of "full" and "tied" only."""
        return self._public("degrees")

    @property
    def inverse_scales(self) -> Tensor:
        """Inverse scale matrices W^-1 of q(Lambda), (K, D, D) float64, squared data units; "full" and "tied" only."""
        return self._public("inverse_scales")

    @property
    def counts(self) -> Tensor:
        """Concentrations of q(theta), (K,) float64; of Dirichlet weights only."""
        return self._public("counts")

    @property
    def sticks(self) -> Tensor:
        """Shapes of the Betas of q(v), (K - 1, 2) float64; of stick-breaking weights only."""
        return self._public("sticks")

    def _public(self, name: str) -> Tensor:
        weights, components = self.posteriors()
        parts = self.components.public(components) | self.mixture_weights.public(weights)
        if name not in parts:
            raise AttributeError(
                f"`{name}` is no part of the posterior of {self.covariance!r} with {self.weight_prior!r} weights. "
                f"Its parts are: locs, {', '.join(parts)}."
            )
        return tf.convert_to_tensor(parts[name])

    @property
    def num_data(self) -> int:
        """N of training, 0 before; saved with the model."""
        return int(self.stored_num_data)

    @property
    def elbo(self) -> float | None:
        """The whole-data bound at the end of the last `fit`, nats; None before."""
        elbo = float(self.stored_elbo)
        return elbo if math.isfinite(elbo) else None
