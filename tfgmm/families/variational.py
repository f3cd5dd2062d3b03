"""The variational posterior q of a whole mixture: of its weights and of its components."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common.checks import check_seed
from tfgmm.common.shapes import Tensor
from tfgmm.families.base import AddWeight
from tfgmm.families.correlated import CorrelatedComponents, FullComponents, TiedComponents
from tfgmm.families.independent import (
    DiagComponents,
    IndependentComponents,
    SphericalComponents,
    TiedDiagComponents,
    TiedSphericalComponents,
)
from tfgmm.families.log_gamma import log_gamma_draws
from tfgmm.families.weights import WEIGHTS, Weights
from tfgmm.mixture import stored_draws
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.starts import distinct_rows, start_locs
from tfgmm.scoring.graph.densities import GRAPH_FORMS

Components = IndependentComponents | CorrelatedComponents

# Families of components by the name of their covariance shape
COMPONENTS: dict[str, type[Components]] = {
    kind.name: kind
    for kind in (
        SphericalComponents,
        DiagComponents,
        TiedSphericalComponents,
        TiedDiagComponents,
        TiedComponents,
        FullComponents,
    )
}


class Factors(NamedTuple):
    """The factors of q, float64; with leading axes, several q.

    weights: q of the weights, as their family has it, e.g. a `DirichletPosterior`.
    components: q of the components, as their family has it, e.g. an `IndependentPosterior`, locations measured from
        the centre.
    """

    weights: Any
    components: Any


class Values(NamedTuple):
    """The unbounded numbers behind q, float64; with leading axes, several q. See `TrainedPosterior`.

    components: Numbers of the components, in the order of their `variable_names`.
    weights: Numbers of the weights.
    """

    components: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]

    def map(self, function: Callable[..., Tensor], *others: Values) -> Values:
        """Applies a function to each of the numbers, together with those of `others` in the same place."""
        return Values(*(tuple(map(function, *parts)) for parts in zip(self, *others)))

    @property
    def flat(self) -> tuple[Tensor, ...]:
        """All numbers in one tuple, those of the components first: the order of the model's variables."""
        return (*self.components, *self.weights)


def stacked(several: Sequence[Values]) -> Values:
    """Stacks the numbers behind several q into NumPy arrays with a leading axis."""
    return several[0].map(lambda *values: np.stack(values), *several[1:])


class Drawn(NamedTuple):
    """Parameters drawn from q.

    log_weights: Logarithms of the weights, sample_shape + (K,).
    components: Parameters of the components, as their family draws them, e.g. `IndependentDraws`.
    """

    log_weights: Tensor
    components: Any


