"""A mixture at known parameters: densities, memberships and samples. Model, export and scorer share it.

Rows are scored in chunks, so that no N x K array exists unless responsibilities are asked for.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm import bounds
from tfgmm.components import COMPONENTS
from tfgmm.data import check_ends, open_source
from tfgmm.readers import Rows
from tfgmm.summary import centre as centre_rows

Tensor = Any
Score = Literal["log_prob", "responsibilities", "assignment"]

# Numbers in the largest temporary, (chunk, K, D): more spills out of the processor's cache.
_CHUNK_NUMBERS = 2**22


class MixtureDensity(NamedTuple):
    """The parameters of a mixture density. Leading axes (S, 1) on weights and components average S mixtures.

    Args:
        covariance: name of the component shape, a key of `COMPONENTS`.
        centre: (D,) float64, data units; what component locations are measured from.
        log_weights: (..., K) float64.
        components: the parameters of the component shape by name, (..., K, D) float64.
    """

    covariance: str
    centre: np.ndarray
    log_weights: np.ndarray
    components: Mapping[str, np.ndarray]


def score_data(
    density: MixtureDensity, data: Any, score: Score, column_names: tuple[str, ...] | None = None
) -> np.ndarray:
    """Returns one figure, or one line of figures, per row.

    Args:
        density: the mixture.
        data: N rows of any kind that `open_source` takes, data units.
        score: "log_prob" (N,) float32 nats, "responsibilities" (N, K) float32 or "assignment" (N,) int64.
        column_names: names of the training columns: columns with names are put in that order.

    Rows with a NaN or infinite value get NaN (assignment -1); their neighbours are untouched. More than 1e17 standard
    deviations from every component, all of them are equally far: memberships there say nothing.

    Raises:
        ValueError: the wrong columns, or a finite value beyond float32 (3.4e38) once centred.
    """
    source = open_source(data, "x", len(density.centre), column_names, allow_empty=True)
    if isinstance(source, Rows):
        return _score_array(density, source.values, score)
    check_ends(source, "x", None, "Use .take(n) to score its first n batches.")
    no_rows = np.zeros((0, len(density.centre)))
    blocks = itertools.chain([no_rows], source.as_numpy_iterator())
    return np.concatenate([_score_array(density, np.asarray(block), score) for block in blocks])


def _score_array(density: MixtureDensity, rows: np.ndarray, score: Score) -> np.ndarray:
    score_batch = _compiled_score(density.covariance, score, len(density.centre), np.shape(density.log_weights))
    chunk = chunk_size(density)
    batches = (centre_rows(rows[start : start + chunk], density.centre) for start in range(0, max(len(rows), 1), chunk))
    return np.concatenate([score_batch(batch, density.log_weights, dict(density.components)) for batch in batches])


def chunk_size(density: MixtureDensity) -> int:
    """Returns the number of rows to score at a time."""
    numbers_per_row = np.size(density.log_weights) * len(density.centre)
    return int(np.clip(_CHUNK_NUMBERS // numbers_per_row, 64, 65_536))


@functools.lru_cache(maxsize=64)
def _compiled_score(covariance: str, score: Score, num_features: int, weights_shape: tuple[int, ...]) -> Any:
    """Returns the score of centred rows (B, D) as a graph, traced once per shape of mixture and for every B."""
    components = COMPONENTS[covariance]
    shapes = components.parameter_shapes(weights_shape[-1], num_features)
    signature = [
        tf.TensorSpec((None, num_features), tf.float32),
        tf.TensorSpec(weights_shape, tf.float64),
        {name: tf.TensorSpec((*weights_shape[:-1], *shape), tf.float64) for name, shape in shapes.items()},
    ]

    @tf.function(input_signature=signature, autograph=False)
    def score_batch(rows: Tensor, log_weights: Tensor, parameters: dict[str, Tensor]) -> Tensor:
        point = components.point(parameters)
        return SCORES[score](rows, bounds.log_joint(components, rows, tf.cast(log_weights, tf.float32), point))

    return score_batch


def log_prob(rows: Tensor, log_joints: Tensor) -> Tensor:
    """Returns the log density of each row, nats, (B,), from log joints (B, K) or (S, B, K).

    With S mixtures it is the log of their average density (log-mean-exp), which integrates to 1 as they do.
    """
    log_densities = tf.reduce_logsumexp(log_joints, axis=-1)
    if log_densities.shape.rank == 2:
        num_draws = tf.cast(tf.shape(log_densities)[0], log_densities.dtype)
        log_densities = tf.reduce_logsumexp(log_densities, axis=0) - tf.math.log(num_draws)
    return tf.where(_is_finite(rows), log_densities, np.nan)


def responsibilities(rows: Tensor, log_joints: Tensor) -> Tensor:
    """Returns the probability of each component given the row, (B, K) from log joints (B, K); rows sum to 1."""
    return tf.where(_is_finite(rows)[:, None], tf.nn.softmax(log_joints, axis=-1), np.nan)


def assignment(rows: Tensor, log_joints: Tensor) -> Tensor:
    """Returns the most probable component, (B,) int64 from log joints (B, K); -1 for rows that are not finite."""
    return tf.where(_is_finite(rows), tf.argmax(log_joints, axis=-1), tf.constant(-1, tf.int64))


SCORES = {"log_prob": log_prob, "responsibilities": responsibilities, "assignment": assignment}


def sample_rows(density: MixtureDensity, num_samples: Tensor, seed: Tensor) -> Tensor:
    """Returns rows drawn from the mixture, (num_samples, D) float64, data units; a pure function of the seed.

    Args:
        density: one mixture (no leading axes).
        num_samples: scalar int.
        seed: (2,) int.
    """
    assignment_seed, noise_seed = tf.unstack(tf.random.split(seed, 2))
    log_weights = tf.cast(density.log_weights, tf.float32)[None, :]
    drawn = tf.random.stateless_categorical(log_weights, tf.cast(num_samples, tf.int32), assignment_seed)[0]
    return density.centre + COMPONENTS[density.covariance].sample(density.components, drawn, noise_seed)


def _is_finite(rows: Tensor) -> Tensor:
    return tf.reduce_all(tf.math.is_finite(rows), axis=-1)
