"""Components whose columns are correlated: full (a precision matrix each) and tied (one for all).

A matrix is held as its Cholesky factor with the logarithm of the diagonal, so that it stays positive definite whatever
an optimizer does. Rows, locations and prior means are measured from `centre`, as in `independent`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np

from tfgmm.common.shapes import Tensor
from tfgmm.families import log_densities, triangular, wishart
from tfgmm.families.base import Family, once_per_posterior
from tfgmm.families.functions import NUMPY, SCALE_RANGE, SHAPE_RANGE, Functions
from tfgmm.families.independent import START_DOUBT
from tfgmm.families.learned_scales import LearnedScale, LocationScales, MatrixScales, location_scales
from tfgmm.mixture.features import matrices_of_products
from tfgmm.mixture.partitions import Groups, pooled_over_groups
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.registry import COVARIANCES, FormName
from tfgmm.mixture.statistics import Statistics

_ROUNDING = 2.0**-50  # of sums in float64, relative to their largest term


class CorrelatedPosterior(NamedTuple):
    """q(mu_k) = Normal(locs, L L') and q(Lambda_k) = Wishart(degrees, W) with W^-1 = C C', float64, locs centred.

    locs: (K, D). loc_cholesky: L, (K, D, D). degrees: (K,), 1 long for tied. scale_cholesky: C, (K or 1, D, D).
    """

    locs: Tensor
    loc_cholesky: Tensor
    degrees: Tensor
    scale_cholesky: Tensor


class CorrelatedDraws(NamedTuple):
    """Component parameters drawn from q: locs (S, K, D), centred, and whiteners U (S, K or 1, D, D), float64.

    The precision matrix is U' U; `log_determinants`, (S, K or 1), are those of U.
    """

    locs: np.ndarray
    whiteners: np.ndarray
    log_determinants: np.ndarray


class CorrelatedComponents(Family):
    """Components with mu_k ~ Normal(m0, Cov0) and precision matrices Lambda_k ~ Wishart(nu0, W0).

    Args:
        num_components: Number of components, K.
        num_features: Number of columns, D.
        priors: Priors with `loc_covariance` (Cov0), `degrees` (nu0) and `inverse_scale` (W0^-1); where these are None,
            diagonal matrices of loc_scale^2 and 2 precision_rate, and 2 precision_shape + D - 1 degrees: each
            column alone then has the Gamma prior that the other shapes have.
    """

    name: ClassVar[str]
    form: ClassVar[FormName] = "correlated"
    variable_names = ("locs", "loc_cholesky", "log_degrees", "scale_cholesky")

    def __init__(self, num_components: int, num_features: int, priors: Priors) -> None:
        self.shape = (num_components, num_features)
        shape = COVARIANCES[self.name]
        self.is_tied = shape.is_tied
        self.num_precisions = shape.num_precisions(num_components)
        self.loc_mean = np.broadcast_to(np.asarray(priors.loc_mean, np.float64), (num_features,))
        covariance, degrees, inverse_scale = priors.matrices(num_features)
        if priors.is_learned:  # where an untouched posterior begins, and nothing else
            degrees = num_features + 1.0
            inverse_scale = degrees * priors.expected_matrix(num_features)
        self.prior_loc_cholesky = np.linalg.cholesky(covariance)
        self.prior_loc_precision = np.linalg.inv(covariance)
        self.row_variance = _matrix_of(priors.row_variance, num_features)
        self._row_root = None if self.row_variance is None else np.linalg.cholesky(self.row_variance)
        self._prior_whitener = triangular.inverse(self.prior_loc_cholesky)
        self.learned = self._matrix_scales(priors) if priors.is_learned else None
        log_determinant = 2.0 * float(triangular.log_determinants(self.prior_loc_cholesky))
        self.learned_locs = location_scales(priors, log_determinant, self.shape)
        self.prior_degrees = degrees
        self.prior_inverse_scale = inverse_scale
        self.prior_scale_cholesky = np.linalg.cholesky(inverse_scale)

    def _matrix_scales(self, priors: Priors) -> MatrixScales:
        expected = priors.expected_matrix(self.shape[1])
        structures = ("matrix", "columns") if priors.scale_structure == "both" else (priors.scale_structure,)
        of_grid = np.asarray(priors.degree_grid), priors.hyper_degrees, np.asarray(priors.least_scale)
        return MatrixScales(expected, self.num_precisions, structures, *of_grid)

    # --- The posterior and the numbers behind it -------------------------------------------------------------

    def values_of(self, posterior: CorrelatedPosterior) -> tuple[Tensor, ...]:
        """Computes locs, log(nu - (D - 1)), and the Cholesky factors with the logarithm of their diagonals."""
        locs, loc_cholesky, degrees, scale_cholesky = (np.asarray(value, np.float64) for value in posterior)
        return (
            locs,
            triangular.with_log_diagonal(loc_cholesky),
            np.log(degrees - (self.shape[1] - 1.0)),
            triangular.with_log_diagonal(scale_cholesky),
        )

    def posterior_of(self, values: Sequence[Tensor], functions: Functions = NUMPY) -> CorrelatedPosterior:
        """Computes q from these numbers, locs measured from the centre."""
        locs, loc_values, log_excess, scale_values = values
        degrees = functions.positive(log_excess, SHAPE_RANGE) + (self.shape[1] - 1.0)
        loc_cholesky = triangular.from_values(loc_values, SCALE_RANGE, functions)
        return CorrelatedPosterior(
            locs, loc_cholesky, degrees, triangular.from_values(scale_values, SCALE_RANGE, functions)
        )

    def random_start(self, generator: np.random.Generator) -> CorrelatedPosterior:
        """Draws a start: locations from the prior, and everything else near the prior."""
        noise = generator.standard_normal(self.shape)
        locs = self.loc_mean + noise @ self.prior_loc_cholesky.T
        degrees = self.shape[1] - 1.0 + (self.prior_degrees - self.shape[1] + 1.0) * self._near(generator, ())
        scale_cholesky = self.prior_scale_cholesky * self._near(generator, (1, 1))
        loc_cholesky = np.broadcast_to(scale_cholesky / math.sqrt(self.prior_degrees), (*self.shape, self.shape[1]))
        return CorrelatedPosterior(locs, loc_cholesky, degrees, scale_cholesky)

    def _near(self, generator: np.random.Generator, axes: tuple[int, ...]) -> np.ndarray:
        return generator.uniform(0.8, 1.2, (self.num_precisions, *axes))

    def start_at(self, groups: Groups) -> CorrelatedPosterior:
        """Makes M starts where groups of rows are, as wide as they are, round in units of the spreads."""
        eye, variances = np.eye(self.shape[1]), groups.variances
        loc_cholesky = START_DOUBT * np.sqrt(variances)[..., None] * eye
        if self.is_tied:
            variances = pooled_over_groups(variances, groups.counts)
        degrees = np.full(variances.shape[:-1], self.prior_degrees)
        scale_cholesky = np.sqrt(self.prior_degrees * variances)[..., None] * eye
        return CorrelatedPosterior(groups.locs, loc_cholesky, degrees, scale_cholesky)

    def public(self, posterior: CorrelatedPosterior) -> dict[str, np.ndarray]:
        """Computes scales (K, D), loc_covariances (K, D, D), degrees and inverse_scales, float64, data units."""
        covariances = posterior.loc_cholesky @ triangular.transposed(posterior.loc_cholesky)
        return {
            "scales": np.sqrt(triangular.diagonal(covariances)),
            "loc_covariances": covariances,
            "degrees": posterior.degrees,
            "inverse_scales": posterior.scale_cholesky @ triangular.transposed(posterior.scale_cholesky),
        }

    # --- KL and update ---------------------------------------------------------------------------------------

    def kl(self, posterior: CorrelatedPosterior, centre: np.ndarray) -> np.ndarray:
        """Computes KL(q(mu) || prior) + KL(q(Lambda) || prior) in nats, (...) float64; see `IndependentComponents`."""
        return self.kl_locs(posterior, centre) + self.kl_precisions(posterior)

    def kl_locs(self, posterior: CorrelatedPosterior, centre: np.ndarray) -> np.ndarray:
        """Computes the sum over K of KL(Normal(locs, L L') || Normal(m0 - centre, Cov0)), nats, float64.

        With learned locations, E_q[log q(mu) - log p(mu)] with lambda summed out.
        """
        if self.learned_locs is not None:
            log_density, _ = self._learned_locs_at(posterior, centre)
            size = 0.5 * (math.log(2.0 * math.pi) + 1.0) * math.prod(self.shape)
            return -size - triangular.log_determinants(posterior.loc_cholesky).sum(axis=-1) - log_density
        ratio = self._prior_whitener @ posterior.loc_cholesky
        away = triangular.times(self._prior_whitener, posterior.locs - (self.loc_mean - centre))
        squares = np.square(ratio).sum(axis=(-3, -2, -1)) + np.square(away).sum(axis=(-2, -1))
        log_determinants = triangular.log_determinants(ratio).sum(axis=-1)
        return 0.5 * (squares - float(math.prod(self.shape))) - log_determinants

    def kl_precisions(self, posterior: CorrelatedPosterior) -> np.ndarray:
        """Computes the sum of KL(Wishart(nu, W) || Wishart(nu0, W0)), nats, float64; a tied one counts once.

        With a learned scale, E_q[log q(Lambda) - log p(Lambda)] with e and Sigma0 integrated out.
        """
        if self.learned is not None:
            (total, log_determinants), found = self._learned_at(posterior)
            floor = 0.5 * (self.learned.floor * total).sum(axis=(-2, -1))
            distributions = posterior.degrees, posterior.scale_cholesky
            of_q = wishart.negative_entropies(*distributions, NUMPY, self._log_determinants(posterior)).sum(axis=-1)
            shapes = 0.5 * (self.shape[1] + 1.0) * log_determinants
            return of_q - found.log_density + shapes + floor
        prior = self.prior_degrees, self.prior_scale_cholesky
        return wishart.kl_to_prior(posterior.degrees, posterior.scale_cholesky, *prior)

    def _sums(self, posterior: CorrelatedPosterior) -> tuple[np.ndarray, np.ndarray]:
        """Computes sum_k E[Lambda_k], (..., D, D), and sum_k E[log det Lambda_k], (...)."""
        whiteners = self._mean_whiteners(posterior, NUMPY)
        total = (triangular.transposed(whiteners) @ whiteners).sum(axis=-3)
        return total, self._log_determinants(posterior).sum(axis=-1)

    @once_per_posterior
    def _log_determinants(self, posterior: CorrelatedPosterior) -> np.ndarray:
        """Computes E[log det Lambda], (K or 1,)."""
        return wishart.expected_log_determinants(posterior.degrees, posterior.scale_cholesky)

    @once_per_posterior
    def _learned_at(self, posterior: CorrelatedPosterior) -> tuple[tuple[np.ndarray, np.ndarray], LearnedScale]:
        """Computes the sums over the components and what the learned prior says of them."""
        sums = self._sums(posterior)
        return sums, cast("MatrixScales", self.learned).given(*sums)

    @once_per_posterior
    def _learned_locs_at(self, posterior: CorrelatedPosterior, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return cast("LocationScales", self.learned_locs).given(self._squares_of_locs(posterior, centre))

    def _squares_of_locs(self, posterior: CorrelatedPosterior, centre: np.ndarray) -> np.ndarray:
        """Computes sum_k E[(mu_k - m0)' V^-1 (mu_k - m0)], (...)."""
        away = triangular.times(self._prior_whitener, posterior.locs - (self.loc_mean - centre))
        spread = self._prior_whitener @ posterior.loc_cholesky
        return np.square(away).sum(axis=(-2, -1)) + np.square(spread).sum(axis=(-3, -2, -1))

    def expected_priors(self, posterior: CorrelatedPosterior, centre: np.ndarray) -> tuple[Any, Any, Any]:
        """Computes E[lambda] V^-1 (..., 1, D, D), E[nu0] (..., 1) and E[Psi] (..., 1, D, D), as q makes them."""
        loc_precision: Any = self.prior_loc_precision
        if self.learned_locs is not None:
            expected = self._learned_locs_at(posterior, centre)[1]
            loc_precision = loc_precision * expected[..., None, None, None]
        if self.learned is None:
            return loc_precision, self.prior_degrees, self.prior_inverse_scale
        found = self._learned_at(posterior)[1]
        return loc_precision, found.degrees[..., None], found.inverse_scale[..., None, :, :]

    def log_ratios(self, posterior: CorrelatedPosterior, draws: CorrelatedDraws, centre: np.ndarray) -> np.ndarray:
        """Computes log q - log prior of S draws of the parameters, (S,) float64, nats. Args: As `kl`, and the draws."""
        of_q = log_densities.of_correlated_normals(draws.locs, posterior.locs, posterior.loc_cholesky)
        of_q += log_densities.of_wisharts(
            draws.whiteners, draws.log_determinants, posterior.degrees, posterior.scale_cholesky
        )
        return of_q - self.log_prior(draws, centre)

    def log_prior(self, draws: CorrelatedDraws, centre: np.ndarray) -> np.ndarray:
        """Computes the log prior density of S draws of locations and of precision matrices, (S,) nats.

        Args:
            draws: S draws, locs measured from `centre`.
            centre: (D,) float64, data units.
        """
        if self.learned_locs is not None:
            of_locs = self.learned_locs.log_density_of(self._squares_of_drawn(draws, centre))
        else:
            of_locs = log_densities.of_correlated_normals(draws.locs, self.loc_mean - centre, self.prior_loc_cholesky)
        precisions = draws.whiteners, draws.log_determinants
        if self.learned is not None:
            return of_locs + self.learned.log_density_of(*precisions)
        prior = np.array([self.prior_degrees]), self.prior_scale_cholesky[None]
        return of_locs + log_densities.of_wisharts(*precisions, *prior)

    def _squares_of_drawn(self, draws: CorrelatedDraws, centre: np.ndarray) -> np.ndarray:
        """Computes sum_k (mu_k - m0)' V^-1 (mu_k - m0), (S,)."""
        away = triangular.times(self._prior_whitener, draws.locs - (self.loc_mean - centre))
        return np.square(away).sum(axis=(-2, -1))

    def expected_priors_at(self, draws: CorrelatedDraws, centre: np.ndarray) -> tuple[Any, Any, Any]:
        """Computes what `expected_priors` does, given the parameters themselves: each (S, ...), or of fixed priors."""
        loc_precision: Any = self.prior_loc_precision
        degrees: Any = self.prior_degrees
        inverse_scale: Any = self.prior_inverse_scale
        if self.learned_locs is not None:
            expected = self.learned_locs.given(self._squares_of_drawn(draws, centre))[1]
            loc_precision = loc_precision * expected[..., None, None, None]
        if self.learned is not None:
            total = (triangular.transposed(draws.whiteners) @ draws.whiteners).sum(axis=-3)
            found = self.learned.given(total, 2.0 * draws.log_determinants.sum(axis=-1))
            degrees, inverse_scale = found.degrees[..., None], found.inverse_scale[..., None, :, :]
        return loc_precision, degrees, inverse_scale

    def update(
        self,
        posterior: CorrelatedPosterior,
        statistics: Statistics,
        centre: np.ndarray,
        gap_columns: Sequence[int] = (),
    ) -> CorrelatedPosterior:
        """Computes the q that maximises the augmented bound: locations with the old E[Lambda], then precisions.

            Cov_k^-1 = Cov0^-1 + N_k E[Lambda_k]       locs_k = Cov_k (Cov0^-1 m0 + E[Lambda_k] S1_k)
            W_k^-1 = W0^-1 + S2 - S1 locs' - locs S1' + N_k (locs locs' + Cov_k)       nu_k = nu0 + N_k

        with the last line summed over the components where they share one precision matrix.

        A value that is missing counts as one that nobody has seen, so which columns have gaps does not matter.

        Args: As `IndependentComponents.update`.

        Source: As there; Bishop 2006, 10.60 to 10.63, for independent priors.
        """
        del gap_columns
        counts, first = statistics.counts, statistics.first
        loc_precision, degrees, inverse_scale = self.expected_priors(posterior, centre)
        locs, covariances = self._updated_locs(posterior, counts, first, loc_precision, self.loc_mean - centre)
        second = matrices_of_products(statistics.second, self.shape[1])
        cross = first[..., :, None] * locs[..., None, :]
        spreads = second - cross - triangular.transposed(cross)
        spreads += counts[..., None, None] * (locs[..., :, None] * locs[..., None, :] + covariances)
        if self.row_variance is not None:
            spreads += counts[..., None, None] * self.row_variance
        # Cancellation may leave a matrix that is not positive definite, where a row is 1e8 times as far as others
        error = _ROUNDING * self.shape[1] * triangular.diagonal(second)
        spreads += error[..., None] * np.eye(self.shape[1])
        if self.is_tied:
            spreads, counts = spreads.sum(axis=-3, keepdims=True), counts.sum(axis=-1, keepdims=True)
        scale_cholesky = cholesky(inverse_scale + spreads)
        return CorrelatedPosterior(locs, cholesky(covariances), degrees + counts, scale_cholesky)

    def _updated_locs(
        self,
        posterior: CorrelatedPosterior,
        counts: np.ndarray,
        first: np.ndarray,
        loc_precision: np.ndarray,
        prior_mean: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Computes the means (..., K, D) and covariances (..., K, D, D) of the locations, with the old E[Lambda]."""
        whiteners = self._mean_whiteners(posterior, NUMPY)
        precisions = triangular.transposed(whiteners) @ whiteners
        root = triangular.inverse(cholesky(loc_precision + counts[..., None, None] * precisions))
        covariances = triangular.transposed(root) @ root
        pull = loc_precision @ prior_mean + triangular.times(precisions, first)
        return triangular.times(covariances, pull), covariances

    @once_per_posterior
    def _mean_whiteners(self, posterior: CorrelatedPosterior, functions: Functions) -> Tensor:
        """Computes the lower triangular U with E[Lambda] = nu W = U' U, (K or 1, D, D)."""
        return (posterior.degrees**0.5)[..., None, None] * functions.triangular_inverse(posterior.scale_cholesky)

    # --- The density at known parameters, as a product ---------------------------------------------------------

    def means(self, posterior: CorrelatedPosterior, functions: Functions = NUMPY) -> dict[str, Tensor]:
        """Computes centred locs (K, D) and the triangular factor U of E[Lambda] = U' U by name, float64, data units."""
        return {"locs": posterior.locs, "whiteners": self._mean_whiteners(posterior, functions)}

    def corrections(self, posterior: CorrelatedPosterior, means: Mapping[str, np.ndarray]) -> np.ndarray:
        """Computes E_q[log Normal(row | k)] - log Normal(row | k) at the posterior means, (K,) float64, for any row.

        1/2 (E[log det Lambda] - log det E[Lambda] - tr(E[Lambda] Cov_k)), Bishop 2006, 10.64 and 10.65; and
        `row_corrections`.

        Args:
            posterior: q.
            means: The posterior means, as `means` gives them.
        """
        spread = np.square(means["whiteners"] @ posterior.loc_cholesky).sum(axis=(-2, -1))
        of_rows = self.row_corrections(means)
        return of_rows + 0.5 * (wishart.log_determinant_gaps(posterior.degrees, self.shape[1]) - spread)

    def row_corrections(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray | float:
        """Computes what `row_variance` takes from the log density of each row, -1/2 tr(Lambda_k R), (..., K) nats."""
        if self._row_root is None:
            return 0.0
        return -0.5 * np.square(parameters["whiteners"] @ self._row_root).sum(axis=(-2, -1))

    @staticmethod
    def float32_error(parameters: Mapping[str, np.ndarray], largest: np.ndarray) -> np.ndarray:
        """Bounds the error of the product in float32, (K,) nats, for centred rows within +-largest (D,).

        2^-23 (|x| + |locs|)' |E[Lambda]| (|x| + |locs|): what terms that cancel may lose.
        """
        far, whiteners = largest + np.abs(parameters["locs"]), parameters["whiteners"]
        precisions = np.abs(triangular.transposed(whiteners) @ whiteners)
        return 2.0**-23 * (triangular.times(precisions, far) * far).sum(axis=-1)

    # --- Draws of the parameters ------------------------------------------------------------------------------

    def gamma_shapes(self, posterior: CorrelatedPosterior) -> Tensor:
        """Computes the shapes of the Gamma variables that `draws` needs, (nu + 1 - i) / 2, (K or 1, D) float64."""
        return wishart.bartlett_shapes(posterior.degrees, self.shape[1])

    def draws(
        self, posterior: CorrelatedPosterior, log_gammas: np.ndarray, generator: np.random.Generator
    ) -> CorrelatedDraws:
        """Draws component parameters from q, float64.

        Lambda = C^-T A A' C^-1 with A lower triangular, A_ii^2 / 2 ~ Gamma((nu + 1 - i) / 2), the others standard
        normal (Bartlett 1933).

        Args:
            posterior: q.
            log_gammas: (S, K or 1, D) log Gamma draws with the shapes `gamma_shapes`.
            generator: Source of the locations and of the off-diagonal of A.
        """
        num_features = self.shape[1]
        noise = generator.standard_normal((*log_gammas.shape[:-2], *self.shape))
        factors = np.tril(generator.standard_normal((*log_gammas.shape, num_features)), -1)
        log_diagonal = 0.5 * (math.log(2.0) + log_gammas)
        columns = np.arange(num_features)
        factors[..., columns, columns] = np.exp(log_diagonal)
        whiteners = triangular.transposed(factors) @ triangular.inverse(posterior.scale_cholesky)
        log_determinants = log_diagonal.sum(axis=-1) - triangular.log_determinants(posterior.scale_cholesky)
        locs = posterior.locs + triangular.times(posterior.loc_cholesky, noise)
        return CorrelatedDraws(locs, whiteners, log_determinants)

    @staticmethod
    def parameters_of(draws: CorrelatedDraws) -> dict[str, np.ndarray]:
        """Turns draws into parameters by name, centred, float64."""
        return {"locs": draws.locs, "whiteners": draws.whiteners}


class FullComponents(CorrelatedComponents):
    """One precision matrix per component."""

    name = "full"


class TiedComponents(CorrelatedComponents):
    """One precision matrix for all components."""

    name = "tied"


def _matrix_of(variance: Any, num_features: int) -> np.ndarray | None:
    """Makes a matrix of one variance, one per column, or a matrix; None of None."""
    if variance is None or np.ndim(variance) == 2:
        return None if variance is None else np.asarray(variance, np.float64)
    return np.diag(np.broadcast_to(np.asarray(variance, np.float64), (num_features,)))


def cholesky(matrices: np.ndarray) -> np.ndarray:
    """Computes Cholesky factors, NaN where a matrix is not positive definite: only that start of several is lost."""
    try:
        return np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        factors = np.full(matrices.shape, np.nan)
        for place in np.ndindex(matrices.shape[:-2]):
            with contextlib.suppress(np.linalg.LinAlgError):
                factors[place] = np.linalg.cholesky(matrices[place])
        return factors