class VariationalPosterior:
    """q of a whole mixture, q(theta) q(mu) q(precisions), and the centre that rows and locations are measured from.

    Args:
        weights: Prior of the weights, and what their posterior can do.
        components: Priors of the components, and what their posteriors can do.

    Attributes:
        centre: Variable (D,) float64, data units, which `create_variables` adds.
    """

    centre: Any

    def __init__(self, weights: Weights, components: Components) -> None:
        self.weights = weights
        self.components = components
        self.covariance = components.name
        self.form = components.form
        self.num_components, self.num_features = components.shape

    @classmethod
    def of(
        cls, covariance: str, weight_prior: str, num_components: int, num_features: int, priors: Priors
    ) -> VariationalPosterior:
        """Makes the posterior of K components in D columns from the names of their shape and of the weights' prior."""
        components = COMPONENTS[covariance](num_components, num_features, priors)
        return cls(WEIGHTS[weight_prior](num_components, priors), components)

    # --- Variables ---------------------------------------------------------------------------------------------

    def create_variables(self, add_trained: AddWeight, add_stored: AddWeight, start: Factors) -> None:
        """Adds the variables: those of the components, those of the weights, then the centre.

        Args:
            add_trained: (name, start) -> a trained variable.
            add_stored: (name, shape, dtype) -> a variable that is not trained, 0.
            start: Where q begins.
        """
        self.components.create_variables(add_trained, start.components)
        self.weights.create_variables(add_trained, start.weights)
        self.centre = add_stored("centre", (self.num_features,), "float64")

    def values(self) -> Values:
        """Reads the numbers behind q as the variables have them."""
        return Values(self.components.values(), self.weights.values())

    def assign(self, values: Values) -> None:
        """Sets the variables to the numbers `values`."""
        self.components.assign_values(values.components)
        self.weights.assign_values(values.weights)

    def factors(self) -> Factors:
        """Computes q as it stands; differentiable in the variables."""
        return self.factors_of(self.values())

    def values_of(self, factors: Factors) -> Values:
        """Computes the numbers behind the factors; leading axes stay."""
        return Values(self.components.values_of(factors.components), self.weights.values_of(factors.weights))

    def factors_of(self, values: Values) -> Factors:
        """Computes the factors that `values` stand for; differentiable, leading axes stay."""
        return Factors(self.weights.posterior_of(values.weights), self.components.posterior_of(values.components))

    def move_centre(self, centre: Sequence[float]) -> None:
        """Sets the centre, (D,) data units; the locations stay where they are in data units."""
        locs = self.components.posterior().locs + self.centre
        self.centre.assign(centre)
        self.components.variables[0].assign(locs - self.centre)

    # --- Starts --------------------------------------------------------------------------------------------------

    def random_start(self, seed: int) -> Factors:
        """Draws the start of an untouched model: locations from the prior, all else near the prior."""
        generator = np.random.default_rng(seed)
        components = self.components.random_start(generator)
        return Factors(self.weights.random_start(generator), components)

    def start_values(self, sample: np.ndarray, spread: np.ndarray, start: Any, seeds: Sequence[int]) -> list[Values]:
        """Finds the numbers behind one start per seed, among the rows of a sample; the weights stay as they are.

        Args:
            sample: (n, D) rows, data units.
            spread: (D,) standard deviations of the data.
            start: "k-means++", "random" (rows), or locations (K, D), data units.
            seeds: Seeds of the choices.
        """
        centre = self.centre.numpy()
        distinct = distinct_rows(sample - centre)
        find = functools.partial(
            start_locs, start, distinct, self.num_components, centre, spread=spread, is_distinct=True
        )
        starts = [self.components.start_at(find(seed), spread) for seed in seeds]
        weights = self.weights.posterior()
        return [self.values_of(Factors(weights, components)) for components in starts]

    # --- The bound -----------------------------------------------------------------------------------------------

    def kl(self, factors: Factors | None = None, centre: Tensor | None = None) -> Tensor:
        """Computes KL(q || prior) over weights, locations and precisions, nats, (...) float64.

        Args:
            factors: q, with leading axes (...); by default q as it stands.
            centre: (D,) float64, data units, what its locations are measured from; by default the variable.
        """
        factors = factors or self.factors()
        centre = tf.convert_to_tensor(self.centre if centre is None else centre)
        return self.weights.kl(factors.weights) + self.components.kl(factors.components, centre)

    def expected_coefficients(self, factors: Factors) -> tuple[Tensor, Tensor]:
        """Computes (..., D + P, K) and (..., K) float64 such that rho = features @ the first + the second, nats.

        rho_ik = E[log theta_k] + E[log Normal(row_i | component k)] (Bishop 2006, 10.46).
        """
        of_weights, of_components = factors
        coefficients, constants = GRAPH_FORMS[self.form].coefficients(self.components.means(of_components))
        corrections = self.components.corrections(of_components)
        return coefficients, constants + corrections + self.weights.expected_log(of_weights)

    def mean_coefficients(self, factors: Factors) -> tuple[Tensor, Tensor]:
        """Computes the coefficients of log joints at the posterior means of weights, locations and precisions."""
        coefficients, constants = GRAPH_FORMS[self.form].coefficients(self.components.means(factors.components))
        return coefficients, constants + self.weights.log_mean(factors.weights)

    # --- Draws ---------------------------------------------------------------------------------------------------

    def draw(self, sample_shape: Tensor, seed: Tensor, dtype: tf.DType, factors: Factors | None = None) -> Drawn:
        """Draws weights and component parameters from q, with axes sample_shape in front; differentiable in q.

        Args:
            sample_shape: Leading axes of the draws.
            seed: (2,) int, seed of the draws.
            dtype: Float type of the draws.
            factors: q; by default q as it stands.
        """
        factors = factors or self.factors()
        shapes = [self.weights.gamma_shapes(factors.weights), self.components.gamma_shapes(factors.components)]
        for_weights, for_components = log_gamma_draws(shapes, sample_shape, seed, dtype)
        log_weights = self.weights.log_draws(for_weights)
        return Drawn(log_weights, self.components.draws(factors.components, for_components, seed))

    def log_ratios(self, drawn: Drawn, factors: Factors | None = None) -> Tensor:
        """Computes log q - log prior of S draws, (S,) float64, nats.

        Args:
            drawn: Draws with the leading axis S.
            factors: The q that they are from; by default q as it stands.
        """
        of_weights, of_components = factors or self.factors()
        ratios = self.weights.log_ratios(of_weights, drawn.log_weights)
        return ratios + self.components.log_ratios(of_components, drawn.components, tf.convert_to_tensor(self.centre))

    # --- Mixtures with known parameters --------------------------------------------------------------------------

    def plug_in(self, factors: Factors | None = None) -> MixtureDensity:
        """Computes the mixture at the posterior means of weights, locations and precisions.

        Args:
            factors: q; by default q as it stands.
        """
        of_weights, of_components = factors or self.factors()
        return self._mixture(self.weights.log_mean(of_weights), self.components.means(of_components))

    def mixtures_of(self, drawn: Drawn) -> MixtureDensity:
        """Turns S draws into S mixtures."""
        return self._mixture(drawn.log_weights, self.components.parameters_of(drawn.components))

    def _mixture(self, log_weights: Tensor, components: dict[str, Tensor]) -> MixtureDensity:
        parameters = {name: value.numpy() for name, value in components.items()}
        return MixtureDensity(self.covariance, self.centre.numpy(), log_weights.numpy(), parameters)

    def draws_to_store(
        self, mixture: MixtureDensity, num_draws: int = stored_draws.NUM_DRAWS, seed: int = stored_draws.SEED
    ) -> dict[str, np.ndarray]:
        """Draws from q and writes the draws down as an export stores them; see `stored_draws.stored`.

        Args:
            mixture: The mixture at the posterior means.
            num_draws: Number of draws, S.
            seed: Seed of the draws.
        """
        drawn = self.mixtures_of(self.draw([num_draws], seed_pair(seed), tf.float64))
        return stored_draws.stored(mixture, drawn.log_weights, drawn.components)

    def predictive(self, num_draws: int = stored_draws.NUM_DRAWS, seed: int = stored_draws.SEED) -> MixtureDensity:
        """Draws S mixtures from q, the same for the same seed; their average density is the predictive."""
        mixture = self.plug_in()
        return stored_draws.mixtures(mixture, self.draws_to_store(mixture, num_draws, seed))

    # --- What is shown ----------------------------------------------------------------------------------------------

    def expected_counts(self) -> np.ndarray:
        """Computes the rows expected in each component, (K,) float64."""
        return self.weights.expected_counts(self.weights.posterior())

    def public(self) -> dict[str, Tensor]:
        """Computes the parts of q by name, float64, data units: locs, then what the two families have."""
        of_weights, of_components = self.factors()
        parts = self.components.public(of_components) | self.weights.public(of_weights)
        return {"locs": of_components.locs + self.centre, **parts}


def seed_pair(seed: int | None) -> Tensor:
    """Makes the seed of a set of draws, (2,) int64, from a number; without one, a new random seed."""
    return tf.constant([random.randrange(2**31) if seed is None else check_seed(seed), 0], tf.int64)
