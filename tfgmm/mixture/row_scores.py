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
from tfgmm.mixture.row_groups import RowGroups, Rows

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


Score = Literal["log_prob", "log_density", "responsibilities", "memberships", "assignment"]


class _Score(NamedTuple):
    """How a score is computed from a chunk, its dtype, and the value for a row that is not finite."""

    of_chunk: Callable[[ScoredChunk], np.ndarray]
    dtype: type[np.generic]
    missing: float


SCORES = {
    "log_prob": _Score(lambda chunk: np.maximum(chunk.log_densities, np.finfo(np.float32).min), np.float32, np.nan),
    "log_density": _Score(lambda chunk: chunk.log_densities, np.float64, np.nan),
    "responsibilities": _Score(lambda chunk: (chunk.shares / chunk.norms).T, np.float32, np.nan),
    "memberships": _Score(lambda chunk: (chunk.shares / chunk.norms).T, np.float64, np.nan),
    "assignment": _Score(lambda chunk: chunk.shares.argmax(axis=0), np.int64, -1),
}


_OF_COMPONENTS = frozenset({"responsibilities", "memberships"})  # the scores with a number per component


class RowScores(NamedTuple):
    """Scores of rows by name, one figure, or one line of figures, per row; and how many rows have none.

    These are the rows with an infinite value, and those without any value.
    """

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
        linear, constants = coefficients_of(mixture)
        self._factors = factors_of((linear, constants))
        self._form, self._write_products = mixture.form.name, mixture.form.write_products
        *leading, self._num_components = np.shape(mixture.log_weights)
        self._num_mixtures = math.prod(leading)
        self._coefficients = linear.reshape(-1, *linear.shape[-2:]), constants.reshape(-1, self._num_components)
        self._weights = np.exp(np.asarray(mixture.log_weights))

    def scores(self, block: RowBlock, names: Collection[str]) -> RowScores:
        """Computes scores of rows: of the columns that they have, and of what is measured where they have noise.

        Args:
            block: (B, D) rows of any real type, data units, NaN where a row has no value. They are measured from the
                centre in float64, and then rounded to float32. A row with an infinite value gets NaN, or -1 as its
                assignment; so does one without any value, but its responsibilities are the weights.
            names: Keys of `SCORES`: "log_prob" (B,) float32 and "log_density" (B,) float64, nats,
                "responsibilities" (B, K) float32, "memberships" the same in float64, "assignment" (B,) int64.

        Returns:
            The scores by name, and how many rows have an infinite value, or none.
        """
        num_rows, widths = len(block.values), dict.fromkeys(_OF_COMPONENTS, (self._num_components,))
        by_name = {name: np.empty((num_rows, *widths.get(name, ())), SCORES[name].dtype) for name in names}
        left = np.arange(num_rows) if block.noise is not None else self._score_complete(block.values, by_name)
        return RowScores(by_name, self._score_one_by_one(block, left, by_name) if len(left) else 0)

    def _score_complete(self, rows: np.ndarray, by_name: dict[str, np.ndarray]) -> np.ndarray:
        """Scores all rows as if they were complete, without noise; returns the numbers of those that are not finite."""

        def of_share(memory: _Memory, parts: Sequence[slice]) -> list[np.ndarray]:
            bad = []
            with np.errstate(all="ignore"):  # rows that are not finite have no score
                for part in parts:
                    chunk = self._scored(rows[part], memory)
                    is_bad = _write_scores(chunk, {name: scores[part] for name, scores in by_name.items()})
                    bad.append(part.start + np.flatnonzero(is_bad))
            return bad

        shares = shared_out(of_share, len(rows), sum(self._factors.shape), self._memory)
        return np.concatenate([bad for share in shares for bad in share])

    def _score_one_by_one(self, block: RowBlock, left: np.ndarray, by_name: dict[str, np.ndarray]) -> int:
        """Scores the rows that are left, with gaps or noise; returns how many have no scores."""
        rows = block.values[left]
        with np.errstate(all="ignore"):  # a number beyond float32 is infinite
            centred = np.subtract(rows, self.centre, dtype=np.float64).astype(np.float32)
        is_empty, is_infinite = np.isnan(centred).all(axis=1), np.isinf(centred).any(axis=1)
        is_good = ~is_empty & ~is_infinite
        for name, scores in by_name.items():
            scores[left[~is_good]] = SCORES[name].missing
        for name in by_name.keys() & _OF_COMPONENTS:
            by_name[name][left[is_empty]] = self._weights
        if is_good.any():
            some = block.part(left[is_good])._replace(values=centred[is_good], weights=None)
            self._score_groups(some, left[is_good], by_name)
        return int((~is_good).sum())

    def _score_groups(self, block: RowBlock, where: np.ndarray, by_name: dict[str, np.ndarray]) -> None:
        """Scores centred rows by what they show; `where` is their place among all rows."""

        def write(rows: Rows, joints: np.ndarray) -> None:
            chunk = {
                name: np.empty((joints.shape[1], *scores.shape[1:]), scores.dtype) for name, scores in by_name.items()
            }
            _write_scores(self._chunk_of(joints), chunk)
            for name, scores in chunk.items():
                by_name[name][where[rows]] = scores

        for _ in RowGroups(self._form, block).mapped(self._coefficients, write):
            pass

    def _memory(self, num_rows: int) -> _Memory:
        return _Memory(ChunkProducts(self._factors, num_rows), np.empty((len(self.centre), num_rows), np.float32))

    def _scored(self, rows: np.ndarray, memory: _Memory) -> ScoredChunk:
        columns = memory.columns[:, : len(rows)]
        np.subtract(rows.T, self.centre[:, None], out=columns, dtype=np.float64, casting="same_kind")
        return self._chunk_of(memory.chunks.log_joints(memory.chunks.features(self._write_products, columns)))

    def _chunk_of(self, joints: np.ndarray) -> ScoredChunk:
        (largest,), (norms,) = exponentials(joints[None])
        return ScoredChunk(largest + np.log(norms) - math.log(self._num_mixtures), joints, norms)


def _write_scores(chunk: ScoredChunk, by_name: dict[str, np.ndarray]) -> np.ndarray:
    """Writes the scores of a chunk, by name, in the places of its rows; tells which rows are not finite."""
    is_bad = ~np.isfinite(chunk.log_densities)  # a feature that is not finite leaves no log joint finite
    for name, scores in by_name.items():
        scores[...] = SCORES[name].of_chunk(chunk)
        scores[is_bad] = SCORES[name].missing
    return is_bad
