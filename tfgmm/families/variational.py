"""The variational posterior q of a whole mixture: of its weights and of its components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfgmm.families.correlated import CorrelatedComponents, FullComponents, TiedComponents
from tfgmm.families.drawing import generator_of, log_gamma_draws
from tfgmm.families.functions import NUMPY, Functions
from tfgmm.families.independent import (
    DiagComponents,
    IndependentComponents,
    SphericalComponents,
    TiedDiagComponents,
    TiedSphericalComponents,
)
from tfgmm.families.learned_scales import fixed_priors
from tfgmm.families.records import Drawn as Drawn
from tfgmm.families.records import Factors as Factors
from tfgmm.families.records import Values as Values
from tfgmm.families.records import stacked as stacked
from tfgmm.families.weights import WEIGHTS, Weights
from tfgmm.mixture import stored_draws
from tfgmm.mixture.integrands import with_masks
from tfgmm.mixture.parameters import MixtureDensity, coefficients_from
from tfgmm.mixture.partitions import far_groups_widened, start_groups
from tfgmm.mixture.priors import Priors

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


class VariationalPosterior:
    """q of a whole mixture, q(theta) q(mu) q(precisions), and the centre that rows and locations are measured from.

    It is a family, which knows the priors, and where q stands in it.

    Args:
        weights: Prior of the weights, and what their posterior can do.
        components: Priors of the components, and what their posteriors can do.
        values: Numbers behind q.
        centre: (D,) float64, data units; default 0.
    """

    def __init__(
        self, weights: Weights, components: Components, values: Values | None = None, centre: np.ndarray | None = None
    ) -> None:
        self.weights = weights
        self.components = components
        self.covariance = components.name
        self.form = components.form
        self.num_components, self.num_features = components.shape
        self._values = values
        self._centre = np.zeros(self.num_features) if centre is None else centre
        self.gap_columns: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, covariance: str, weight_prior: str, num_components: int, num_features: int, priors: Priors
    ) -> VariationalPosterior:
        """Makes the posterior of K components in D columns from the names of their shape and of the weights' prior."""
        components = COMPONENTS[covariance](num_components, num_features, priors)
        return cls(WEIGHTS[weight_prior](num_components, priors), components)

    # --- Where q stands ------------------------------------------------------------------------------------------

    @property
    def centre(self) -> np.ndarray:
        """(D,) float64, data units: what rows and locations are measured from."""
        return self._centre

    def values(self) -> Values:
        """Reads the numbers behind q.

        Raises:
            RuntimeError: They were never set.
        """
        if self._values is None:
            raise RuntimeError("the posterior has no values yet: `assign` sets them")
        return self._values

    def assign(self, values: Values) -> None:
        """Sets the numbers behind q."""
        self._values = values

    def assign_centre(self, centre: np.ndarray) -> None:
        """Sets the centre, (D,) data units; the numbers behind q stay as they are."""
        self._centre = np.array(centre, np.float64)

    def at(self, values: Values, centre: np.ndarray | None = None) -> VariationalPosterior:
        """Makes the same posterior with other numbers behind it, in plain arrays that nothing else moves."""
        centre = self.centre if centre is None else centre
        posterior = VariationalPosterior(self.weights, self.components, values, np.array(centre, np.float64))
        posterior.gap_columns = self.gap_columns
        return posterior

    def observe_gaps(self, columns: Sequence[int]) -> None:
        """Takes in which columns have gaps: components of independent columns count only rows with a value there.

        It changes what sweeps compute, and q not at all. For correlated columns it changes nothing.
        """
        self.gap_columns = tuple(columns) if self.form == "independent" else ()

    def move_centre(self, centre: Sequence[float]) -> None:
        """Sets the centre, (D,) data units; the locations stay where they are in data units."""
        values, before, after = self.values(), self.centre, np.asarray(centre, np.float64)
        locs = values.components[0] + before - after
        self.assign_centre(after)
        self.assign(values._replace(components=(locs, *values.components[1:])))

    def factors(self) -> Factors:
        """Computes q as it stands."""
        return self.factors_of(self.values())

    def values_of(self, factors: Factors) -> Values:
        """Computes the numbers behind the factors; leading axes stay."""
        return Values(self.components.values_of(factors.components), self.weights.values_of(factors.weights))

    def factors_of(self, values: Values, functions: Functions = NUMPY) -> Factors:
        """Computes the factors that `values` stand for; leading axes stay.

        Args:
            values: Numbers behind q.
            functions: Functions of the library that the numbers belong to.
        """
        return Factors(
            self.weights.posterior_of(values.weights, functions),
            self.components.posterior_of(values.components, functions),
        )

    # --- Starts --------------------------------------------------------------------------------------------------

    def random_start(self, seed: int) -> Factors:
        """Draws the start of an untouched model: locations from the prior, all else near the prior."""
        generator = np.random.default_rng(seed)
        components = self.components.random_start(generator)
        return Factors(self.weights.random_start(generator), components)

    def start_values(self, rows: np.ndarray, spread: np.ndarray, start: Any, seeds: Sequence[int]) -> list[Values]:
        """Finds the numbers behind one start per seed, among some rows; the weights stay as they are.

        Args:
            rows: (n, D) float64, measured from the centre.
            spread: (D,) standard deviations of the data.
            start: As in `partitions.start_groups`.
            seeds: Seeds of the choices.
        """
        family: Any = self.components  # one family, and q in it
        groups = start_groups(start, rows, self.num_components, self.centre, spread, seeds)
        if isinstance(start, str):
            groups = far_groups_widened(groups, spread)
        values, weights = family.values_of(family.start_at(groups)), self.values().weights
        return [Values(tuple(value[number] for value in values), weights) for number in range(len(seeds))]

    # --- The bound -----------------------------------------------------------------------------------------------

    def kl(self, factors: Factors | None = None, centre: np.ndarray | None = None) -> np.ndarray:
        """Computes KL(q || prior) over weights, locations and precisions, nats, (...) float64.

        Args:
            factors: q, with leading axes (...); by default q as it stands.
            centre: (D,) float64, data units, what its locations are measured from; by default its own.
        """
        factors = factors or self.factors()
        centre = self.centre if centre is None else centre
        return self.weights.kl(factors.weights) + self.components.kl(factors.components, centre)

    def expected_coefficients(self, factors: Factors) -> tuple[np.ndarray, np.ndarray]:
        """Computes (..., D + P, K) and (..., K) float64 such that rho = features @ the first + the second, nats.

        rho_ik = E[log theta_k] + E[log Normal(row_i | component k)] (Bishop 2006, 10.46). For each of the G columns
        with gaps, one row of coefficients more, (..., D + P + G, K): what a value there adds to the constant.
        """
        of_weights, of_components = factors
        components: Any = self.components  # one family, and q in it
        means = components.means(of_components)
        log_weights = self.weights.expected_log(of_weights) + components.corrections(of_components, means)
        coefficients = coefficients_from(self.form, log_weights, means)
        if not self.gap_columns:
            return coefficients
        return with_masks(coefficients, components.gap_constants(means, self.gap_columns, of_components))

    # --- Draws ---------------------------------------------------------------------------------------------------

    def learned_priors(self, priors: Priors) -> Priors:
        """Computes the fixed priors that stand in for those that learn: with them q is where sweeps end too.

        Args:
            priors: The priors that q was fitted with; fixed ones are handed back.
        """
        loc_precision, shape, scale = self.components.expected_priors(self.factors().components, self.centre)
        return fixed_priors(priors, self.form, loc_precision, shape, scale)

    def draw(self, num_draws: int, seed: int | None, factors: Factors | None = None) -> Drawn:
        """Draws S sets of weights and component parameters from q, float64; a pure function of the seed.

        Args:
            num_draws: S.
            seed: Seed of the draws; None for other draws every time.
            factors: q; by default q as it stands.
        """
        of_weights, of_components = factors or self.factors()
        generator = generator_of(seed)
        for_weights, for_components = (
            log_gamma_draws(shapes, [num_draws], generator)
            for shapes in (self.weights.gamma_shapes(of_weights), self.components.gamma_shapes(of_components))
        )
        log_weights = self.weights.log_draws(for_weights)
        return Drawn(log_weights, self.components.draws(of_components, for_components, generator))

    def log_ratios(self, drawn: Drawn, factors: Factors | None = None) -> np.ndarray:
        """Computes log q - log prior of S draws, (S,) float64, nats.

        Args:
            drawn: Draws with the leading axis S.
            factors: The q that they are from; by default q as it stands.
        """
        of_weights, of_components = factors or self.factors()
        ratios = self.weights.log_ratios(of_weights, drawn.log_weights)
        return ratios + self.components.log_ratios(of_components, drawn.components, self.centre)

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

    def _mixture(self, log_weights: np.ndarray, components: dict[str, np.ndarray]) -> MixtureDensity:
        return MixtureDensity(self.covariance, self.centre, log_weights, components)

    def stored(self, mixture: MixtureDensity, drawn: Drawn) -> dict[str, np.ndarray]:
        """Writes draws down as an export stores them; see `stored_draws.stored`.

        Args:
            mixture: The mixture at the posterior means.
            drawn: S draws.
        """
        mixtures = self.mixtures_of(drawn)
        return stored_draws.stored(mixture, mixtures.log_weights, mixtures.components)

    def predictive(self, num_draws: int = stored_draws.NUM_DRAWS, seed: int = stored_draws.SEED) -> MixtureDensity:
        """Draws S mixtures from q, the same for the same seed; their average density is the predictive."""
        mixture = self.plug_in()
        return stored_draws.mixtures(mixture, self.stored(mixture, self.draw(num_draws, seed)))

    # --- What is shown ----------------------------------------------------------------------------------------------

    def expected_counts(self) -> np.ndarray:
        """Computes the rows expected in each component, (K,) float64."""
        of_weights: Any = self.weights.posterior_of(self.values().weights)
        return self.weights.expected_counts(of_weights)

    def public(self) -> dict[str, np.ndarray]:
        """Computes the parts of q by name, float64, data units: locs, then what the two families have."""
        of_weights, of_components = self.factors()
        parts = self.components.public(of_components) | self.weights.public(of_weights)
        return {"locs": of_components.locs + self.centre, **parts}
