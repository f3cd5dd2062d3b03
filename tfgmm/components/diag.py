"""Components whose columns are independent: one precision per component and column.

Rows, locations and prior means are measured from `centre`, the mean of the training rows, so that float32 keeps
small differences at any offset. Shifting the rows and the prior mean together changes nothing: it is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.log_gamma import NORMAL, stream
from tfgmm.positive import SHAPE_RANGE, positive
from tfgmm.priors import Priors

Tensor = Any
AddWeight = Callable[..., Any]

# A standardised distance beyond this is held here: its square stays finite in float32 for 10,000 columns.
_FARTHEST = 1e17


class DiagPosterior(NamedTuple):
    """q(mu_kd) = Normal(locs, scales), q(tau_kd) = Gamma(alpha, rate beta); all (K, D) float64, locs centred."""

    locs: Tensor
    scales: Tensor
    alpha: Tensor
    beta: Tensor


class DiagDraws(NamedTuple):
    """Component parameters, drawn or at their means; leading axes (B,) or (S, 1) before (K, D).

    The location is `base + offset`: rows subtract `base` first, exactly, so that the rounding of a location
    far from zero never reaches the density of a tight component.
    """

    base: Tensor
    offset: Tensor
    log_precisions: Tensor


class DiagStatistics(NamedTuple):
    """Expected sums over rows, about the locations they were taken with: counts (K,), first and second (K, D), float64.

    first = sum_i r_ik (x_i - locs_k), second = sum_i r_ik (x_i - locs_k)^2: about the component's own location,
    where tight components lose nothing in float32.
    """

    counts: Tensor
    first: Tensor
    second: Tensor


class DiagComponents:
    """Components with mu_kd ~ Normal(m0_d, s0_d) and tau_kd ~ Gamma(a0_d, rate b0_d).

    Args:
        num_components: K.
        num_features: D.
        priors: one number or (D,) per value, data units.
    """

    name = "diag"

    def __init__(self, num_components: int, num_features: int, priors: Priors) -> None:
        self.shape = (num_components, num_features)
        self.loc_mean = np.broadcast_to(np.asarray(priors.loc_mean, np.float64), (num_features,))
        self.loc_scale = np.broadcast_to(np.asarray(priors.loc_scale, np.float64), (num_features,))
        self.precision_shape = np.broadcast_to(np.asarray(priors.precision_shape, np.float64), (num_features,))
        self.precision_rate = np.broadcast_to(np.asarray(priors.precision_rate, np.float64), (num_features,))

    def create_variables(self, add_weight: AddWeight, start: DiagPosterior) -> None:
        """Adds the four trained variables, (K, D) float64 each, at `start`."""
        self.centred_locs = add_weight("locs", start.locs)
        self.log_scales = add_weight("log_scales", np.log(start.scales))
        self.log_alpha = add_weight("log_alpha", np.log(start.alpha))
        self.log_beta = add_weight("log_beta", np.log(start.beta))

    def random_start(self, generator: np.random.Generator) -> DiagPosterior:
        """Returns a start drawn from the priors (scales and locations) with alpha and beta near a0 and b0."""
        precisions = generator.gamma(self.precision_shape, size=self.shape) / self.precision_rate
        locs = self.loc_mean + self.loc_scale * generator.standard_normal(self.shape)
        near = generator.uniform(0.8, 1.2, (2, *self.shape))
        return DiagPosterior(locs, precisions**-0.5, self.precision_shape * near[0], self.precision_rate * near[1])

    def start_at(self, locs: np.ndarray, spread: np.ndarray) -> DiagPosterior:
        """Returns a start at given centred locations, (K, D), for components about `spread` (D,) wide.

        alpha and beta start at the prior shape, with the rate that makes E[tau] = 1 / spread^2, so that no
        component begins wider than asked: one that covers all rows would stop the others from separating.
        """
        alpha = np.broadcast_to(self.precision_shape, self.shape)
        scales = np.broadcast_to(np.minimum(0.1 * spread, self.loc_scale), self.shape)
        return DiagPosterior(np.asarray(locs, np.float64), scales, alpha, alpha * np.square(spread))

    def posterior(self) -> DiagPosterior:
        """Returns q as it stands, locs measured from the centre; differentiable in the variables."""
        return DiagPosterior(
            tf.convert_to_tensor(self.centred_locs),
            positive(self.log_scales),
            positive(self.log_alpha, SHAPE_RANGE),
            positive(self.log_beta),
        )

    def assign(self, posterior: DiagPosterior) -> None:
        """Sets the variables so that `posterior()` returns `posterior`."""
        self.centred_locs.assign(posterior.locs)
        for variable, value in zip((self.log_scales, self.log_alpha, self.log_beta), posterior[1:]):
            variable.assign(tf.math.log(tf.cast(value, tf.float64)))

    def kl(self, posterior: DiagPosterior, centre: Tensor) -> Tensor:
        """Returns KL(q(mu) || prior) + KL(q(tau) || prior) in nats, scalar float64.

        Args:
            posterior: q, locs measured from `centre`.
            centre: (D,) float64, data units.
        """
        return self.kl_locs(posterior, centre) + self.kl_precisions(posterior)

    def kl_locs(self, posterior: DiagPosterior, centre: Tensor) -> Tensor:
        """Returns the sum over K, D of KL(Normal(locs, scales) || Normal(m0 - centre, s0)), nats, float64."""
        ratio = tf.square(posterior.scales / self.loc_scale)
        distance = (posterior.locs - (self.loc_mean - centre)) / self.loc_scale
        return 0.5 * tf.reduce_sum(ratio + tf.square(distance) - 1.0 - tf.math.log(ratio))

    def kl_precisions(self, posterior: DiagPosterior) -> Tensor:
        """Returns the sum over K, D of KL(Gamma(alpha, beta) || Gamma(a0, b0)), nats, float64."""
        alpha, beta, a0, b0 = posterior.alpha, posterior.beta, self.precision_shape, self.precision_rate
        shape_terms = (alpha - a0) * tf.math.digamma(alpha) - tf.math.lgamma(alpha) + tf.math.lgamma(a0)
        rate_terms = a0 * (tf.math.log(beta) - tf.math.log(b0)) + alpha * (b0 - beta) / beta
        return tf.reduce_sum(shape_terms + rate_terms)

    @staticmethod
    def parameter_shapes(num_components: int, num_features: int) -> dict[str, tuple[int, ...]]:
        """Returns the shape of every exported parameter, by name."""
        shape = (num_components, num_features)
        return {"locs": shape, "precisions": shape}

    def means(self, posterior: DiagPosterior) -> dict[str, Tensor]:
        """Returns the posterior means by name, as exported: centred locs and E[tau] = alpha / beta, (K, D) float64."""
        return {"locs": posterior.locs, "precisions": posterior.alpha / posterior.beta}

    def gamma_shapes(self, posterior: DiagPosterior) -> Tensor:
        """Returns the shapes of the Gamma variables that `draws` needs, (K, D) float64."""
        return posterior.alpha

    def draws(self, posterior: DiagPosterior, log_gammas: Tensor, seed: Tensor) -> DiagDraws:
        """Returns component parameters drawn from q, (..., K, D) float32, differentiable in q.

        Args:
            posterior: q.
            log_gammas: (..., K, D) log Gamma draws of the shapes above; their type is the type of the drawing.
            seed: (2,) int, for the locations.
        """
        dtype = log_gammas.dtype
        noise = tf.random.stateless_normal(tf.shape(log_gammas), stream(seed, NORMAL), dtype=dtype)
        base, rest = _high_and_low(posterior.locs)
        offset = rest + tf.cast(tf.cast(posterior.scales, dtype) * noise, tf.float32)
        log_precisions = log_gammas - tf.cast(tf.math.log(posterior.beta), dtype)
        return DiagDraws(base, offset, tf.cast(log_precisions, tf.float32))

    @staticmethod
    def point(parameters: Mapping[str, Tensor]) -> DiagDraws:
        """Returns given locs and precisions, (..., K, D) float64, in the form that `log_density` takes."""
        base, rest = _high_and_low(parameters["locs"])
        return DiagDraws(base, rest, tf.cast(tf.math.log(parameters["precisions"]), tf.float32))

    def expected_log_density(self, rows: Tensor, posterior: DiagPosterior) -> Tensor:
        """Returns E_q[log Normal(row | mu_k, 1 / tau_k)], nats: (B, K) float32.

        1/2 sum_d ( E[log tau] - log 2 pi - E[tau] ((x - locs)^2 + scales^2) ): the density at the means, and a
        correction that does not depend on the row, in float64 (Bishop 2006, 10.64, for independent priors).

        Args:
            rows: (B, D) float32, measured from the centre.
            posterior: q.
        """
        means = posterior.alpha / posterior.beta
        mean_logs = tf.math.digamma(posterior.alpha) - tf.math.log(posterior.beta)
        corrections = mean_logs - tf.math.log(means) - means * tf.square(posterior.scales)
        at_means = self.log_density(rows, self.point(self.means(posterior)))
        return at_means + tf.cast(0.5 * tf.reduce_sum(corrections, axis=-1), tf.float32)

    def statistics(self, rows: Tensor, responsibilities: Tensor, posterior: DiagPosterior) -> DiagStatistics:
        """Returns the expected sufficient statistics of rows (B, D) with responsibilities (B, K), both float32."""
        base, rest = _high_and_low(posterior.locs)
        differences = (rows[:, None, :] - base) - rest
        weighted = responsibilities[:, :, None] * differences
        sums = responsibilities, weighted, weighted * differences
        return DiagStatistics(*(tf.reduce_sum(tf.cast(value, tf.float64), axis=0) for value in sums))

    def no_statistics(self) -> DiagStatistics:
        """Returns the statistics of no rows. Statistics of different rows add."""
        zeros = tf.zeros(self.shape, tf.float64)
        return DiagStatistics(tf.zeros(self.shape[0], tf.float64), zeros, zeros)

    def update(self, posterior: DiagPosterior, statistics: DiagStatistics, centre: Tensor) -> DiagPosterior:
        """Returns the q that maximises the augmented bound: locations with the old E[tau], then precisions.

            1 / scales^2 = 1 / s0^2 + E[tau] N_k             locs = scales^2 (m0 / s0^2 + E[tau] S1_k)
            alpha = a0 + N_k / 2                             beta = b0 + 1/2 (S2_k + N_k scales^2), about the new locs

        Args:
            posterior: the q that the statistics were taken with.
            statistics: of the whole data.
            centre: (D,) float64, data units; what locs are measured from.

        Source: coordinate ascent for independent Normal and Gamma priors; a natural-gradient step of length 1
        (Hoffman, Blei, Wang and Paisley 2013, section 2).
        """
        counts = statistics.counts[:, None]
        mean_precisions = posterior.alpha / posterior.beta
        variances = 1.0 / (self.loc_scale**-2.0 + mean_precisions * counts)
        to_prior = (self.loc_mean - centre) - posterior.locs
        step = variances * (to_prior * self.loc_scale**-2.0 + mean_precisions * statistics.first)
        squares = statistics.second - 2.0 * step * statistics.first + counts * (tf.square(step) + variances)
        alpha = self.precision_shape + 0.5 * counts + tf.zeros_like(step)
        return DiagPosterior(posterior.locs + step, tf.sqrt(variances), alpha, self.precision_rate + 0.5 * squares)

    @staticmethod
    def log_density(rows: Tensor, draws: DiagDraws) -> Tensor:
        """Returns log Normal(row | mu_k, 1 / tau_k), nats: (..., B, K).

        Args:
            rows: (B, D) float32, measured from the centre.
            draws: leading axes (B,) for one draw per row, (S, 1) for S draws shared by the batch, or none.

        Subtracts before squaring: exact to about 1e-5 nats for components down to 1e-4 of the data's range.
        """
        differences = (rows[:, None, :] - draws.base) - draws.offset
        distances = differences * tf.exp(0.5 * draws.log_precisions)
        # Held to a finite range so that neither a square nor its gradient overflows far away.
        squares = tf.square(tf.clip_by_value(distances, -_FARTHEST, _FARTHEST))
        constant = rows.shape[-1] * math.log(2.0 * math.pi)
        return 0.5 * (tf.reduce_sum(draws.log_precisions, -1) - tf.reduce_sum(squares, -1) - constant)

    @staticmethod
    def sample(parameters: Mapping[str, Tensor], assignment: Tensor, seed: Tensor) -> Tensor:
        """Returns one centred row per entry of `assignment` (B,), from that component: (B, D) float64."""
        locs = tf.gather(parameters["locs"], assignment)
        noise = tf.random.stateless_normal(tf.shape(locs), seed, dtype=tf.float64)
        return locs + noise / tf.sqrt(tf.gather(parameters["precisions"], assignment))


def _high_and_low(values: Tensor) -> tuple[Tensor, Tensor]:
    """Returns float64 `values` as a pair of float32 whose sum is `values`; the first carries no gradient."""
    high = tf.stop_gradient(tf.cast(values, tf.float32))
    return high, tf.cast(values - tf.cast(high, tf.float64), tf.float32)
