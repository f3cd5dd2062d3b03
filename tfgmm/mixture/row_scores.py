"""Scores of rows by NumPy, on every core: used by models, loaded exports and the command line.

They are the same figures that the graph of an export computes; see `tfgmm.scoring.graph.scores`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from tfgmm.common.threads import shared_out
from tfgmm.mixture.log_joints import ChunkProducts, exponentials, factors_of
from tfgmm.mixture.parameters import MixtureDensity, coefficients_of

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock


class ScoredChunk(NamedTuple):
    """What scores of B rows are computed from.

    log_densities: (B,) float64, nats; a log-mean-exp of S mixtures.
    shares: (K, B) float64, joint density of each component over that of the most probable one; for one mixture.
    norms: (B,) float64, sums of the shares.
    """

    log_densities: np.ndarray
    shares: np.ndarray
    norms: np.ndarray


Score = Literal["log_prob", "log_density", "responsibilities", "assignment"]


class _Score(NamedTuple):
    """How a score is computed from a chunk, its dtype, and the value for a row that is not finite."""

    of_chunk: Callable[[ScoredChunk], np.ndarray]
    dtype: type[np.generic]
    missing: float


SCORES = {
    "log_prob": _Score(lambda chunk: np.maximum(chunk.log_densities, np.finfo(np.float32).min), np.float32, np.nan),
    "log_density": _Score(lambda chunk: chunk.log_densities, np.float64, np.nan),
    "responsibilities": _Score(lambda chunk: (chunk.shares / chunk.norms).T, np.float32, np.nan),
    "assignment": _Score(lambda chunk: chunk.shares.argmax(axis=0), np.int64, -1),
}


class RowScores(NamedTuple):
    """Scores of rows by name, one figure, or one line of figures, per row; and how many rows are not finite."""

    by_name: dict[str, np.ndarray]
    num_bad: int


class _Memory(NamedTuple):
    """Memory that a thread overwrites: chunks of log joints, and centred columns (D, B) float32."""

    chunks: ChunkProducts
    columns: np.ndarray


class RowScorer:
    """Scores blocks of rows under one mixture, or under the average of S.

    Args:
        mixture: One mixture, or S of them.

    Attributes:
        centre: (D,) float64, data units; rows are measured from it.
    """

    def __init__(self, mixture: MixtureDensity) -> None:
        self.centre = np.asarray(mixture.centre)
        self._factors = factors_of(coefficients_of(mixture))
        self._write_products = mixture.form.write_products
        *leading, self._num_components = np.shape(mixture.log_weights)
        self._num_mixtures = math.prod(leading)

    def scores(self, block: RowBlock, names: Collection[str]) -> RowScores:
        """Computes scores of rows.

        Args:
            block: (B, D) rows of any real type, data units. They are measured from the centre in float64, and then
                rounded to float32. A row that is not finite gets NaN, or -1 as its assignment.
            names: Keys of `SCORES`: "log_prob" (B,) float32 and "log_density" (B,) float64, nats,
                "responsibilities" (B, K) float32, "assignment" (B,) int64.

        Returns:
            The scores by name, and how many rows are not finite.
        """
        rows, widths = block.values, {"responsibilities": (self._num_components,)}
        by_name = {name: np.empty((len(rows), *widths.get(name, ())), SCORES[name].dtype) for name in names}

        def of_share(memory: _Memory, parts: Sequence[slice]) -> int:
            num_bad = 0
            with np.errstate(all="ignore"):  # rows that are not finite have no score
                for part in parts:
                    chunk = self._scored(rows[part], memory)
                    num_bad += _write_scores(chunk, {name: scores[part] for name, scores in by_name.items()})
            return num_bad

        num_bad = sum(shared_out(of_share, len(rows), sum(self._factors.shape), self._memory))
        return RowScores(by_name, num_bad)

    def _memory(self, num_rows: int) -> _Memory:
        return _Memory(ChunkProducts(self._factors, num_rows), np.empty((len(self.centre), num_rows), np.float32))

    def _scored(self, rows: np.ndarray, memory: _Memory) -> ScoredChunk:
        columns = memory.columns[:, : len(rows)]
        np.subtract(rows.T, self.centre[:, None], out=columns, dtype=np.float64, casting="same_kind")
        joints = memory.chunks.log_joints(memory.chunks.features(self._write_products, columns))
        (largest,), (norms,) = exponentials(joints[None])
        return ScoredChunk(largest + np.log(norms) - math.log(self._num_mixtures), joints, norms)


def _write_scores(chunk: ScoredChunk, by_name: dict[str, np.ndarray]) -> int:
    """Writes the scores of a chunk, by name, in the places of its rows; counts the rows that are not finite."""
    is_bad = ~np.isfinite(chunk.log_densities)  # a feature that is not finite leaves no log joint finite
    for name, scores in by_name.items():
        scores[...] = SCORES[name].of_chunk(chunk)
        scores[is_bad] = SCORES[name].missing
    return int(is_bad.sum())
