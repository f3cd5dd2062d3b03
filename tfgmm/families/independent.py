"""Components whose columns are independent: spherical, diag, tied_spherical and tied_diag.

The four differ only in which precisions are shared: across components (tied), across columns (spherical); see
`tfgmm.mixture.registry`. A shared precision has one Gamma posterior of shape (1, 1), (K, 1) or (1, D) instead of
(K, D), to which the statistics of all that share it are added.

Rows, locations and prior means are measured from `centre`, near the mean of the training rows, so that float32 keeps
small differences at any offset. This is exact: shifting the rows and the prior mean together changes no density.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
from scipy.special import digamma, gammaln

from tfgmm.common.shapes import Tensor
from tfgmm.families import log_densities
from tfgmm.families.base import Family, once_per_posterior
from tfgmm.families.functions import NUMPY, SCALE_RANGE, SHAPE_RANGE, Functions
from tfgmm.families.learned_scales import ColumnScales, LearnedScale, LocationScales, location_scales
from tfgmm.mixture.partitions import Groups, pooled_over_groups
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.registry import COVARIANCES, FormName
from tfgmm.mixture.statistics import Statistics

# Standard deviations of the locations of a start, in widths of their groups
START_DOUBT = 0.1


class IndependentPosterior(NamedTuple):
    """q(mu_kd) = Normal(locs, scales) and q(tau) = Gamma(alpha, rate beta), float64, locs centred.

    locs and scales are (K, D); alpha and beta (K, D), or 1 long on the axes along which precisions are shared.
    """

    locs: Tensor
    scales: Tensor
    alpha: Tensor
    beta: Tensor


class IndependentDraws(NamedTuple):
    """Component parameters drawn from q, (S, K, D) float64, locs centred."""

    locs: np.ndarray
    log_precisions: np.ndarray


class IndependentComponents(Family):
    """Components with mu_kd ~ Normal(m0_d, s0_d) and precisions tau ~ Gamma(a0, rate b0).

    Args:
        num_components: Number of components, K.
        num_features: Number of columns, D.
        priors: Priors, one number or (D,) per value, data units; a precision that columns share takes one number, in
            the units that `column_scale` gives: tau_kd = tau_k / column_scale_d^2.

    Raises:
        ValueError: There is a number per column where the columns share one precision.
    """

    name: ClassVar[str]
    form: ClassVar[FormName] = "independent"
    variable_names = ("locs", "log_scales", "log_alpha", "log_beta")

    def __init__(self, num_components: int, num_features: int, priors: Priors) -> None:
        self.shape = (num_components, num_features)
        shape = COVARIANCES[self.name]
        self.is_tied, self.is_spherical = shape.is_tied, shape.is_spherical
        self.precision_axes = (1 if self.is_tied else num_components, 1 if self.is_spherical else num_features)
        self.loc_mean = _per_column(priors.loc_mean, num_features)
        self.loc_scale = _per_column(priors.loc_scale, num_features)
        # A precision per column has that column's units already
        self.units = _per_column(priors.column_scale if self.is_spherical else 1.0, num_features)
        self.learned = self._column_scales(priors) if priors.is_learned else None
        if priors.is_learned:  # where an untouched posterior begins, and nothing else
            self.precision_rate = self._precision_prior("expected_scale", priors)
            self.precision_shape = np.ones_like(self.precision_rate)
        else:
            self.precision_shape = self._precision_prior("precision_shape", priors)
            self.precision_rate = self._precision_prior("precision_rate", priors)
        if np.asarray(priors.row_variance).ndim == 2:
            raise ValueError(
                f"`priors.row_variance` must be one number, or one per column, for covariance={self.name!r}, whose "
                'columns are independent. Received: a matrix. Leave it to "full" and "tied".'
            )
        self.row_variance = None if priors.row_variance is None else _per_column(priors.row_variance, num_features)
        self._loc_precision = self.loc_scale**-2.0
        self._squared_units = np.square(self.units)
        log_determinant = 2.0 * float(np.log(self.loc_scale).sum())
        self.learned_locs = location_scales(priors, log_determinant, self.shape)

    def _column_scales(self, priors: Priors) -> ColumnScales:
        if priors.scale_structure == "matrix" or np.asarray(priors.expected_scale).ndim == 2:
            raise ValueError(
                f'`priors.scale_structure` must be "columns" or "both" for covariance={self.name!r}, whose columns are '
                f"independent, with a variance per column as expected_scale. Received: {priors.scale_structure!r}. "
                'Leave the matrix to "full" and "tied".'
            )
        expected = self._precision_prior("expected_scale", priors)
        least = self._precision_prior("least_scale", priors)
        of_grid = np.asarray(priors.degree_grid), priors.hyper_degrees, least
        return ColumnScales(expected, self.precision_axes[0], *of_grid)

    def _precision_prior(self, field: str, priors: Priors) -> np.ndarray:
        prior = np.asarray(getattr(priors, field), np.float64)
        if self.is_spherical and prior.ndim and len(set(prior.tolist())) > 1:
            raise ValueError(
                f"`priors.{field}` must be one number for covariance={self.name!r}: all columns share one precision. "
                f"Received: {prior.tolist()}. Give one number, and the units of the columns as column_scale."
            )
        return np.broadcast_to(prior.ravel()[:1] if self.is_spherical else prior, (self.precision_axes[1],))

    # --- The posterior and the numbers behind it -------------------------------------------------------------

    def values_of(self, posterior: IndependentPosterior) -> tuple[Tensor, ...]:
        """Computes locs and the logarithms of scales, alpha and beta."""
        locs, *positives = (np.asarray(value, np.float64) for value in posterior)
        return locs, *(np.log(value) for value in positives)

    def posterior_of(self, values: Sequence[Tensor], functions: Functions = NUMPY) -> IndependentPosterior:
        """Computes q from these numbers, locs measured from the centre."""
        locs, log_scales, log_alpha, log_beta = values
        positive = functions.positive
        return IndependentPosterior(
            locs,
            positive(log_scales, SCALE_RANGE),
            positive(log_alpha, SHAPE_RANGE),
            positive(log_beta, SCALE_RANGE),
        )

    def random_start(self, generator: np.random.Generator) -> IndependentPosterior:
        """Draws a start: scales and locations from the priors, alpha and beta near a0 and b0."""
        precisions = generator.gamma(self.precision_shape, size=self.precision_axes) / self.precision_rate
        # A vague prior draws zeros too, and a start must be finite
        precisions = np.maximum(precisions, 1e-12 * self.precision_shape / self.precision_rate)
        locs = self.loc_mean + self.loc_scale * generator.standard_normal(self.shape)
        near = generator.uniform(0.8, 1.2, (2, *self.precision_axes))
        scales = np.broadcast_to(precisions**-0.5, self.shape) * self.units
        return IndependentPosterior(locs, scales, self.precision_shape * near[0], self.precision_rate * near[1])

    def start_at(self, groups: Groups) -> IndependentPosterior:
        """Makes M starts where groups of rows are, as wide as they are: alpha is the prior's, beta gives the width."""
        squares = groups.variances / self._squared_units
        if self.is_tied:
            squares = pooled_over_groups(squares, groups.counts)
        if self.is_spherical:
            squares = squares.mean(axis=-1, keepdims=True)
        alpha = np.broadcast_to(self.precision_shape, squares.shape)
        scales = np.minimum(START_DOUBT * np.sqrt(groups.variances), self.loc_scale)
        return IndependentPosterior(groups.locs, scales, alpha, alpha * squares)

    def public(self, posterior: IndependentPosterior) -> dict[str, np.ndarray]:
        """Computes scales (K, D), alpha, and beta in squared data units, float64, as the model shows them."""
        beta = posterior.beta * self._squared_units if np.any(self.units != 1.0) else posterior.beta
        return {"scales": posterior.scales, "alpha": posterior.alpha, "beta": beta}

    # --- KL and update ---------------------------------------------------------------------------------------

    def kl(self, posterior: IndependentPosterior, centre: np.ndarray) -> np.ndarray:
        """Computes KL(q(mu) || prior) + KL(q(tau) || prior) in nats, (...) float64.

        Args:
            posterior: One q, locs measured from `centre`, or several, with leading axes (...).
            centre: (D,) float64, data units.
        """
        return self.kl_locs(posterior, centre) + self.kl_precisions(posterior)

    def kl_locs(self, posterior: IndependentPosterior, centre: np.ndarray) -> np.ndarray:
        """Computes the sum over K, D of KL(Normal(locs, scales) || Normal(m0 - centre, s0)), nats, float64.

        With learned locations, E_q[log q(mu) - log p(mu)] with lambda summed out.
        """
        if self.learned_locs is not None:
            log_density, _ = self._learned_locs_at(posterior, centre)
            entropies = 0.5 * (math.log(2.0 * math.pi) + 1.0) + np.log(posterior.scales)
            return -entropies.sum(axis=(-2, -1)) - log_density
        ratio = np.square(posterior.scales / self.loc_scale)
        distance = (posterior.locs - (self.loc_mean - centre)) / self.loc_scale
        return 0.5 * (ratio + np.square(distance) - 1.0 - np.log(ratio)).sum(axis=(-2, -1))

    def kl_precisions(self, posterior: IndependentPosterior) -> np.ndarray:
        """Computes the sum of KL(Gamma(alpha, beta) || Gamma(a0, b0)), nats, float64; a shared one counts once.

        With a learned scale, E_q[log q(tau) - log p(tau)] with e and sigma0 integrated out.
        """
        if self.learned is not None:
            return self._kl_learned(posterior, self.learned)
        alpha, beta, a0, b0 = posterior.alpha, posterior.beta, self.precision_shape, self.precision_rate
        shape_terms = (alpha - a0) * digamma(alpha) - gammaln(alpha) + gammaln(a0)
        rate_terms = a0 * (np.log(beta) - np.log(b0)) + alpha * (b0 - beta) / beta
        return (shape_terms + rate_terms).sum(axis=(-2, -1))

    def _kl_learned(self, posterior: IndependentPosterior, learned: ColumnScales) -> np.ndarray:
        alpha, beta = posterior.alpha, posterior.beta
        (total, _), found = self._learned_at(posterior)
        of_q = alpha * np.log(beta) - gammaln(alpha) + alpha * (digamma(alpha) - np.log(beta)) - alpha
        floor = 0.5 * (learned.floor * total).sum(axis=-1)
        return of_q.sum(axis=(-2, -1)) - found.log_density + floor

    @once_per_posterior
    def _learned_at(self, posterior: IndependentPosterior) -> tuple[tuple[np.ndarray, np.ndarray], LearnedScale]:
        """Computes the sums over the components and what the learned prior says of them."""
        sums = self._sums(posterior)
        return sums, cast("ColumnScales", self.learned).given(*sums)

    @once_per_posterior
    def _learned_locs_at(self, posterior: IndependentPosterior, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return cast("LocationScales", self.learned_locs).given(self._squares_of_locs(posterior, centre))

    def _sums(self, posterior: IndependentPosterior) -> tuple[np.ndarray, np.ndarray]:
        """Computes sum_k E[tau], (..., P), and the sum of all E[log tau], (...), in the units of the precisions."""
        logarithms = digamma(posterior.alpha) - np.log(posterior.beta)
        return (posterior.alpha / posterior.beta).sum(axis=-2), logarithms.sum(axis=(-2, -1))

    def _squares_of_locs(self, posterior: IndependentPosterior, centre: np.ndarray) -> np.ndarray:
        """Computes sum_k E[(mu_k - m0)' V^-1 (mu_k - m0)], (...)."""
        away = posterior.locs - (self.loc_mean - centre)
        return ((np.square(away) + np.square(posterior.scales)) * self._loc_precision).sum(axis=(-2, -1))

    def expected_priors(self, posterior: IndependentPosterior, centre: np.ndarray) -> tuple[Any, Any, Any]:
        """Computes E[lambda] / s0^2 (..., D), and shape and rate of the precisions (..., P), as q makes them."""
        loc_precision: Any = self._loc_precision
        if self.learned_locs is not None:
            expected = self._learned_locs_at(posterior, centre)[1]
            loc_precision = loc_precision * expected[..., None, None]
        if self.learned is None:
            return loc_precision, self.precision_shape, self.precision_rate
        found = self._learned_at(posterior)[1]
        return loc_precision, 0.5 * found.degrees[..., None, None], 0.5 * found.inverse_scale[..., None, :]

    def log_ratios(self, posterior: IndependentPosterior, draws: IndependentDraws, centre: np.ndarray) -> np.ndarray:
        """Computes log q - log prior of S draws of the parameters, (S,) float64, nats. Args: As `kl`, and the draws."""
        of_q = log_densities.of_normals(draws.locs, posterior.locs, posterior.scales)
        of_q += log_densities.of_gammas(self.own_log_precisions(draws), posterior.alpha, posterior.beta)
        return of_q - self.log_prior(draws, centre)

    def log_prior(self, draws: IndependentDraws, centre: np.ndarray) -> np.ndarray:
        """Computes the log prior density of S draws of locations and of precisions in their units, (S,) nats.

        Args:
            draws: S draws, locs measured from `centre`.
            centre: (D,) float64, data units.
        """
        away, own = draws.locs - (self.loc_mean - centre), self.own_log_precisions(draws)
        if self.learned_locs is not None:
            of_locs = self.learned_locs.log_density_of((np.square(away) * self._loc_precision).sum(axis=(-2, -1)))
        else:
            of_locs = log_densities.of_normals(away, np.zeros(1), self.loc_scale)
        if self.learned is not None:
            return of_locs + self.learned.log_density_of(np.exp(own), own)
        return of_locs + log_densities.of_gammas(own, self.precision_shape, self.precision_rate)

    def own_log_precisions(self, draws: IndependentDraws) -> np.ndarray:
        """Computes the logarithms of precisions in their units, (S, K or 1, D or 1): what is shared stands once."""
        log_precisions = draws.log_precisions + 2.0 * np.log(self.units)
        return log_precisions[..., : self.precision_axes[0], : self.precision_axes[1]]

    def expected_priors_at(self, draws: IndependentDraws, centre: np.ndarray) -> tuple[Any, Any, Any]:
        """Computes what `expected_priors` does, given the parameters themselves: each (S, ...), or of fixed priors."""
        loc_precision: Any = self._loc_precision
        shape, rate = self.precision_shape, self.precision_rate
        if self.learned_locs is not None:
            squares = np.square(draws.locs - (self.loc_mean - centre)) * loc_precision
            loc_precision = loc_precision * self.learned_locs.given(squares.sum(axis=(-2, -1)))[1][..., None, None]
        if self.learned is not None:
            own = self.own_log_precisions(draws)
            found = self.learned.given(np.exp(own).sum(axis=-2), own.sum(axis=(-2, -1)))
            shape, rate = 0.5 * found.degrees[..., None, None], 0.5 * found.inverse_scale[..., None, :]
        return loc_precision, shape, rate

    def update(
        self,
        posterior: IndependentPosterior,
        statistics: Statistics,
        centre: np.ndarray,
        gap_columns: Sequence[int] = (),
    ) -> IndependentPosterior:
        """Computes the q that maximises the augmented bound: locations with the old E[tau], then precisions.

            1 / scales^2 = 1 / s0^2 + E[tau] N_k         locs = scales^2 (m0 / s0^2 + E[tau] S1_k)
            alpha = a0 + N_k / 2                         beta = b0 + 1/2 (S2_k - 2 locs S1_k + N_k (locs^2 + scales^2))

        with the last line summed over all that share the precision. In a column with gaps, N_k counts the rows that
        have a value there.

        Args:
            posterior: The q that the statistics were taken with, or several, with leading axes.
            statistics: Statistics of the whole data, with the same leading axes.
            centre: (D,) float64, data units; what locs and rows are measured from.
            gap_columns: Columns with gaps, whose counts stand after the squares in `statistics.second`.

        Source: Coordinate ascent for independent Normal and Gamma priors; a natural-gradient step of length 1
        (Hoffman, Blei, Wang and Paisley 2013, section 2).
        """
        counts, first, second = self._by_column(statistics, gap_columns)
        mean_precisions = self._mean_precisions(posterior)
        loc_precision, shape, rate = self.expected_priors(posterior, centre)
        variances = 1.0 / (loc_precision + mean_precisions * counts)
        locs = variances * ((self.loc_mean - centre) * loc_precision + mean_precisions * first)
        squares = second - 2.0 * locs * first + counts * (np.square(locs) + variances)
        if self.row_variance is not None:
            squares += counts * self.row_variance
        alpha = shape + 0.5 * self.pooled(np.broadcast_to(counts, locs.shape))
        # Rounding alone could make a sum of squares negative
        beta = rate + 0.5 * self.pooled(np.maximum(squares, 0.0) / self._squared_units)
        return IndependentPosterior(locs, np.sqrt(variances), alpha, beta)

    @staticmethod
    def _by_column(statistics: Statistics, gap_columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Takes apart the statistics: counts (..., K, D), or (..., K, 1) where all columns have the same, and sums."""
        counts, first, second = statistics.counts[..., None], statistics.first, statistics.second
        if not gap_columns:
            return counts, first, second
        num_features = first.shape[-1]
        by_column = np.array(np.broadcast_to(counts, first.shape))
        by_column[..., list(gap_columns)] = second[..., num_features:]
        return by_column, first, second[..., :num_features]

    def pooled(self, values: np.ndarray) -> np.ndarray:
        """Sums (K, D) values over all that share a precision."""
        axes = tuple(axis for axis, shared in ((-2, self.is_tied), (-1, self.is_spherical)) if shared)
        return values.sum(axis=axes, keepdims=True) if axes else values

    def _mean_precisions(self, posterior: IndependentPosterior) -> Tensor:
        return posterior.alpha / posterior.beta / self._squared_units * np.ones(self.shape)

    # --- The density at known parameters, as a product ---------------------------------------------------------

    def means(self, posterior: IndependentPosterior, functions: Functions = NUMPY) -> dict[str, Tensor]:
        """Computes the posterior means by name, as exported: centred locs and E[tau], (K, D) float64, data units."""
        del functions  # operators suffice
        return {"locs": posterior.locs, "precisions": self._mean_precisions(posterior)}

    def corrections(self, posterior: IndependentPosterior, means: Mapping[str, np.ndarray]) -> np.ndarray:
        """Computes E_q[log Normal(row | k)] - log Normal(row | k) at the posterior means, (K,) float64, for any row.

        1/2 sum_d (E[log tau] - log E[tau] - E[tau] scales^2), after Bishop 2006, 10.64, for independent priors; and
        `row_corrections`.

        Args:
            posterior: q.
            means: The posterior means, as `means` gives them.
        """
        log_terms = digamma(posterior.alpha) - np.log(posterior.alpha)
        of_rows = self.row_corrections(means)
        return of_rows + 0.5 * (log_terms - means["precisions"] * np.square(posterior.scales)).sum(axis=-1)

    def row_corrections(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray | float:
        """Computes what `row_variance` takes from the log density of each row, -1/2 tr(Lambda_k R), (..., K) nats."""
        if self.row_variance is None:
            return 0.0
        return -0.5 * (parameters["precisions"] * self.row_variance).sum(axis=-1)

    def gap_constants(
        self,
        parameters: Mapping[str, np.ndarray],
        gap_columns: Sequence[int],
        posterior: IndependentPosterior | None = None,
    ) -> np.ndarray:
        """Computes what a value in each of these columns adds to the constant of the log density, (..., K, G) nats.

            1/2 (log tau - log 2 pi - tau (locs^2 + row_variance))        at parameters that are known, or with those of
            1/2 (E[log tau] - log 2 pi - E[tau] (locs^2 + scales^2 + row_variance))        q

        Args:
            parameters: Parameters by name; the posterior means of q.
            gap_columns: G columns.
            posterior: q; None where the parameters are known.
        """
        columns = list(gap_columns)
        precisions, squares = parameters["precisions"][..., columns], np.square(parameters["locs"][..., columns])
        if self.row_variance is not None:
            squares = squares + self.row_variance[columns]
        logarithms = np.log(precisions)
        if posterior is not None:
            squares = squares + np.square(posterior.scales[..., columns])
            gaps = np.broadcast_to(digamma(posterior.alpha) - np.log(posterior.alpha), posterior.locs.shape)
            logarithms = logarithms + gaps[..., columns]
        return 0.5 * (logarithms - math.log(2.0 * math.pi) - precisions * squares)

    @staticmethod
    def float32_error(parameters: Mapping[str, np.ndarray], largest: np.ndarray) -> np.ndarray:
        """Bounds the error of the product in float32, (K,) nats, for centred rows within +-largest (D,).

        2^-23 sum_d E[tau_d] (|x_d| + |locs_d|)^2: what terms that cancel may lose.
        """
        squares = np.square(largest + np.abs(parameters["locs"]))
        return 2.0**-23 * (parameters["precisions"] * squares).sum(axis=-1)

    # --- Draws of the parameters ------------------------------------------------------------------------------

    def gamma_shapes(self, posterior: IndependentPosterior) -> Tensor:
        """Hands on the shapes of the Gamma variables that `draws` needs, float64."""
        return posterior.alpha

    def draws(
        self, posterior: IndependentPosterior, log_gammas: np.ndarray, generator: np.random.Generator
    ) -> IndependentDraws:
        """Draws component parameters from q, (S, K, D) float64.

        Args:
            posterior: q.
            log_gammas: (S, ...) log Gamma draws with the shapes `gamma_shapes`.
            generator: Source of the locations.
        """
        noise = generator.standard_normal((*log_gammas.shape[:-2], *self.shape))
        log_precisions = log_gammas - np.log(posterior.beta) - 2.0 * np.log(self.units)
        return IndependentDraws(posterior.locs + posterior.scales * noise, np.broadcast_to(log_precisions, noise.shape))

    @staticmethod
    def parameters_of(draws: IndependentDraws) -> dict[str, np.ndarray]:
        """Turns draws into parameters by name, centred, (S, K, D) float64."""
        return {"locs": draws.locs, "precisions": np.exp(draws.log_precisions)}


class SphericalComponents(IndependentComponents):
    """One precision per component, shared by its columns."""

    name = "spherical"


class DiagComponents(IndependentComponents):
    """One precision per component and column."""

    name = "diag"


class TiedSphericalComponents(IndependentComponents):
    """One precision for all components and columns."""

    name = "tied_spherical"


class TiedDiagComponents(IndependentComponents):
    """One precision per column, shared by the components."""

    name = "tied_diag"


def _per_column(value: Any, num_features: int) -> np.ndarray:
    return np.broadcast_to(np.asarray(value, np.float64), (num_features,))
