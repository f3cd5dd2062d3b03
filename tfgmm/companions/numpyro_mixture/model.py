"""The marginalised mixture in NumPyro: as a distribution, and as a model with a choice of priors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

try:
    import jax.numpy as jnp
    import numpyro
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"`tfgmm.companions.numpyro_mixture` needs NumPyro and JAX. Received: no module named {error.name!r}. "
        'Install them: pip install "tfgmm[numpyro]"'
    ) from error

from numpyro import distributions as dist
from numpyro.distributions import biject_to, constraints

from tfgmm.companions.numpyro_mixture.densities import (
    Array,
    ObservedRows,
    Parameters,
    log_normal,
    observed_log_likelihood,
    row_corrections,
    summed_out,
)

if TYPE_CHECKING:
    from tfgmm.companions.numpyro_mixture.joint_prior import JointPrior

Distribution = Any


class MarginalMixture(dist.MixtureSameFamily):
    """A mixture of normal distributions over rows of D numbers, with the assignments summed out.

    log p(x) = log sum_k weights_k Normal(x | component k). It is NumPyro's MixtureSameFamily, with the density of many
    rows laid out component by component: a gradient takes a third of the time. A component of weight 0 takes no part,
    not even in the gradients, so that these stay finite.

    Args:
        weights: Weights of the components, (K,); they sum to 1.
        locs: Means of the components, (K, D).
        scales: Standard deviations of the columns, (K, D).
        scale_tril: Lower Cholesky factors of the covariances, (K, D, D), for columns that depend on each other;
            `scales` is then ignored.
        row_variance: Variance that each row adds to what its component is seen to vary, (D, D), as in `tfgmm.Priors`:
            the log density under component k is -1/2 tr(Lambda_k row_variance) less. None: nothing.

    Example:

    >>> mixture = MarginalMixture(np.array([0.4, 0.6]), np.zeros((2, 1)), np.ones((2, 1)))
    >>> round(float(mixture.log_prob(np.array([0.0]))), 4)  # that of the standard normal distribution
    -0.9189
    """

    pytree_data_fields = ("row_variance",)

    def __init__(
        self,
        weights: Array,
        locs: Array,
        scales: Array,
        scale_tril: Array | None = None,
        row_variance: Array | None = None,
    ) -> None:
        self.row_variance = row_variance
        components = (
            dist.Normal(locs, scales).to_event(1)
            if scale_tril is None
            else dist.MultivariateNormal(locs, scale_tril=scale_tril)
        )
        super().__init__(dist.Categorical(probs=weights), components)

    def log_prob(self, value: Array, intermediates: Any = None) -> Array:
        """Computes the log density of rows, nats, (...) for rows (..., D)."""
        if jnp.ndim(value) == 1 and not self.batch_shape:
            return self.log_prob(value[None])[0]
        if self.batch_shape or jnp.ndim(value) != 2:
            return super().log_prob(value, intermediates)
        log_densities = log_normal(self._parameters(), value)
        if self.row_variance is not None:
            log_densities += row_corrections(self._parameters(), self.row_variance)[:, None]
        return summed_out(self.mixing_distribution.probs, log_densities)

    def _parameters(self) -> Parameters:
        components, weights = self.component_distribution, self.mixing_distribution.probs
        if isinstance(components, dist.MultivariateNormal):
            scales = jnp.diagonal(components.scale_tril, axis1=-2, axis2=-1)  # not looked at
            return Parameters(weights, components.loc, scales, components.scale_tril)
        return Parameters(weights, components.base_dist.loc, components.base_dist.scale)


@dataclasses.dataclass(frozen=True, eq=False)
class MarginalModel:
    """A NumPyro model of rows from a mixture of K normal distributions, the assignments summed out.

    weights ~ weight_prior; locs ~ loc_prior; scales ~ scale_prior; for covariance="full" the correlations within a
    component ~ LKJ; rows ~ MarginalMixture. `mixture_model` makes one, with defaults and checks. Call it with rows
    (N, D) under NumPyro's own inference, with `observed_rows(model, data, ...)` where rows have weights, gaps or
    noise, or with `num_data` for rows drawn from the prior. Nothing can be drawn from
    the prior where it is a factor beside flat sites: with `ordered`, and with a `joint_prior`.

    Args:
        num_components: Number of components, K.
        num_features: Number of columns, D.
        weight_prior: Distribution over the simplex, event shape (K,).
        loc_prior, scale_prior: Distributions over numbers and over positive numbers, data units.
        covariance: "diag" or "full".
        correlation_concentration: Concentration of the LKJ distribution.
        ordered: Whether the locations in the first column increase from component to component.
        joint_prior: `JointPrior` of what the other priors leave flat, and of the correlations; or None.
        row_variance: Variance that each row adds, (D, D), squared data units, as in `MarginalMixture`; or None.
    """

    num_components: int
    num_features: int
    weight_prior: Distribution
    loc_prior: Distribution
    scale_prior: Distribution
    covariance: str = "diag"
    correlation_concentration: float = 1.0
    ordered: bool = False
    joint_prior: JointPrior | None = None
    row_variance: np.ndarray | None = None

    def __call__(self, rows: Array | ObservedRows | None = None, num_data: float | None = None) -> Any:
        """States the model of rows, (N, D) or `ObservedRows`, to NumPyro, and returns the rows."""
        sites = {name: numpyro.sample(name, prior) for name, prior in self.sites().items()}
        parameters = self.parameters(sites)
        if self.ordered:
            prior = _for_each(self.loc_prior, self.num_components, self.num_features)
            numpyro.factor("loc_prior", prior.log_prob(parameters.locs.reshape(prior.shape())).sum())
        if self.joint_prior is not None:
            numpyro.factor("joint_prior", self.joint_prior.log_density(parameters))
        if isinstance(rows, ObservedRows):
            numpyro.factor("rows", observed_log_likelihood(parameters, rows, self.row_variance))
            return rows
        size = num_data if rows is None else len(rows)
        with numpyro.plate("data", 1 if size is None else size):
            return numpyro.sample("rows", MarginalMixture(*parameters, row_variance=self.row_variance), obs=rows)

    def sites(self) -> dict[str, Distribution]:
        """Lists the distributions of the model's sites, by name."""
        num_components, num_features = self.num_components, self.num_features
        sites = {"weights": self.weight_prior} if num_components > 1 else {}
        if self.ordered:  # the prior of the locations is added as a factor
            sites["first_locs"] = dist.ImproperUniform(constraints.ordered_vector, (), (num_components,))
            if num_features > 1:
                sites["other_locs"] = dist.ImproperUniform(constraints.real, (), (num_components, num_features - 1))
        else:
            sites["locs"] = _for_each(self.loc_prior, num_components, num_features)
        sites["scales"] = _for_each(self.scale_prior, num_components, num_features)
        if self.is_correlated:
            correlations = dist.LKJCholesky(num_features, self.correlation_concentration)
            if self.joint_prior is not None:
                correlations = dist.ImproperUniform(constraints.corr_cholesky, (), (num_features, num_features))
            sites["correlations"] = correlations.expand((num_components,))
        return sites

    @property
    def is_correlated(self) -> bool:
        """Whether columns depend on each other within a component."""
        return self.covariance == "full" and self.num_features > 1

    def parameters(self, sites: Mapping[str, Array]) -> Parameters:
        """Computes the parameters of the mixture from values of the sites."""
        shape = self.num_components, self.num_features
        if self.ordered:
            parts = [sites["first_locs"][:, None], *([sites["other_locs"]] if self.num_features > 1 else [])]
            locs = jnp.concatenate(parts, axis=1)
        else:
            locs = jnp.reshape(sites["locs"], shape)
        scales = jnp.reshape(sites["scales"], shape)
        scale_tril = scales[..., None] * sites["correlations"] if self.is_correlated else None
        weights = sites["weights"] if self.num_components > 1 else jnp.ones(1, locs.dtype)
        return Parameters(weights, locs, scales, scale_tril)

    def values(self, weights: Array, locs: Array, scales: Array, correlations: Array | None = None) -> dict[str, Array]:
        """Computes values of the sites from parameters; correlations as Cholesky factors (K, D, D), None for none."""
        identity = np.broadcast_to(np.eye(self.num_features), (self.num_components, *[self.num_features] * 2))
        values = {
            "weights": weights,
            "locs": locs,
            "first_locs": locs[:, 0],
            "other_locs": locs[:, 1:],
            "scales": scales,
            "correlations": identity if correlations is None else correlations,
        }
        return {name: values[name].reshape(prior.shape()) for name, prior in self.sites().items()}

    def constrained(self, coordinates: Mapping[str, Array]) -> dict[str, Array]:
        """Maps unconstrained coordinates to values of the sites, as NumPyro does."""
        return {name: biject_to(prior.support)(coordinates[name]) for name, prior in self.sites().items()}

    def unconstrained(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Maps values of the sites to their unconstrained coordinates; 0 where these are not finite."""
        return {name: jnp.where(jnp.isfinite(value), value, 0.0) for name, value in self.inverse(values).items()}

    def inverse(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Maps values of the sites to their unconstrained coordinates, finite or not."""
        return {name: biject_to(prior.support).inv(values[name]) for name, prior in self.sites().items()}

    def coordinate_shapes(self) -> dict[str, tuple[int, ...]]:
        """Lists the shapes of the sites' unconstrained coordinates, by name."""
        return {name: biject_to(prior.support).inverse_shape(prior.shape()) for name, prior in self.sites().items()}


def _for_each(prior: Distribution, num_components: int, num_features: int) -> Distribution:
    """Expands the prior to all components and columns: K times event shape (D,), K x D numbers, or K for D = 1."""
    is_one_column = num_features == 1 and len(prior.batch_shape) < 2
    if prior.event_shape or is_one_column:
        return prior.expand((num_components,))
    return prior.expand((num_components, num_features))
