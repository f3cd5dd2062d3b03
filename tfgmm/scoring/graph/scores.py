"""Scores of rows as operations of a graph: exports hold them, and a GPU runs them; see `row_scores`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common import threads
from tfgmm.common.shapes import Tensor
from tfgmm.data.blocks import RowBlock, is_finite
from tfgmm.mixture.features import num_products
from tfgmm.mixture.parameters import FORMS, MixtureDensity
from tfgmm.mixture.registry import COVARIANCES, FormName
from tfgmm.mixture.row_scores import RowScorer, RowScores, Score
from tfgmm.scoring.graph.chunks import float_values, log_joints, mapped_over_chunks, normalised
from tfgmm.scoring.graph.densities import (
    GRAPH_FORMS,
    GapFactors,
    GraphForm,
    coefficients,
    gap_factors,
    graph_form_of,
)
from tfgmm.scoring.graph.gaps import Joints, expected, with_gaps

SCORE_SPECS: Mapping[Score, tuple[tuple[str, ...], tf.DType]] = {
    "log_prob": ((), tf.float32),
    "log_density": ((), tf.float64),
    "responsibilities": (("K",), tf.float32),
    "memberships": (("K",), tf.float64),
    "assignment": ((), tf.int64),
}


@functools.lru_cache(maxsize=64)
def compiled_score(
    form: FormName,
    score: Score,
    num_features: int,
    weights_shape: tuple[int, ...],
    dtype: str,
    gap_shapes: tuple[tuple[int, ...], ...],
) -> Any:
    """Compiles the score of rows (B, D) as a graph, traced once per shape of mixture and type, for every B."""
    num_columns = num_features + num_products(FORMS[form].write_products, num_features)
    num_mixed = math.prod(weights_shape)
    shapes = [(num_features,), (num_columns, num_mixed), (num_mixed,), (num_mixed,), *gap_shapes]
    signature = [tf.TensorSpec((None, num_features), dtype), *(tf.TensorSpec(shape, tf.float64) for shape in shapes)]

    def of_rows(rows: Tensor, centre: Tensor, *numbers: Tensor) -> Tensor:
        linear, constants, log_weights, *of_form = numbers
        gaps = GapFactors(linear, constants, log_weights, tuple(of_form))
        factors = ScoreFactors(GRAPH_FORMS[form], centre, linear, constants, weights_shape, lambda: gaps)
        return scores(rows, factors, [score])[score]

    return tf.function(of_rows, autograph=False).get_concrete_function(*signature)


class ScoreFactors(NamedTuple):
    """What rows are scored with.

    form: Form of the parameters.
    centre: (D,) float64, data units; what rows are measured from.
    linear, constants: (D + P, M) and (M,) float64, nats; see `densities.coefficients`.
    weights_shape: (K,), or (S, K) for the average of S mixtures.
    gaps: Function that computes what rows with gaps are scored with; None: they have no scores.
    """

    form: GraphForm
    centre: Tensor
    linear: Tensor
    constants: Tensor
    weights_shape: tuple[int, ...]
    gaps: Callable[[], GapFactors] | None = None


def factors_of(mixture: MixtureDensity) -> ScoreFactors:
    """Computes what rows are scored with, as tensors, under one mixture or the average of S."""
    shape, form = tuple(mixture.log_weights.shape), graph_form_of(mixture.covariance)
    linear, constants = coefficients(mixture)
    # What rows with gaps need is computed in their branch
    gaps = functools.partial(gap_factors, mixture, linear, constants)
    return ScoreFactors(form, mixture.centre, linear, constants, shape, gaps)


class GraphScorer:
    """Scores blocks of rows by the operations that an export has; the same as `row_scores.RowScorer`, on a GPU.

    Args:
        mixture: The mixture, or S of them.
        gaps_in_numpy: Whether NumPy scores blocks with gaps where columns are correlated. It factors a matrix for each
            pattern of gaps; a graph does so for each row.
    """

    def __init__(self, mixture: MixtureDensity, *, gaps_in_numpy: bool = False) -> None:
        self.centre = np.asarray(mixture.centre)
        self._gaps_in_numpy = gaps_in_numpy and COVARIANCES[mixture.covariance].is_correlated
        self._mixture, self._form = mixture, COVARIANCES[mixture.covariance].form
        self._numbers = gap_factors(mixture, *coefficients(mixture))

    def scores(self, block: RowBlock, names: Collection[Score]) -> RowScores:
        """Computes scores of rows; see `row_scores.RowScorer.scores`. NumPy scores rows with noise."""
        if block.noise is not None or (self._gaps_in_numpy and not is_finite(block.values)):
            return self._in_numpy.scores(block, names)
        rows = float_values(block)
        *of_all, of_form = self._numbers
        gap_shapes = tuple(tuple(values.shape) for values in of_form)
        sizes = rows.shape[1], tuple(np.shape(self._mixture.log_weights)), rows.dtype.name, gap_shapes
        inputs = tf.constant(rows), self.centre, *of_all, *of_form
        by_name: dict[str, np.ndarray] = {
            name: compiled_score(self._form, name, *sizes)(*inputs).numpy() for name in names
        }
        return RowScores(by_name, max(map(_num_bad, by_name.values()), default=0))

    @functools.cached_property
    def _in_numpy(self) -> RowScorer:
        return RowScorer(self._mixture)


def _num_bad(scores: np.ndarray) -> int:
    is_bad = np.isnan(scores) if scores.dtype.kind == "f" else scores < 0
    return int(is_bad.any(axis=tuple(range(1, is_bad.ndim))).sum())


def scores(rows: Tensor, factors: ScoreFactors, names: Sequence[Score]) -> dict[str, Tensor]:
    """Computes scores of rows (B, D), data units, any float type, chunk after chunk, all from the same log joints."""
    weights_shape = factors.weights_shape
    specs = [
        tf.TensorSpec((None, *(weights_shape[-1] for _ in axes)), dtype)
        for axes, dtype in (SCORE_SPECS[name] for name in names)
    ]

    def of_chunk(chunk: Tensor) -> tuple[Tensor, ...]:
        joints, has_values = joints_of(rounded(chunk, factors.centre), factors)
        if len(weights_shape) == 2:
            joints = tf.reshape(joints, (-1, *weights_shape))
        return tuple(SCORES[name](joints, has_values) for name in names)

    size = threads.chunk_size(sum(factors.linear.shape))
    return {str(name): values for name, values in zip(names, mapped_over_chunks(rows, of_chunk, size, specs))}


def joints_of(centred: Tensor, factors: ScoreFactors) -> Joints:
    """Computes the log joints (B, M) of centred rows (B, D) float64, nats: of the columns that they have."""
    joints = log_joints(factors.form.features(centred), factors.linear, factors.constants)
    return with_gaps(centred, joints, factors.form, factors.gaps)


def imputed(rows: Tensor, mixture: MixtureDensity, factors: ScoreFactors) -> Tensor:
    """Fills the gaps of rows with their means given the other columns, (B, D) in the type of the rows, data units.

    Args:
        rows: (B, D) of any float type, data units; NaN is a gap.
        mixture: One mixture.
        factors: As `factors_of` computes them.

    Values stay as they are. A row without any value gets the mean of the mixture; gaps of a row with an infinite value
    stay NaN.
    """
    gaps = gap_factors(mixture, factors.linear, factors.constants)

    def of_chunk(chunk: Tensor) -> tuple[Tensor]:
        return (expected(rounded(chunk, mixture.centre), mixture, gaps),)

    size = threads.chunk_size(sum(factors.linear.shape))
    (means,) = mapped_over_chunks(rows, of_chunk, size, [tf.TensorSpec((None, rows.shape[1]), tf.float64)])
    return tf.where(tf.math.is_nan(rows), tf.cast(means + mixture.centre, rows.dtype), rows)


def rounded(rows: Tensor, centre: Tensor) -> Tensor:
    """Measures rows (B, D), data units, from the centre in float64, with the rounding of training."""
    return tf.cast(tf.cast(tf.cast(rows, tf.float64) - centre, tf.float32), tf.float64)


# A row with an infinite value has no finite log joint, so the scores below need not look at the rows again.


def log_prob(joints: Tensor, has_values: Tensor) -> Tensor:
    """Computes the log density of each row, nats, (B,) float32, from log joints (B, K) or (B, S, K) float64.

    It is NaN for a row without any value, has_values (B,) False, or with an infinite one. For S mixtures, the log of
    their average density (log-mean-exp), which integrates to 1 as they do.
    """
    num_mixtures = 1 if joints.shape.rank == 2 else joints.shape[1]
    flat = tf.reshape(joints, (-1, num_mixtures * joints.shape[-1]))
    log_densities = normalised(flat)[0] - math.log(num_mixtures)
    limited = tf.cast(tf.maximum(log_densities, tf.float32.min), tf.float32)
    return tf.where(tf.math.is_finite(log_densities) & has_values, limited, np.nan)


def log_density(joints: Tensor, has_values: Tensor) -> Tensor:
    """Computes the log density of each row as `log_prob` does, but in float64, (B,), with all digits however low."""
    num_mixtures = 1 if joints.shape.rank == 2 else joints.shape[1]
    flat = tf.reshape(joints, (-1, num_mixtures * joints.shape[-1]))
    log_densities = tf.reduce_logsumexp(flat, axis=1) - math.log(num_mixtures)
    return tf.where(tf.math.is_finite(log_densities) & has_values, log_densities, tf.constant(np.nan, tf.float64))


def responsibilities(joints: Tensor, has_values: Tensor) -> Tensor:
    """Computes the probability of each component given the row, (B, K) float32, from log joints (B, K)."""
    del has_values  # a row that says nothing has the weights
    return normalised(joints)[1]  # NaN where log joints are not finite


def memberships(joints: Tensor, has_values: Tensor) -> Tensor:
    """Computes the same as `responsibilities` in float64, (B, K), with all digits however small."""
    del has_values
    return tf.nn.softmax(joints, axis=-1)


def assignment(joints: Tensor, has_values: Tensor) -> Tensor:
    """Finds the most probable component, (B,) int64 from log joints (B, K); -1 where there is no log density."""
    is_finite = tf.math.is_finite(tf.reduce_max(joints, axis=-1))
    return tf.where(is_finite & has_values, tf.argmax(joints, axis=-1), tf.constant(-1, tf.int64))


SCORES = {
    "log_prob": log_prob,
    "log_density": log_density,
    "responsibilities": responsibilities,
    "memberships": memberships,
    "assignment": assignment,
}


def tail_probabilities(table: np.ndarray, log_densities: Tensor) -> Tensor:
    """Computes `outliers.tail_probabilities` as operations of a graph: (B,) float32 from (B,) float64."""
    levels, quantiles = (tf.constant(line) for line in table)
    last = tf.constant(table.shape[1] - 1)
    at = tf.clip_by_value(tf.searchsorted(quantiles, log_densities), 1, last)
    low, high = tf.gather(quantiles, at - 1), tf.gather(quantiles, at)
    widths = tf.where(high > low, high - low, tf.ones_like(low))
    parts = tf.clip_by_value((log_densities - low) / widths, 0.0, 1.0)
    shares = tf.gather(levels, at - 1) + parts * (tf.gather(levels, at) - tf.gather(levels, at - 1))
    return tf.cast(tf.where(tf.math.is_nan(log_densities), log_densities, shares), tf.float32)
