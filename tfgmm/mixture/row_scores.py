"""Scores of rows by NumPy, on every core: what models, loaded folders and the command answer with. No TensorFlow.

The same figures as the graph of an export gives; see `graph_scores.scores`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from tfgmm.common.threads import shared_out, slices
from tfgmm.mixture.features import ProductWriter
from tfgmm.mixture.log_joints import ChunkProducts, exponentials


class ScoredChunk(NamedTuple):
    """What scores of B rows are made of.

    log_densities: (B,) float64, nats; a log-mean-exp of S mixtures.
    shares: (K, B) float64, of each component relative to the most probable one; of one mixture.
    norms: (B,) float64, the sums of shares.
    """

    log_densities: np.ndarray
    shares: np.ndarray
    norms: np.ndarray


def score_rows(
    write_products: ProductWriter,
    rows: np.ndarray,
    centre: np.ndarray,
    factors: np.ndarray,
    names: Collection[str],
    weights_shape: tuple[int, ...],
) -> dict[str, np.ndarray]:
    """Returns scores of rows (N, D) by name, one figure, or one line of figures, per row; see `density.score_data`.

    Args:
        write_products: of the component shape; see `tfgmm.mixture.features`.
        rows: of any real type, data units. They are measured from the centre in float64, and then rounded to float32.
        centre: (D,) float64, data units.
        factors: see `log_joints.factors_of`; float64.
        names: keys of `SCORES`.
        weights_shape: (K,), or (S, K) for the average of S mixtures.
    """
    num_mixtures = math.prod(weights_shape[:-1])
    widths = {"responsibilities": weights_shape[-1:]}
    found = {name: np.empty((len(rows), *widths.get(name, ())), SCORES[name].dtype) for name in names}

    def of_share(memory: _Memory, start: int, stop: int) -> None:
        with np.errstate(all="ignore"):  # rows that are not finite have no score
            for part in slices(start, stop, memory.chunks.size):
                columns = memory.columns[:, : part.stop - part.start]
                np.subtract(rows[part].T, centre[:, None], out=columns, dtype=np.float64, casting="same_kind")
                joints = memory.chunks.log_joints(memory.chunks.features(write_products, columns))
                _write_scores(_scored(joints, num_mixtures), {name: scores[part] for name, scores in found.items()})

    def memory(num_rows: int) -> _Memory:
        chunks = ChunkProducts(factors, num_rows)
        return _Memory(chunks, np.empty((len(centre), chunks.size), np.float32))

    for _ in shared_out(of_share, len(rows), sum(factors.shape), memory):
        pass
    return found


class _Memory(NamedTuple):
    """What a thread writes over: chunks of log joints, and centred columns (D, B) float32."""

    chunks: ChunkProducts
    columns: np.ndarray


def _write_scores(chunk: ScoredChunk, found: dict[str, np.ndarray]) -> None:
    """Returns nothing; writes the scores of a chunk into those of its rows, by name."""
    is_bad = ~np.isfinite(chunk.log_densities)  # a feature that is not finite leaves no log joint finite
    for name, scores in found.items():
        scores[...] = SCORES[name].of_chunk(chunk)
        scores[is_bad] = SCORES[name].missing


def _scored(log_joints: np.ndarray, num_mixtures: int) -> ScoredChunk:
    """Returns a chunk from its log joints (S K, B), nats, which it writes over."""
    (largest,), (norms,) = exponentials(log_joints[None])
    return ScoredChunk(largest + np.log(norms) - math.log(num_mixtures), log_joints, norms)


class _Score(NamedTuple):
    """How a score is made of a chunk, its type, and what a row that is not finite gets."""

    of_chunk: Callable[[ScoredChunk], np.ndarray]
    dtype: type[np.generic]
    missing: float


SCORES = {
    "log_prob": _Score(lambda chunk: np.maximum(chunk.log_densities, np.finfo(np.float32).min), np.float32, np.nan),
    "log_density": _Score(lambda chunk: chunk.log_densities, np.float64, np.nan),
    "responsibilities": _Score(lambda chunk: (chunk.shares / chunk.norms).T, np.float32, np.nan),
    "assignment": _Score(lambda chunk: chunk.shares.argmax(axis=0), np.int64, -1),
}
