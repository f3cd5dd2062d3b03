"""The two forms of parameters as TensorFlow operations: features of rows, and what they are multiplied with.

`mixture.parameters` has the same in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.mixture import stored_draws
from tfgmm.mixture.parameters import LOCS, MixtureDensity, Parameters
from tfgmm.mixture.registry import COVARIANCES, FormName
from tfgmm.scoring.graph.products import coefficients_of_products, products
from tfgmm.scoring.graph.triangular import inverse, log_abs_determinants, log_determinants


class Regression(NamedTuple):
    """How the other columns of a component depend on the given ones.

    slopes: (K, D, D); None where columns are independent.
    spread: By name, standard deviations `scales` (K, D) that are left, 0 where a column is given; for correlated
        columns also `covariances` (K, D, D).
    """

    slopes: Tensor | None
    spread: dict[str, Tensor]


class GapFactors(NamedTuple):
    """What log joints of rows with gaps are computed from, float64; M = K or S K components.

    linear, constants: As `coefficients` gives them.
    log_weights: (M,).
    of_form: What `gap_factors` of the form gives.
    """

    linear: Tensor
    constants: Tensor
    log_weights: Tensor
    of_form: tuple[Tensor, ...]


class IndependentGraph:
    """Columns that are independent within a component; see `mixture.parameters.IndependentForm`."""

    def features(self, rows: Tensor) -> list[Tensor]:
        """Computes rows (B, D) and their squares, (B, 2 D), in one piece."""
        return [tf.concat([rows, tf.square(rows)], axis=1)]

    def coefficients(self, parameters: Parameters, *, are_means: bool = False) -> tuple[Tensor, Tensor]:
        """Computes (2 D, K) and (K,) float64: log Normal(row | k) = [row, row^2] @ the first + the second, nats."""
        del are_means  # they are computed alike
        locs, precisions = (tf.cast(parameters[name], tf.float64) for name in (LOCS, "precisions"))
        linear = tf.concat([precisions * locs, -0.5 * precisions], axis=-1)
        return tf.linalg.matrix_transpose(linear), tf.reduce_sum(_constants_of_columns(locs, precisions), axis=-1)

    def gap_factors(self, parameters: Parameters) -> tuple[Tensor, ...]:
        """Computes what rows with gaps need beside coefficients: (D, M) float64, the constants of each column."""
        locs, precisions = (tf.cast(parameters[name], tf.float64) for name in (LOCS, "precisions"))
        return (tf.transpose(tf.reshape(_constants_of_columns(locs, precisions), (-1, locs.shape[-1]))),)

    def joints_of_gaps(self, rows: Tensor, factors: GapFactors) -> Tensor:
        """Computes log joints (B, M), nats, of the columns that centred rows (B, D) have; NaN is a gap."""
        seen = ~tf.math.is_nan(rows)
        (of_columns,) = factors.of_form
        features = [*self.features(where_given(rows, seen)), tf.cast(~seen, tf.float64)]
        coefficients = [factors.linear, -of_columns]
        products = [tf.matmul(piece, part) for piece, part in zip(features, coefficients)]
        return tf.add_n(products) + factors.constants

    def expected(self, rows: Tensor, shares: Tensor, parameters: Parameters, factors: GapFactors) -> Tensor:
        """Computes the means (B, D) of the columns that centred rows (B, D) lack, given the others.

        Args:
            rows: Rows; NaN is a gap.
            shares: (B, K) float64, probability of each component given the row.
            parameters: Components of one mixture by name.
            factors: As `joints_of_gaps` takes them.
        """
        del rows, factors  # no column depends on another
        return tf.matmul(shares, parameters[LOCS])

    def sample(self, parameters: Parameters, assignment: Tensor, seed: Tensor) -> Tensor:
        """Draws one centred row per entry of `assignment` (B,), from that component: (B, D) float64."""
        locs = tf.gather(parameters[LOCS], assignment)
        noise = tf.random.stateless_normal(tf.shape(locs), seed, dtype=tf.float64)
        return locs + noise / tf.sqrt(tf.gather(parameters["precisions"], assignment))

    def drawn(self, means: Parameters, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Computes the S sets of precisions that stored draws stand for: ratios to the means."""
        return {"precisions": means["precisions"] * values[stored_draws.PRECISIONS]}

    def masked(self, parameters: Parameters, given: Tensor) -> dict[str, Tensor]:
        """Turns the columns that are not given, (D,) bool, into standard normal ones around 0."""
        precisions = tf.where(given, parameters["precisions"], 1.0)
        return {LOCS: where_given(parameters[LOCS], given), "precisions": precisions}

    def regression(self, parameters: Parameters, given: Tensor) -> Regression:
        """Computes what is left of the columns that are not given: all of it, since none depends on another."""
        scales = tf.math.rsqrt(tf.convert_to_tensor(parameters["precisions"]))
        return Regression(None, {"scales": where_given(scales, ~given)})


