"""Log joints, memberships and sums over rows, chunk by chunk, as a graph: for GPUs and exports.

`mixture.row_sums` and `mixture.row_scores` do the same in NumPy, which takes half of the time on a processor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common import threads
from tfgmm.common.shapes import Tensor
from tfgmm.data.blocks import RowBlock
from tfgmm.mixture.features import num_products
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.registry import FormName
from tfgmm.mixture.statistics import RowSums, Statistics
from tfgmm.scoring.graph.densities import GRAPH_FORMS

Features = Callable[[Tensor], list[Tensor]]

# Two chunks at a time: one product leaves a core idle at its ends, the next one fills it.
_CHUNKS_AT_A_TIME = 2


class Answers(NamedTuple):
    """What is asked about rows: arrays by name, with one entry per row, and the same for every row."""

    per_row: dict[str, Any]
    once: dict[str, Any]


def float_values(block: RowBlock) -> np.ndarray:
    """Reads the rows of a block, (B, D), data units: float32 as they are, any other type as float64."""
    return block.values if block.values.dtype in (np.float32, np.float64) else block.values.astype(np.float64)


def log_joints(features: Sequence[Tensor], coefficients: Tensor, constants: Tensor) -> Tensor:
    """Computes features @ coefficients + constants, (B, M), in the type of the features.

    Args:
        features: Pieces (B, ...) side by side, D + P columns in all; see `GraphForm.features`.
        coefficients: (D + P, M), of the same type.
        constants: (M,), of the same type.
    """
    parts = tf.split(coefficients, [piece.shape[1] for piece in features])
    return tf.add_n([tf.matmul(piece, part) for piece, part in zip(features, parts)]) + constants


def normalised(log_joints: Tensor) -> tuple[Tensor, Tensor]:
    """Computes logsumexp_k, (B,) float64, and softmax_k, (B, K) float32, of log joints (B, K) of any float type.

    The largest is subtracted before the rest becomes float32: what is lost is below 1e-7 nats.
    """
    largest = tf.reduce_max(log_joints, axis=1, keepdims=True)
    shares = tf.exp(tf.cast(log_joints - largest, tf.float32))
    totals = tf.reduce_sum(shares, axis=1, keepdims=True)
    return (tf.cast(largest, tf.float64) + tf.cast(tf.math.log(totals), tf.float64))[:, 0], shares / totals


@functools.lru_cache(maxsize=64)
def compiled_sums(form: FormName, num_features: int, num_components: int) -> Any:
    """Compiles `sums_over_rows` as a graph, traced once per shape of mixture, for every number of rows."""
    num_columns = num_features + num_products(FORMS[form].write_products, num_features)
    signature = [
        tf.TensorSpec((None, num_features), tf.float32),
        tf.TensorSpec((num_columns, num_components), tf.float64),
        tf.TensorSpec((num_components,), tf.float64),
    ]
    of_rows = functools.partial(sums_over_rows, GRAPH_FORMS[form].features)
    return tf.function(of_rows, autograph=False).get_concrete_function(*signature)


def sums_over_rows(features: Features, rows: Tensor, coefficients: Tensor, constants: Tensor) -> RowSums:
    """Sums the expected sufficient statistics of rows (B, D), and logsumexp_k and max_k of their log joints.

    Rows go through in chunks: two matrix products per piece of features, and no array of size B x K.

    Args:
        features: Function that computes the features of centred rows; see `GraphForm.features`.
        rows: (B, D) float32, measured from the centre.
        coefficients, constants: (D + P, K) and (K,) float64, nats.

    Products are float64, and err by 1e-3 nats at most for components down to 1e-6 of the range of the rows.
    """
    num_features = rows.shape[1]

    def of_chunk(chunk: Tensor, is_row: Tensor) -> tuple[Tensor, ...]:
        pieces = features(tf.cast(chunk, tf.float64))
        joints = log_joints(pieces, coefficients, constants)
        log_likelihoods, shares = normalised(joints)
        weights = tf.cast(shares, tf.float64)
        # What is no row is zeros, and adds nothing here
        sums = tf.concat([tf.matmul(weights, piece, transpose_a=True) for piece in pieces], axis=1)
        largest = tf.reduce_max(joints, axis=1)  # `normalised` needs it anyway
        totals = (tf.reduce_sum(tf.where(is_row, values, 0.0)) for values in (log_likelihoods, largest))
        return tf.linalg.matvec(weights, tf.cast(is_row, tf.float64), transpose_a=True), sums, *totals

    num_columns, num_components = coefficients.shape
    zeros: tuple[Tensor, ...] = (
        tf.zeros(num_components, tf.float64),
        tf.zeros((num_components, num_columns), tf.float64),
    )
    size = threads.chunk_size(num_columns + num_components)
    zeros += (tf.zeros((), tf.float64),) * 2
    counts, sums, log_likelihood, largest = summed_over_chunks(rows, of_chunk, zeros, size)
    return RowSums(Statistics(counts, sums[:, :num_features], sums[:, num_features:]), log_likelihood, largest)


def summed_over_chunks(
    rows: Tensor, function: Callable[[Tensor, Tensor], tuple[Tensor, ...]], zeros: tuple[Tensor, ...], size: int
) -> tuple[Tensor, ...]:
    """Sums the tensors that `function` computes over chunks of at most `size` rows; gives `zeros` without rows.

    Args:
        rows: (B, D).
        function: Function of a chunk (n, D), and of what in it is a row, (n,) bool; the rest is zeros.
        zeros: Sums to begin with.
        size: Most rows of a chunk.
    """
    # As many chunks as go at a time, or a multiple, all of one size: a last small one would leave a core idle
    num_rounds = (tf.shape(rows)[0] + _CHUNKS_AT_A_TIME * size - 1) // (_CHUNKS_AT_A_TIME * size)
    num_chunks = tf.maximum(1, _CHUNKS_AT_A_TIME * num_rounds)
    chunks = _chunks_of_one_length(rows, num_chunks)
    even = tf.shape(chunks)[1]

    def add(index: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
        is_row = index * even + tf.range(even) < tf.shape(rows)[0]
        added = function(chunks[index], is_row)
        return index + 1, *(total + value for total, value in zip(sums, added))

    start = tf.constant(0)
    at_a_time = _CHUNKS_AT_A_TIME
    return tf.while_loop(lambda index, *_: index < num_chunks, add, (start, *zeros), parallel_iterations=at_a_time)[1:]


def _chunks_of_one_length(rows: Tensor, num_chunks: Tensor) -> Tensor:
    """Cuts rows (B, D) into chunks (num_chunks, n, D), the last ones with rows of zeros at their end.

    XLA knows lengths when it compiles only. Of rows that are sliced to a length of their own in a loop, its compiler
    for processors makes products that write beyond their memory, and sums with rows too many.
    """
    even = (tf.shape(rows)[0] + num_chunks - 1) // num_chunks
    padded = tf.pad(rows, [[0, num_chunks * even - tf.shape(rows)[0]], [0, 0]])
    return tf.reshape(padded, (num_chunks, even, rows.shape[1]))


def mapped_over_chunks(
    rows: Tensor,
    function: Callable[[Tensor], tuple[Tensor, ...]],
    size: int,
    specs: Sequence[tf.TensorSpec],
    num_needed: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Stacks the tensors that `function` computes for chunks of at most `size` rows.

    Args:
        rows: (B, D).
        function: Function of a chunk.
        size: Most rows of a chunk.
        specs: What it gives for one.
        num_needed: Number of rows, the first ones, that need it; what is given for others may be anything.
    """
    num_rows = tf.shape(rows)[0]
    num_chunks = tf.maximum(1, (num_rows + size - 1) // size)
    chunks = _chunks_of_one_length(rows, num_chunks)
    num_worked_on = num_chunks
    if num_needed is not None:
        even = tf.maximum(1, tf.shape(chunks)[1])
        num_worked_on = tf.maximum(1, (num_needed + even - 1) // even)  # the first one says how large all are
    pieces = [tf.TensorArray(s.dtype, num_chunks, element_shape=s.shape) for s in specs]

    def write(index: Tensor, pieces: Sequence[Any]) -> tuple[Tensor, list[Any]]:
        tensors = function(chunks[index])
        return index + 1, [array.write(index, values) for array, values in zip(pieces, tensors)]

    start = (tf.constant(0), pieces)
    pieces = tf.while_loop(lambda index, _: index < num_worked_on, write, start, parallel_iterations=_CHUNKS_AT_A_TIME)[
        1
    ]
    return tuple(tf.reshape(array.stack(), (-1, *spec.shape[1:]))[:num_rows] for array, spec in zip(pieces, specs))
