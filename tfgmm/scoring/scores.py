"""A mixture at known parameters: densities, memberships and samples. Model, export and scorer share it.

Rows are scored in chunks, so that no N x K array exists unless responsibilities are asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.data.readers import Rows
from tfgmm.data.sources import check_ends, open_source
from tfgmm.data.summary import centre as centre_rows
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture import outliers, stored_draws
from tfgmm.mixture.log_joints import coefficients_of, factors_of
from tfgmm.mixture.row_scores import score_rows
from tfgmm.posterior.draws import Draws
from tfgmm.scoring.devices import has_gpu
from tfgmm.scoring.graph.scores import Score, compiled_score

Tensor = Any

# Numbers scored at a time; fewer, and cores wait for each other where a block ends.
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
    components = {"locs": density.components["locs"] + values[stored_draws.LOCS]}
    if stored_draws.PRECISIONS in values:
        components["precisions"] = density.components["precisions"] * values[stored_draws.PRECISIONS]
    else:
        triangles = tf.pad(values[stored_draws.WHITENERS], [[0, 0], [0, 0], [1, 0]])
        places = stored_draws.triangle_places(len(density.centre))
        components["whiteners"] = tf.gather(triangles, places, axis=-1) @ density.components["whiteners"]
    return density._replace(log_weights=values[stored_draws.LOG_WEIGHTS], components=components)


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
    density: MixtureDensity,
    data: Any,
    score: Score,
    column_names: tuple[str, ...] | None = None,
    by_graph: bool | None = None,
) -> np.ndarray:
    """Returns one figure, or one line of figures, per row.

    Args:
        density: the mixture.
        data: N rows of any kind that `open_source` takes, data units.
        score: "log_prob" (N,) float32 nats, "log_density" the same in float64, "responsibilities" (N, K) float32 or
            "assignment" (N,) int64.
        column_names: names of the training columns: columns with names are put in that order.
        by_graph: whether by the operations that an export has, in TensorFlow; default where there is a GPU.

    Rows with a NaN or infinite value get NaN (assignment -1); their neighbours are untouched. Rows are rounded to
    float32 once centred; the products are in float64: exact to 1e-6 nats for components down to 1e-4 of the range of
    the rows (to 1e-3 nats down to 1e-6 of it), at any offset. A log density below -3.4e38 is held there.

    Raises:
        ValueError: the wrong columns, or a finite value beyond float32 (3.4e38) once centred.
    """
    (found,) = mapped_over_data(density, data, _scorer(density, score, by_graph), column_names)
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
    check_ends(source, None, "Use .take(n) to score its first n batches.")
    no_rows = np.zeros((0, len(density.centre)))
    blocks = itertools.chain([no_rows], (block.values for block in source.blocks()))
    return _joined([function(block) for block in blocks])


def _joined(blocks: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    return blocks[0] if len(blocks) == 1 else tuple(np.concatenate(pieces) for pieces in zip(*blocks))


def _scorer(density: MixtureDensity, score: Score, by_graph: bool | None) -> Callable[[np.ndarray], tuple[np.ndarray]]:
    """Returns the function from rows (n, D), data units, to their scores."""
    of_block = (_graph_scorer if by_graph or (by_graph is None and has_gpu()) else _numpy_scorer)(density, score)

    def checked(rows: np.ndarray) -> tuple[np.ndarray]:
        found = of_block(rows)
        if (np.isnan(found) if found.dtype.kind == "f" else found < 0).any():
            centre_rows(rows, density.centre)  # refuses a finite value that is infinite in float32, and says where
        return (found,)

    return checked


def _numpy_scorer(density: MixtureDensity, score: Score) -> Callable[[np.ndarray], np.ndarray]:
    write, shape = COMPONENTS[density.covariance].write_products, tuple(density.log_weights.shape)
    factors = factors_of(coefficients_of(density.log_weights, density.components))
    return lambda rows: score_rows(write, rows, density.centre, factors, [score], shape)[score]


def _graph_scorer(density: MixtureDensity, score: Score) -> Callable[[np.ndarray], np.ndarray]:
    factors, shape = coefficients(density), tuple(density.log_weights.shape)

    def of_block(rows: np.ndarray) -> np.ndarray:
        values = rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float64)
        score_values = compiled_score(density.covariance, score, len(density.centre), shape, values.dtype.name)
        return score_values(tf.constant(values), density.centre, *factors).numpy()

    return of_block


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