class CorrelatedGraph:
    """Columns that are correlated within a component; see `mixture.parameters.CorrelatedForm`."""

    def features(self, rows: Tensor) -> list[Tensor]:
        """Computes rows (B, D), then products of their columns, in pieces (B, ...); P products in all."""
        return [rows, *products(rows)]

    def coefficients(self, parameters: Parameters, *, are_means: bool = False) -> tuple[Tensor, Tensor]:
        """Computes (D + P, K) and (K,) float64: log Normal(row | k) = [row, products] @ the first + the second.

        Args:
            parameters: Components by name.
            are_means: Whether they are parameters at the means, or of some columns alone, whose whiteners are lower
                triangular; those of draws are not.
        """
        locs, whiteners = (tf.cast(parameters[name], tf.float64) for name in (LOCS, "whiteners"))
        whitened = tf.linalg.matvec(whiteners, locs)
        linear = tf.linalg.matvec(whiteners, whitened, transpose_a=True)
        precisions = tf.matmul(whiteners, whiteners, transpose_a=True)
        quadratic = coefficients_of_products(precisions) * tf.ones_like(locs[..., :1])  # also where one is shared
        squares = tf.reduce_sum(tf.square(whitened), axis=-1)
        log_determinants_of = log_determinants if are_means else log_abs_determinants
        constants = log_determinants_of(whiteners) - 0.5 * (locs.shape[-1] * math.log(2.0 * math.pi) + squares)
        return tf.linalg.matrix_transpose(tf.concat([linear, -0.5 * quadratic], axis=-1)), constants

    def gap_factors(self, parameters: Parameters) -> tuple[Tensor, ...]:
        """Computes covariances (G, D, D) and the locations that share each of them, (G, D, M / G), float64."""
        locs, whiteners = (tf.cast(parameters[name], tf.float64) for name in (LOCS, "whiteners"))
        inverses = tf.linalg.inv(tf.reshape(whiteners, (-1, *whiteners.shape[-2:])))
        covariances = tf.matmul(inverses, inverses, transpose_b=True)
        grouped = tf.reshape(locs, (covariances.shape[0], -1, locs.shape[-1]))
        return covariances, tf.linalg.matrix_transpose(grouped)

    def joints_of_gaps(self, rows: Tensor, factors: GapFactors) -> Tensor:
        """Computes log joints (B, M), nats, of the columns that centred rows (B, D) have; NaN is a gap.

        A matrix is factored for every row and covariance: for few rows at a time.
        """
        seen = ~tf.math.is_nan(rows)
        triangles, whitened = _whitened(rows, seen, *factors.of_form)
        squares = tf.reduce_sum(tf.square(whitened), axis=2)  # (B, G, M / G)
        normalisers = math.log(2.0 * math.pi) * tf.reduce_sum(tf.cast(seen, tf.float64), axis=1)
        constants = log_determinants(triangles) + 0.5 * normalisers[:, None]
        joints = -0.5 * squares - constants[:, :, None]
        return tf.reshape(joints, (-1, factors.log_weights.shape[0])) + factors.log_weights

    def expected(self, rows: Tensor, shares: Tensor, parameters: Parameters, factors: GapFactors) -> Tensor:
        """Computes the means (B, D) of the columns that centred rows (B, D) lack, given the others.

        Args: As `IndependentGraph.expected`. For few rows at a time, as `joints_of_gaps`.
        """
        covariances, locs = factors.of_form
        triangles, whitened = _whitened(rows, ~tf.math.is_nan(rows), covariances, locs)
        away = tf.linalg.triangular_solve(triangles, whitened, adjoint=True)  # 0 where a row has no value
        means = tf.matmul(covariances, away)  # (B, G, D, K / G), from the locations
        grouped = tf.reshape(shares, (-1, covariances.shape[0], 1, locs.shape[2]))
        return tf.reduce_sum(means * grouped, axis=[1, 3]) + tf.matmul(shares, parameters[LOCS])

    def sample(self, parameters: Parameters, assignment: Tensor, seed: Tensor) -> Tensor:
        """Draws one centred row per entry of `assignment` (B,), from that component: (B, D) float64."""
        locs = tf.gather(parameters[LOCS], assignment)
        noise = tf.random.stateless_normal(tf.shape(locs), seed, dtype=tf.float64)
        inverses = tf.linalg.inv(tf.cast(parameters["whiteners"], tf.float64))
        if inverses.shape[0] == 1:
            return locs + tf.matmul(noise, inverses[0], transpose_b=True)

        # One component after the other: a matrix per row would take D times the memory of the rows
        def add(k: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            turned = tf.matmul(noise, inverses[k], transpose_b=True)
            chosen = tf.equal(tf.cast(assignment, k.dtype), k)[:, None]
            return k + 1, tf.where(chosen, rows + turned, rows)

        num_components = tf.constant(inverses.shape[0], tf.int64)
        start = (tf.constant(0, tf.int64), locs)
        return tf.while_loop(lambda k, rows: k < num_components, add, start, parallel_iterations=1)[1]

    def drawn(self, means: Parameters, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Computes the S sets of whiteners that stored draws stand for: upper triangular factors of the means."""
        triangles = tf.pad(values[stored_draws.WHITENERS], [[0, 0], [0, 0], [1, 0]])
        places = stored_draws.triangle_places(means[LOCS].shape[-1])
        return {"whiteners": tf.gather(triangles, places, axis=-1) @ means["whiteners"]}

    def masked(self, parameters: Parameters, given: Tensor) -> dict[str, Tensor]:
        """Turns the columns that are not given, (D,) bool, into standard normal ones around 0, free of all others."""
        both = given[:, None] & given
        identity = tf.eye(given.shape[0], dtype=tf.float64)
        factor = tf.linalg.cholesky(tf.where(both, _covariances(parameters["whiteners"]), identity))
        return {LOCS: where_given(parameters[LOCS], given), "whiteners": inverse(factor)}

    def regression(self, parameters: Parameters, given: Tensor) -> Regression:
        """Computes how the columns that are not given, (D,) bool, depend on the given ones (Bishop 2006, 2.82)."""
        shape = parameters[LOCS].shape
        covariances = _covariances(parameters["whiteners"])
        whiteners = where_given(self.masked(parameters, given)["whiteners"], given[:, None] & given)
        whitened = tf.matmul(where_given(covariances, ~given[:, None] & given), whiteners, transpose_b=True)
        slopes = tf.matmul(whitened, whiteners)
        left = covariances - tf.matmul(whitened, whitened, transpose_b=True)
        others = where_given(left, ~given[:, None] & ~given)
        slopes, others = (tf.broadcast_to(values, (*shape, shape[1])) for values in (slopes, others))
        return Regression(slopes, {"scales": tf.sqrt(tf.linalg.diag_part(others)), "covariances": others})


GraphForm = IndependentGraph | CorrelatedGraph  # the same methods; leading axes of the parameters are kept
GRAPH_FORMS: Mapping[FormName, GraphForm] = {"independent": IndependentGraph(), "correlated": CorrelatedGraph()}


def graph_form_of(covariance: str) -> GraphForm:
    """Looks up the operations for the parameters of a covariance shape."""
    return GRAPH_FORMS[COVARIANCES[covariance].form]


def where_given(values: Tensor, given: Tensor) -> Tensor:
    """Keeps the values where `given`, of a shape that broadcasts, is True, and puts 0 elsewhere."""
    return tf.where(given, values, tf.zeros_like(values))


def _constants_of_columns(locs: Tensor, precisions: Tensor) -> Tensor:
    return 0.5 * (tf.math.log(precisions) - math.log(2.0 * math.pi) - precisions * tf.square(locs))


def _whitened(rows: Tensor, seen: Tensor, covariances: Tensor, locs: Tensor) -> tuple[Tensor, Tensor]:
    """Factors the covariances of the columns that each row has, and whitens the row.

    Args:
        rows: (B, D), centred.
        seen: (B, D) bool, whether a row has a value.
        covariances, locs: (G, D, D) and (G, D, M / G); see `CorrelatedGraph.gap_factors`.

    Returns:
        Lower triangular factors (B, G, D, D), and whitened rows (B, G, D, M / G); as of a standard normal column at 0
        where a row has no value.
    """
    both = seen[:, None, :, None] & seen[:, None, None, :]
    triangles = tf.linalg.cholesky(tf.where(both, covariances, tf.eye(covariances.shape[-1], dtype=tf.float64)))
    away = where_given(rows[:, None, :, None] - locs, seen[:, None, :, None])
    return triangles, tf.linalg.triangular_solve(triangles, away)


def _covariances(whiteners: Tensor) -> Tensor:
    inverses = inverse(whiteners)
    return tf.matmul(inverses, inverses, transpose_b=True)


def coefficients(mixture: MixtureDensity) -> tuple[Tensor, Tensor]:
    """Computes (D + P, M) and (M,) float64, M = K or S K: log joints = features @ the first + the second, nats."""
    shape = mixture.log_weights.shape
    parameters = mixture.components
    if len(shape) == 2:  # S mixtures side by side; what is tied stands once in the parameters
        whole = {name: tf.broadcast_to(value, (*shape, *value.shape[2:])) for name, value in parameters.items()}
        parameters = {name: tf.reshape(value, (-1, *value.shape[2:])) for name, value in whole.items()}
    linear, constants = graph_form_of(mixture.covariance).coefficients(parameters, are_means=len(shape) == 1)
    return linear, constants + tf.reshape(mixture.log_weights, [-1])


def gap_factors(mixture: MixtureDensity, linear: Tensor, constants: Tensor) -> GapFactors:
    """Computes what log joints of rows with gaps are computed from; `coefficients` gives the last two arguments."""
    of_form = graph_form_of(mixture.covariance).gap_factors(mixture.components)
    return GapFactors(linear, constants, tf.reshape(tf.cast(mixture.log_weights, tf.float64), [-1]), of_form)


def of_draws(mixture: MixtureDensity, stored: Mapping[str, np.ndarray]) -> MixtureDensity:
    """Computes the S mixtures that stored draws stand for, as tensors, from the mixture at the posterior means."""
    values = {name: tf.cast(value, tf.float64) for name, value in stored.items()}
    locs = mixture.components[LOCS] + values[stored_draws.LOCS]
    drawn = graph_form_of(mixture.covariance).drawn(mixture.components, values)
    return mixture._replace(log_weights=values[stored_draws.LOG_WEIGHTS], components={LOCS: locs, **drawn})
