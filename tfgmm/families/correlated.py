"""Components whose columns are correlated: full (a precision matrix each) and tied (one for all).

A matrix is held as its Cholesky factor with the logarithm of the diagonal, so that it stays positive definite whatever
an optimizer does. Rows, locations and prior means are measured from `centre`, as in `independent`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.families import log_ratios, wishart
from tfgmm.families.base import TrainedPosterior
from tfgmm.families.independent import START_WIDTH, high_and_low
from tfgmm.families.log_gamma import BARTLETT, NORMAL, stream
from tfgmm.families.positive import SHAPE_RANGE, positive
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.registry import COVARIANCES, FormName
from tfgmm.mixture.statistics import Statistics
from tfgmm.scoring.graph import triangular
from tfgmm.scoring.graph.products import matrices_of_products

_FARTHEST = 1e17  # see independent.py
_ROUNDING = 2.0**-50  # of sums in float64, relative to their largest term
# Entries of C^-1 beyond this are set to it, so that products with draws stay finite in float32.
_STEEPEST = 1e18


class CorrelatedPosterior(NamedTuple):
    """q(mu_k) = Normal(locs, L L') and q(Lambda_k) = Wishart(degrees, W) with W^-1 = C C', float64, locs centred.

    locs: (K, D). loc_cholesky: L, (K, D, D). degrees: (K,), 1 long for tied. scale_cholesky: C, (K or 1, D, D).
    """

    locs: Tensor
    loc_cholesky: Tensor
    degrees: Tensor
    scale_cholesky: Tensor


class CorrelatedDraws(NamedTuple):
    """Component parameters drawn from q; leading axes (B,) or (S, 1) before (K, D) and (K or 1, D, D).

    The location is `base + offset`, as in `IndependentDraws`. The precision matrix is whiteners' whiteners, in the type
    of the drawing.
    """

    base: Tensor
    offset: Tensor
    whiteners: Tensor
    log_determinants: Tensor


class CorrelatedComponents(TrainedPosterior):
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
        self.prior_loc_cholesky = np.linalg.cholesky(covariance)
        self.prior_loc_precision = np.linalg.inv(covariance)
        self.prior_degrees = degrees
        self.prior_inverse_scale = inverse_scale
        self.prior_scale_cholesky = np.linalg.cholesky(inverse_scale)

    # --- The posterior and the numbers behind it -------------------------------------------------------------

    def values_of(self, posterior: CorrelatedPosterior) -> tuple[Tensor, ...]:
        """Computes locs, log(nu - (D - 1)), and the Cholesky factors with the logarithm of their diagonals."""
        locs, loc_cholesky, degrees, scale_cholesky = (tf.cast(value, tf.float64) for value in posterior)
        excess = degrees - (self.shape[1] - 1.0)
        return (
            locs,
            wishart.with_log_diagonal(loc_cholesky),
            tf.math.log(excess),
            wishart.with_log_diagonal(scale_cholesky),
        )

    def posterior_of(self, values: Sequence[Tensor]) -> CorrelatedPosterior:
        """Computes q from these numbers, locs measured from the centre; differentiable."""
        locs, loc_values, log_excess, scale_values = values
        degrees = positive(log_excess, SHAPE_RANGE) + (self.shape[1] - 1.0)
        return CorrelatedPosterior(
            tf.convert_to_tensor(locs), wishart.triangular(loc_values), degrees, wishart.triangular(scale_values)
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

    def start_at(self, locs: np.ndarray, spread: np.ndarray) -> CorrelatedPosterior:
        """Makes a start at centred locations, (K, D), in data about `spread` (D,) wide.

        Components start with the correlations of W0^-1, which a prior made from the data takes from the data:
        if the data is rotated, so is the start.
        """
        width = START_WIDTH * spread / np.sqrt(np.diag(self.prior_inverse_scale))
        cholesky = width[:, None] * self.prior_scale_cholesky
        degrees = np.full(self.num_precisions, self.prior_degrees)
        scale_cholesky = np.broadcast_to(
            math.sqrt(self.prior_degrees) * cholesky, (self.num_precisions, *cholesky.shape)
        )
        loc_cholesky = np.broadcast_to(0.1 * cholesky, (self.shape[0], *cholesky.shape))
        return CorrelatedPosterior(np.asarray(locs, np.float64), loc_cholesky, degrees, scale_cholesky)

    def public(self, posterior: CorrelatedPosterior) -> dict[str, Tensor]:
        """Computes scales (K, D), loc_covariances (K, D, D), degrees and inverse_scales, float64, data units."""
        covariances = tf.matmul(posterior.loc_cholesky, posterior.loc_cholesky, transpose_b=True)
        return {
            "scales": tf.sqrt(tf.linalg.diag_part(covariances)),
            "loc_covariances": covariances,
            "degrees": posterior.degrees,
            "inverse_scales": tf.matmul(posterior.scale_cholesky, posterior.scale_cholesky, transpose_b=True),
        }

    # --- KL and update ---------------------------------------------------------------------------------------

    def kl(self, posterior: CorrelatedPosterior, centre: Tensor) -> Tensor:
        """Computes KL(q(mu) || prior) + KL(q(Lambda) || prior) in nats, (...) float64; see `IndependentComponents`."""
        return self.kl_locs(posterior, centre) + self.kl_precisions(posterior)

    def kl_locs(self, posterior: CorrelatedPosterior, centre: Tensor) -> Tensor:
        """Computes the sum over K of KL(Normal(locs, L L') || Normal(m0 - centre, Cov0)), nats, float64."""
        prior = tf.broadcast_to(self.prior_loc_cholesky, tf.shape(posterior.loc_cholesky))
        ratio = tf.linalg.triangular_solve(prior, posterior.loc_cholesky)
        away = posterior.locs - (self.loc_mean - centre)
        distance = tf.linalg.triangular_solve(prior, away[..., None])
        log_ratio = tf.math.log(tf.linalg.diag_part(ratio))
        squares = tf.reduce_sum(tf.square(ratio), axis=[-3, -2, -1])
        squares += tf.reduce_sum(tf.square(distance), axis=[-3, -2, -1])
        return 0.5 * (squares - float(math.prod(self.shape))) - tf.reduce_sum(log_ratio, axis=[-2, -1])

    def kl_precisions(self, posterior: CorrelatedPosterior) -> Tensor:
        """Computes the sum of KL(Wishart(nu, W) || Wishart(nu0, W0)), nats, float64; a tied one counts once."""
        return wishart.kl_to_prior(
            posterior.degrees, posterior.scale_cholesky, self.prior_degrees, self.prior_scale_cholesky
        )

    def log_ratios(self, posterior: CorrelatedPosterior, draws: CorrelatedDraws, centre: Tensor) -> Tensor:
        """Computes log q - log prior of S draws of the parameters, (S,) float64, nats. Args: As `kl`, and the draws."""
        base, offset, whiteners, log_determinants = (tf.cast(value, tf.float64) for value in draws)
        of_locs = log_ratios.of_correlated_normals(
            base + offset, posterior.locs, posterior.loc_cholesky, self.loc_mean - centre, self.prior_loc_cholesky
        )
        prior = self.prior_degrees, self.prior_scale_cholesky
        q = posterior.degrees, posterior.scale_cholesky
        return of_locs + log_ratios.of_wisharts(whiteners, log_determinants, *q, *prior)

    def update(self, posterior: CorrelatedPosterior, statistics: Statistics, centre: Tensor) -> CorrelatedPosterior:
        """Computes the q that maximises the augmented bound: locations with the old E[Lambda], then precisions.

            Cov_k^-1 = Cov0^-1 + N_k E[Lambda_k]       locs_k = Cov_k (Cov0^-1 m0 + E[Lambda_k] S1_k)
            W_k^-1 = W0^-1 + S2 - S1 locs' - locs S1' + N_k (locs locs' + Cov_k)       nu_k = nu0 + N_k

        with the last line summed over the components where they share one precision matrix.

        Args: As `IndependentComponents.update`.

        Source: As there; Bishop 2006, 10.60 to 10.63, for independent priors.
        """
        counts, first = statistics.counts, statistics.first
        precisions = self._mean_precisions(posterior)
        root = tf.linalg.cholesky(self.prior_loc_precision + counts[..., None, None] * precisions)
        covariances = tf.linalg.cholesky_solve(root, tf.linalg.diag(tf.ones_like(first)))
        pull = tf.linalg.matvec(self.prior_loc_precision, self.loc_mean - centre) + tf.linalg.matvec(precisions, first)
        locs = tf.linalg.matvec(covariances, pull)
        cross = first[..., :, None] * locs[..., None, :]
        spreads = matrices_of_products(statistics.second, self.shape[1]) - cross - tf.linalg.matrix_transpose(cross)
        spreads += counts[..., None, None] * (locs[..., :, None] * locs[..., None, :] + covariances)
        # Cancellation may leave a matrix that is not positive definite, where a row is 1e8 times as far as others
        error = _ROUNDING * self.shape[1] * tf.linalg.diag_part(matrices_of_products(statistics.second, self.shape[1]))
        spreads += tf.linalg.diag(error)
        if self.is_tied:
            spreads = tf.reduce_sum(spreads, axis=-3, keepdims=True)
            counts = tf.reduce_sum(counts, axis=-1, keepdims=True)
        return CorrelatedPosterior(
            locs,
            tf.linalg.cholesky(covariances),
            self.prior_degrees + counts,
            tf.linalg.cholesky(self.prior_inverse_scale + spreads),
        )

    def _mean_precisions(self, posterior: CorrelatedPosterior) -> Tensor:
        whiteners = self._mean_whiteners(posterior)
        return tf.matmul(whiteners, whiteners, transpose_a=True)

    def _mean_whiteners(self, posterior: CorrelatedPosterior) -> Tensor:
        """Computes the lower triangular U with E[Lambda] = nu W = U' U, (K or 1, D, D)."""
        return tf.sqrt(posterior.degrees)[..., None, None] * triangular.inverse(posterior.scale_cholesky)

    # --- The density at known parameters, as a product ---------------------------------------------------------

    def means(self, posterior: CorrelatedPosterior) -> dict[str, Tensor]:
        """Computes centred locs (K, D) and the triangular factor U of E[Lambda] = U' U by name, float64, data units."""
        return {"locs": posterior.locs, "whiteners": self._mean_whiteners(posterior)}

    def corrections(self, posterior: CorrelatedPosterior) -> Tensor:
        """Computes E_q[log Normal(row | k)] - log Normal(row | k) at the posterior means, (K,) float64, for any row.

        1/2 (E[log det Lambda] - log det E[Lambda] - tr(E[Lambda] Cov_k)), Bishop 2006, 10.64 and 10.65.
        """
        num_features = self.shape[1]
        digammas = tf.reduce_sum(tf.math.digamma(self.gamma_shapes(posterior)), axis=-1)
        log_terms = digammas + num_features * (math.log(2.0) - tf.math.log(posterior.degrees))
        spread = tf.matmul(self._mean_whiteners(posterior), posterior.loc_cholesky)
        return 0.5 * (log_terms - tf.reduce_sum(tf.square(spread), axis=[-2, -1]))

    @staticmethod
    def float32_error(parameters: Mapping[str, Tensor], largest: Tensor) -> Tensor:
        """Bounds the error of the product in float32, (K,) nats, for centred rows within +-largest (D,).

        2^-23 (|x| + |locs|)' |E[Lambda]| (|x| + |locs|): what terms that cancel may lose.
        """
        far = largest + tf.abs(parameters["locs"])
        precisions = tf.matmul(parameters["whiteners"], parameters["whiteners"], transpose_a=True)
        return 2.0**-23 * tf.reduce_sum(tf.linalg.matvec(tf.abs(precisions), far) * far, axis=-1)

    # --- Draws of the parameters ------------------------------------------------------------------------------

    def gamma_shapes(self, posterior: CorrelatedPosterior) -> Tensor:
        """Computes the shapes of the Gamma variables that `draws` needs, (nu + 1 - i) / 2, (K or 1, D) float64."""
        return wishart.bartlett_shapes(posterior.degrees, self.shape[1])

    def draws(self, posterior: CorrelatedPosterior, log_gammas: Tensor, seed: Tensor) -> CorrelatedDraws:
        """Draws component parameters from q, (..., K, D) float32, differentiable in q.

        Lambda = C^-T A A' C^-1 with A lower triangular, A_ii^2 / 2 ~ Gamma((nu + 1 - i) / 2), the others standard
        normal (Bartlett 1933).

        Args:
            posterior: q.
            log_gammas: (..., K or 1, D) log Gamma draws with the shapes `gamma_shapes`; all is drawn in their type.
            seed: (2,) int, seed of the locations and of the off-diagonal of A.
        """
        dtype, num_features = log_gammas.dtype, self.shape[1]
        leading = tf.shape(log_gammas)[:-2]
        noise = tf.random.stateless_normal(tf.concat([leading, self.shape], 0), stream(seed, NORMAL), dtype=dtype)
        base, rest = high_and_low(posterior.locs)
        offset = rest + tf.cast(tf.linalg.matvec(tf.cast(posterior.loc_cholesky, dtype), noise), tf.float32)
        below = [self.num_precisions, num_features, num_features]
        normals = tf.random.stateless_normal(tf.concat([leading, below], 0), stream(seed, BARTLETT), dtype=dtype)
        log_diagonal = 0.5 * (math.log(2.0) + log_gammas)
        factor = tf.linalg.set_diag(tf.linalg.band_part(normals, -1, 0), tf.exp(log_diagonal))
        inverse = triangular.inverse(posterior.scale_cholesky)
        limited = tf.clip_by_value(inverse, -_STEEPEST, _STEEPEST)
        whiteners = tf.matmul(factor, tf.cast(limited, dtype), transpose_a=True)
        log_determinants = tf.reduce_sum(log_diagonal, -1) + tf.cast(triangular.log_determinants(inverse), dtype)
        return CorrelatedDraws(base, offset, whiteners, log_determinants)

    @staticmethod
    def log_density(rows: Tensor, draws: CorrelatedDraws) -> Tensor:
        """Computes log Normal(row | mu_k, Lambda_k^-1), nats, (..., B, K). Args: As `IndependentComponents`."""
        differences = tf.clip_by_value((rows[:, None, :] - draws.base) - draws.offset, -_FARTHEST, _FARTHEST)
        whiteners = tf.cast(draws.whiteners, tf.float32)
        distances = tf.clip_by_value(tf.linalg.matvec(whiteners, differences), -_FARTHEST, _FARTHEST)
        constant = rows.shape[-1] * math.log(2.0 * math.pi)
        return tf.cast(draws.log_determinants, tf.float32) - 0.5 * (tf.reduce_sum(tf.square(distances), -1) + constant)

    @staticmethod
    def parameters_of(draws: CorrelatedDraws) -> dict[str, Tensor]:
        """Turns draws into parameters by name, centred, (..., K, D) float64, as `coefficients` takes them."""
        base, offset, whiteners, _ = (tf.cast(value, tf.float64) for value in draws)
        return {"locs": base + offset, "whiteners": whiteners}


class FullComponents(CorrelatedComponents):
    """One precision matrix per component."""

    name = "full"


class TiedComponents(CorrelatedComponents):
    """One precision matrix for all components."""

    name = "tied"
