"""Scores of rows by NumPy, on every core: what a model and a loaded folder answer with, wherever there is no GPU.

The same figures as the graph of an export gives; see `density.scores`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tfgmm.cores import shared_out, slices
from tfgmm.log_joints import ChunkProducts, exponentials, factors_of

Tensor = Any


class ScoredChunk(NamedTuple):
    """Log joints of one chunk of rows.

    log_joints: (S K, B) float64, nats; may be written over.
    shares: (S K, B) float32, room for what is to be made of them.
    weights_shape: (K,), or (S, K).
    """

    log_joints: np.ndarray
    shares: np.ndarray
    weights_shape: tuple[int, ...]

    @property
    def num_mixtures(self) -> int:
        """S, 1 of a single mixture."""
        return math.prod(self.weights_shape[:-1])


def score_rows(
    components: Any,
    rows: np.ndarray,
    centre: np.ndarray,
    coefficients: tuple[Tensor, Tensor],
    score: str,
    weights_shape: tuple[int, ...],
) -> np.ndarray:
    """Returns the score of rows (N, D), one figure, or one line of figures, per row; see `density.score_data`.

    Args:
        components: a class of `tfgmm.components`.
        rows: of any real type, data units. They are measured from the centre in float64, and then rounded to float32.
        centre: (D,) float64, data units.
        coefficients: see `density.coefficients`.
        score: a key of `SCORES`.
        weights_shape: (K,), or (S, K) for the average of S mixtures.
    """
    of_chunk, dtype, missing = SCORES[score]
    factors = factors_of(coefficients)
    width = (weights_shape[-1],) if score == "responsibilities" else ()
    found = np.empty((len(rows), *width), dtype)

    def of_share(start: int, stop: int) -> None:
        chunks = ChunkProducts(factors, stop - start)
        centred = np.empty((len(centre), chunks.size), np.float32)
        with np.errstate(all="ignore"):  # rows that are not finite have no score
            for part in slices(start, stop, chunks.size):
                columns = centred[:, : part.stop - part.start]
                np.subtract(rows[part].T, centre[:, None], out=columns, dtype=np.float64, casting="same_kind")
                joints, shares = chunks.log_joints(chunks.features(components, columns))
                found[part] = of_chunk(ScoredChunk(joints, shares, weights_shape))
                found[part][~np.isfinite(columns).all(axis=0)] = missing

    shared_out(of_share, len(rows), sum(factors.shape))
    return found


def log_prob(chunk: ScoredChunk) -> np.ndarray:
    """Returns the log density of each row, nats, (B,), held at the lowest float32; a log-mean-exp of S mixtures."""
    largest, totals = exponentials(chunk.log_joints[None], chunk.shares[None])
    log_densities = largest[0] + np.log(totals[0])
    return np.maximum(log_densities - math.log(chunk.num_mixtures), np.finfo(np.float32).min)


def log_density(chunk: ScoredChunk) -> np.ndarray:
    """Returns the log density of each row, nats, (B,), all digits kept, however low; a log-mean-exp of S mixtures."""
    largest = chunk.log_joints.max(axis=0)
    exponents = np.subtract(chunk.log_joints, largest, out=chunk.log_joints)
    return largest + np.log(np.exp(exponents, out=exponents).sum(axis=0)) - math.log(chunk.num_mixtures)


def responsibilities(chunk: ScoredChunk) -> np.ndarray:
    """Returns the probability of each component given the row, (B, K), of one mixture."""
    _, totals = exponentials(chunk.log_joints[None], chunk.shares[None])
    return np.divide(chunk.shares, totals, out=chunk.shares).T


def assignment(chunk: ScoredChunk) -> np.ndarray:
    """Returns the most probable component, (B,), of one mixture."""
    return chunk.log_joints.argmax(axis=0)


# What is made of a chunk, its type, and what rows that are not finite get
SCORES: dict[str, tuple[Callable[[ScoredChunk], np.ndarray], type[np.generic], float]] = {
    "log_prob": (log_prob, np.float32, np.nan),
    "log_density": (log_density, np.float64, np.nan),
    "responsibilities": (responsibilities, np.float32, np.nan),
    "assignment": (assignment, np.int64, -1),
}
