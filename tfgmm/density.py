"""A mixture at known parameters: densities, memberships and samples. Model, export and scorer share it.

Rows are scored in chunks, so that no N x K array exists unless responsibilities are asked for.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm import bounds, cores, outliers, posterior_draws
from tfgmm.components import COMPONENTS
from tfgmm.data import check_ends, open_source
from tfgmm.devices import has_gpu
from tfgmm.draws import Draws
from tfgmm.features import num_products
from tfgmm.files import StoredRows
from tfgmm.readers import Rows
from tfgmm.row_scores import score_rows
from tfgmm.summary import centre as centre_rows

Tensor = Any
Score = Literal["log_prob", "log_density", "responsibilities", "assignment"]

# Numbers handed to the compiled function at a time; it works through their rows in chunks that fit the processor's
# cache, and every end of a block leaves a core idle.
_BLOCK_VALUES = 2**22


class MixtureDensity(NamedTuple):
    """The parameters of a mixture density. A leading axis S on weights and components averages S mixtures.

    Args:
        covariance: name of the component shape, a key of `COMPONENTS`.
        centre: (D,) float64, data units; what component locations are measured from.
        log_weights: (K,) or (S, K) float64.
        components: the parameters of the component shape by name, float64, leading axes as `log_weights`.
    """

    covariance: str
    centre: np.ndarray
    log_weights: np.ndarray
    components: Mapping[str, np.ndarray]


def coefficients(density: MixtureDensity) -> tuple[Tensor, Tensor]:
    """Returns (P, M) and (M,) float64, M = K or S K: log joints = features @ the first + the second, nats."""
    shape = density.log_weights.shape
    parameters = density.components
    if len(shape) == 2:  # S mixtures side by side; what is tied stands once in the parameters
        whole = {name: tf.broadcast_to(value, (*shape, *value.shape[2:])) for name, value in parameters.items()}
        parameters = {name: tf.reshape(value, (-1, *value.shape[2:])) for name, value in whole.items()}
    linear, constants = COMPONENTS[density.covariance].coefficients(parameters)
    return linear, constants + tf.reshape(density.log_weights, [-1])


def of_draws(density: MixtureDensity, drawn: Mapping[str, Any]) -> MixtureDensity:
    """Returns the S mixtures that `posterior_draws.kept` keeps, as tensors, from the mixture at the posterior means."""
    values = {name: tf.cast(value, tf.float64) for name, value in drawn.items()}
    components = {"locs": density.components["locs"] + values[posterior_draws.LOCS]}
    if posterior_draws.PRECISIONS in values:
        components["precisions"] = density.components["precisions"] * values[posterior_draws.PRECISIONS]
    else:
        triangles = tf.pad(values[posterior_draws.WHITENERS], [[0, 0], [0, 0], [1, 0]])
        places = posterior_draws.triangle_places(len(density.centre))
        components["whiteners"] = tf.gather(triangles, places, axis=-1) @ density.components["whiteners"]
    return density._replace(log_weights=values[posterior_draws.LOG_WEIGHTS], components=components)


def as_draws(density: MixtureDensity, column_names: tuple[str, ...] | None = None) -> Draws:
    """Returns one mixture, or S of them, as draws of a single chain, data units."""
    scales, covariances = COMPONENTS[density.covariance].covariances(density.components)
    locs = np.asarray(density.components["locs"]) + density.centre
    axes = (1,) * (3 - np.ndim(density.log_weights))  # in front: of chains, and of draws where there is one only

    def chain(values: np.ndarray) -> np.ndarray:
        return values.reshape(*axes, *values.shape)

    return Draws(
        weights=chain(np.exp(density.log_weights)),
        locs=chain(locs),
        scales=chain(np.broadcast_to(scales, locs.shape)),  # tied ones stand there for each component
        covariances=None if covariances is None else chain(covariances),
        column_names=column_names,
    )


def score_data(
    density: MixtureDensity, data: Any, score: Score, column_names: tuple[str, ...] | None = None
) -> np.ndarray:
    """Returns one figure, or one line of figures, per row.

    Args:
        density: the mixture.
        data: N rows of any kind that `open_source` takes, data units.
        score: "log_prob" (N,) float32 nats, "log_density" the same in float64, "responsibilities" (N, K) float32 or
            "assignment" (N,) int64.
        column_names: names of the training columns: columns with names are put in that order.

    Rows with a NaN or infinite value get NaN (assignment -1); their neighbours are untouched. Rows are rounded to
    float32 once centred; the products are in float64: exact to 1e-6 nats for components down to 1e-4 of the range of
    the rows (to 1e-3 nats down to 1e-6 of it), at any offset. A log density below -3.4e38 is held there.

    Raises:
        ValueError: the wrong columns, or a finite value beyond float32 (3.4e38) once centred.
    """
    (found,) = mapped_over_data(density, data, _scorer(density, score), column_names)
    return found


def mapped_over_data(
    density: MixtureDensity,
    data: Any,
    function: Callable[[np.ndarray], tuple[np.ndarray, ...]],
    column_names: tuple[str, ...] | None,
) -> tuple[np.ndarray, ...]:
    """Returns what `function` gives for blocks of rows (n, D), data units, one below the other.

    Args: as `score_data`.
    """
    source = open_source(data, "x", len(density.centre), column_names, allow_empty=True)
    if isinstance(source, Rows):
        size = max(1, _BLOCK_VALUES // len(density.centre))
        starts = range(0, max(len(source.values), 1), size)
        return _joined([function(source.values[start : start + size]) for start in starts])
    check_ends(source, "x", None, "Use .take(n) to score its first n batches.")
    no_rows = np.zeros((0, len(density.centre)))
    blocks = source.blocks() if isinstance(source, StoredRows) else source.as_numpy_iterator()
    return _joined([function(np.asarray(block)) for block in itertools.chain([no_rows], blocks)])


def _joined(blocks: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    return blocks[0] if len(blocks) == 1 else tuple(np.concatenate(pieces) for pieces in zip(*blocks))


def _scorer(density: MixtureDensity, score: Score) -> Callable[[np.ndarray], tuple[np.ndarray]]:
    """Returns the function from rows (n, D), data units, to their scores."""
    factors, shape = coefficients(density), tuple(density.log_weights.shape)

    def score_block(rows: np.ndarray) -> tuple[np.ndarray]:
        if has_gpu():
            values = rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float64)
            score_values = _compiled_score(density.covariance, score, len(density.centre), shape, values.dtype.name)
            found = score_values(tf.constant(values), density.centre, *factors).numpy()
        else:
            write = COMPONENTS[density.covariance].write_products
            found = score_rows(write, rows, density.centre, factors, [score], shape)[score]
        if (np.isnan(found) if found.dtype.kind == "f" else found < 0).any():
            centre_rows(rows, density.centre)  # refuses a finite value that is infinite in float32, and says where
        return (found,)

    return score_block


@functools.lru_cache(maxsize=64)
def _compiled_score(
    covariance: str, score: Score, num_features: int, weights_shape: tuple[int, ...], dtype: str
) -> Any:
    """Returns the score of rows (B, D) as a graph, traced once per shape of mixture and type, for every B."""
    components = COMPONENTS[covariance]
    num_columns = num_features + num_products(components.write_products, num_features)
    num_mixed = math.prod(weights_shape)
    signature = [
        tf.TensorSpec((None, num_features), dtype),
        tf.TensorSpec((num_features,), tf.float64),
        tf.TensorSpec((num_columns, num_mixed), tf.float64),
        tf.TensorSpec((num_mixed,), tf.float64),
    ]

    def of_rows(rows: Tensor, centre: Tensor, linear: Tensor, constants: Tensor) -> Tensor:
        return scores(components, rows, centre, linear, constants, score, weights_shape)

    return tf.function(of_rows, autograph=False).get_concrete_function(*signature)


def scores(
    components: Any,
    rows: Tensor,
    centre: Tensor,
    linear: Tensor,
    constants: Tensor,
    score: Score,
    weights_shape: tuple[int, ...],
) -> Tensor:
    """Returns the score of rows (B, D), data units, any float type, chunk after chunk.

    Args:
        components: a class of `tfgmm.components`.
        centre: (D,) float64, data units.
        linear, constants: see `coefficients`.
        score: which; see `score_data`.
        weights_shape: (K,), or (S, K) for the average of S mixtures.
    """
    num_components = weights_shape[-1]
    spec = {
        "log_prob": tf.TensorSpec((None,), tf.float32),
        "log_density": tf.TensorSpec((None,), tf.float64),
        "responsibilities": tf.TensorSpec((None, num_components), tf.float32),
        "assignment": tf.TensorSpec((None,), tf.int64),
    }[score]

    def of_chunk(chunk: Tensor) -> tuple[Tensor]:
        log_joints = bounds.log_joints(components.features(rounded(chunk, centre)), linear, constants)
        if len(weights_shape) == 2:
            log_joints = tf.reshape(log_joints, (-1, *weights_shape))
        return (SCORES[score](log_joints),)

    (found,) = bounds.mapped_over_chunks(rows, of_chunk, cores.chunk_size(sum(linear.shape)), [spec])
    return found


def rounded(rows: Tensor, centre: Tensor) -> Tensor:
    """Returns rows (B, D), data units, measured from the centre in float64, with the rounding of training."""
    return tf.cast(tf.cast(tf.cast(rows, tf.float64) - centre, tf.float32), tf.float64)


# A feature of a row that is not finite leaves no log joint finite: so the scores below need not look at the rows again.


def log_prob(log_joints: Tensor) -> Tensor:
    """Returns the log density of each row, nats, (B,) float32, from log joints (B, K) or (B, S, K) float64.

    With S mixtures it is the log of their average density (log-mean-exp), which integrates to 1 as they do.
    """
    num_mixtures = 1 if log_joints.shape.rank == 2 else log_joints.shape[1]
    flat = tf.reshape(log_joints, (-1, num_mixtures * log_joints.shape[-1]))
    log_densities = bounds.normalised(flat)[0] - math.log(num_mixtures)
    held = tf.cast(tf.maximum(log_densities, tf.float32.min), tf.float32)
    return tf.where(tf.math.is_finite(log_densities), held, np.nan)


def log_density(log_joints: Tensor) -> Tensor:
    """Returns the log density of each row as `log_prob` does, but (B,) float64, all digits kept, however low."""
    num_mixtures = 1 if log_joints.shape.rank == 2 else log_joints.shape[1]
    flat = tf.reshape(log_joints, (-1, num_mixtures * log_joints.shape[-1]))
    log_densities = tf.reduce_logsumexp(flat, axis=1) - math.log(num_mixtures)
    return tf.where(tf.math.is_finite(log_densities), log_densities, tf.constant(np.nan, tf.float64))


def responsibilities(log_joints: Tensor) -> Tensor:
    """Returns the probability of each component given the row, (B, K) float32, from log joints (B, K)."""
    return bounds.normalised(log_joints)[1]  # NaN where log joints are not finite


def assignment(log_joints: Tensor) -> Tensor:
    """Returns the most probable component, (B,) int64 from log joints (B, K); -1 for rows that are not finite."""
    is_finite = tf.math.is_finite(log_joints[:, 0])
    return tf.where(is_finite, tf.argmax(log_joints, axis=-1), tf.constant(-1, tf.int64))


SCORES = {
    "log_prob": log_prob,
    "log_density": log_density,
    "responsibilities": responsibilities,
    "assignment": assignment,
}


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


def outlier_table(density: MixtureDensity) -> np.ndarray:
    """Returns the quantiles of the log density over 100,000 rows that the mixture draws; see `outliers.table_of`.

    The rows go through what rows to be scored go through, and are drawn around 0, where float64 holds them best.
    """
    around_zero = density._replace(centre=np.zeros_like(density.centre))
    size = max(1, _BLOCK_VALUES // len(density.centre))
    blocks = []
    for index, start in enumerate(range(0, outliers.NUM_SAMPLES, size)):
        seed = tf.constant([outliers.SEED, index], tf.int64)
        rows = sample_rows(around_zero, tf.constant(min(size, outliers.NUM_SAMPLES - start)), seed)
        blocks.append(score_data(around_zero, rows.numpy(), "log_density"))
    return outliers.table_of(np.concatenate(blocks))


def tail_probabilities(table: np.ndarray, log_densities: Tensor) -> Tensor:
    """Returns `outliers.tail_probabilities` as operations of a graph: (B,) float32 from (B,) float64."""
    levels, quantiles = (tf.constant(line) for line in table)
    last = tf.constant(table.shape[1] - 1)
    at = tf.clip_by_value(tf.searchsorted(quantiles, log_densities), 1, last)
    low, high = tf.gather(quantiles, at - 1), tf.gather(quantiles, at)
    widths = tf.where(high > low, high - low, tf.ones_like(low))
    parts = tf.clip_by_value((log_densities - low) / widths, 0.0, 1.0)
    shares = tf.gather(levels, at - 1) + parts * (tf.gather(levels, at) - tf.gather(levels, at - 1))
    return tf.cast(tf.where(tf.math.is_nan(log_densities), log_densities, shares), tf.float32)
