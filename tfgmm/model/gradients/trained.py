"""A posterior whose numbers are in Keras variables, so that gradients of its bound can be followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.families.variational import Factors, Values, VariationalPosterior
from tfgmm.mixture.registry import FormName
from tfgmm.model.gradients import correlated, independent, partial_rows
from tfgmm.model.gradients.functions import TENSORFLOW
from tfgmm.model.gradients.log_gamma import log_gamma_draws
from tfgmm.model.gradients.row_tensors import RowTensors, row_tensors
from tfgmm.scoring.graph.densities import GRAPH_FORMS

# Both have `draws`, `log_density` and `row_corrections`
_FORMS: Mapping[FormName, ModuleType] = {"independent": independent, "correlated": correlated}


class Drawn(NamedTuple):
    """Parameters drawn from q, as tensors.

    log_weights: Logarithms of the weights, sample_shape + (K,).
    components: Parameters of the components, `IndependentDraws` or `CorrelatedDraws`.
    """

    log_weights: Tensor
    components: Any


class TrainedPosterior:
    """q of a whole mixture in variables that an optimizer moves.

    Args:
        family: Family of the posterior, which has the priors.
        components: Variables of the components, float64, in the order of their `variable_names`.
        weights: Variables of the weights, float64.
        centre: Variable (D,) float64, data units; what rows and locations are measured from.
    """

    def __init__(
        self, family: VariationalPosterior, components: Sequence[Any], weights: Sequence[Any], centre: Any
    ) -> None:
        self.family = family
        self.variables = Values(tuple(components), tuple(weights))
        self.centre = centre
        self._form = _FORMS[family.form]

    def values(self) -> Values:
        """Reads the numbers behind q as the variables have them."""
        return self.variables.map(tf.convert_to_tensor)

    def factors(self) -> Factors:
        """Computes q as it stands, float64; differentiable in the variables."""
        return self.family.factors_of(self.values(), TENSORFLOW)

    def kl(self, factors: Factors | None = None) -> Tensor:
        """Computes KL(q || prior) in nats, scalar float64; differentiable.

        Args:
            factors: q; by default as it stands.
        """
        from tfgmm.model.gradients import divergences  # TensorFlow Probability takes 0.6 s to load

        return divergences.kl(self.family, factors or self.factors(), tf.convert_to_tensor(self.centre))

    def draw(self, sample_shape: Tensor, seed: Tensor, dtype: tf.DType, factors: Factors | None = None) -> Drawn:
        """Draws weights and component parameters from q, with axes sample_shape in front; differentiable in q.

        Args:
            sample_shape: Leading axes of the draws.
            seed: (2,) int, seed of the draws.
            dtype: Float type of the draws.
            factors: q; by default as it stands.
        """
        of_weights, of_components = factors or self.factors()
        weights, components = self.family.weights, self.family.components
        shapes = [weights.gamma_shapes(of_weights), components.gamma_shapes(of_components)]
        for_weights, for_components = log_gamma_draws(shapes, sample_shape, seed, dtype)
        log_weights = weights.log_draws(for_weights, TENSORFLOW)
        return Drawn(log_weights, self._form.draws(components, of_components, for_components, seed))

    def log_joints(self, rows: Tensor | RowTensors, drawn: Drawn) -> Tensor:
        """Computes log theta_k + log Normal(row | component k), nats float32: (B, K), or (S, B, K) for shared draws.

        Args:
            rows: (B, D) float32, measured from the centre; with gaps and noise as `RowTensors`.
            drawn: Draws with the leading axis (B,), one per row, or (S, 1), shared by the batch.
        """
        rows, components = row_tensors(rows), self.family.components
        constants = tf.cast(drawn.log_weights, tf.float32)
        if not rows.is_whole:
            return constants + partial_rows.log_density(self.family.form, components, rows, drawn.components)
        constants += self._form.row_corrections(components, drawn.components)
        return constants + self._form.log_density(rows.values, drawn.components)

    def log_likelihoods(self, rows: Tensor | RowTensors, drawn: Drawn) -> Tensor:
        """Computes an unbiased estimate of E_q[log sum_k theta_k Normal(row_i | component k)] per row, nats: (B,).

        The likelihood part of the marginal bound: L_M = sum over rows of this - KL(q || prior). Draws shared by the
        batch, leading axes (S, 1), are averaged; draws per row, leading axis (B,), give one estimate each.
        Args: As `log_joints`.
        """
        log_likelihoods = tf.reduce_logsumexp(self.log_joints(rows, drawn), axis=-1)
        return tf.reduce_mean(log_likelihoods, axis=0) if log_likelihoods.shape.rank == 2 else log_likelihoods

    def mean_coefficients(self, factors: Factors) -> tuple[Tensor, Tensor]:
        """Computes the coefficients of log joints at the posterior means of weights, locations and precisions.

        (D + P, K) and (K,) float64, as `scoring.graph.densities.coefficients`; differentiable.

        Args:
            factors: q.
        """
        means = self.family.components.means(factors.components, TENSORFLOW)
        coefficients, constants = GRAPH_FORMS[self.family.form].coefficients(means, are_means=True)
        return coefficients, constants + self.family.weights.log_mean(factors.weights, TENSORFLOW)
