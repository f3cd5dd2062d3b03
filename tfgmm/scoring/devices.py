"""Where rows are worked on: by TensorFlow on a GPU, by NumPy without one. Only this file asks for a GPU.

A machine without a GPU does not load TensorFlow for this.
"""

from __future__ import annotations

import functools
import glob
import sys
from collections.abc import Collection, Sequence
from typing import Any, Protocol

import numpy as np

from tfgmm.common.forks import survived
from tfgmm.common.shapes import Tensor
from tfgmm.data.blocks import RowBlock
from tfgmm.mixture.integrands import without_masks
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.registry import FormName
from tfgmm.mixture.row_groups import RowGroups
from tfgmm.mixture.row_scores import RowScorer, RowScores
from tfgmm.mixture.statistics import RowSums, Statistics, with_whole_masks

_DRIVERS = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg")  # of NVIDIA, of AMD, of Windows' Linux


class BlockScorer(Protocol):
    """What scores blocks of rows under a mixture.

    Attributes:
        centre: (D,) float64, data units; what rows are measured from.
    """

    centre: np.ndarray

    def scores(self, block: RowBlock, names: Collection[Any]) -> RowScores:
        """Computes scores of rows; see `RowScorer.scores`."""


def has_gpu() -> bool:
    """Finds out whether TensorFlow has a GPU to use; after a fork it has none, and NumPy does the work."""
    return survived() and ("tensorflow" in sys.modules or _has_driver()) and _tensorflow_has_gpu()


@functools.cache
def _has_driver() -> bool:
    return any(map(glob.glob, _DRIVERS))


@functools.cache
def _tensorflow_has_gpu() -> bool:
    """Asks TensorFlow, once: it sets up its devices to answer, and the answer stays the same."""
    try:
        import tensorflow as tf
    except ImportError:  # not installed, or not for this machine: NumPy does it all
        return False

    return bool(tf.config.list_logical_devices("GPU"))


def block_scorer(mixture: MixtureDensity, by_graph: bool | None = None) -> BlockScorer:
    """Makes what scores blocks of rows: by the operations that an export has, or by NumPy.

    Args:
        mixture: The mixture, or S of them, whose average is scored.
        by_graph: Whether TensorFlow scores, all that an export scores; by default where there is a GPU, and only what
            it does faster.
    """
    if not (has_gpu() if by_graph is None else by_graph):
        return RowScorer(mixture)
    from tfgmm.scoring.graph.scores import GraphScorer

    return GraphScorer(mixture, gaps_in_numpy=by_graph is None)


def sums(form: FormName, coefficients: Sequence[Tensor], block: RowBlock, gap_columns: Sequence[int] = ()) -> RowSums:
    """Sums the expected statistics of centred rows, and their log likelihoods, nats, float64.

    Args:
        form: The form of the parameters.
        coefficients: (F, K) and (K,) float64: log joints = features of rows @ the first + the second, nats.
        block: (B, D) float32 rows, measured from the centre, for any B, NaN where a row has no value; with weights and
            noise or without. A GPU takes only rows without any of the three.
        gap_columns: Columns that have masks in the coefficients; see `RowGroups`.
    """
    return sums_of(RowGroups(form, block._replace(values=np.asarray(block.values)), gap_columns), coefficients)


def sums_of(groups: RowGroups, coefficients: Sequence[Tensor]) -> RowSums:
    """Sums the same over rows that were sorted before."""
    if has_gpu() and groups.are_plain:
        from tfgmm.scoring.graph.chunks import compiled_sums

        rows, num_masks = groups.block.values, len(groups.gap_columns)
        plain = without_masks(coefficients, num_masks)
        found = compiled_sums(groups.form, rows.shape[1], plain[1].shape[0])(rows, *plain)
        return RowSums(with_whole_masks(found[0], num_masks), *found[1:])
    statistics, *totals = groups.sums([np.asarray(values)[None] for values in coefficients])
    return RowSums(Statistics(*(value[0] for value in statistics)), *(value[0] for value in totals))


def log_likelihoods(
    form: FormName, coefficients: Sequence[Tensor], block: RowBlock, gap_columns: Sequence[int] = ()
) -> np.ndarray:
    """Sums logsumexp_k and max_k of the log joints of centred rows under each of R mixtures, (2, R) float64, nats.

    Args: As `sums`, the coefficients with a leading axis (R,).
    """
    groups = RowGroups(form, block._replace(values=np.asarray(block.values)), gap_columns)
    return log_likelihoods_of(groups, coefficients)


def log_likelihoods_of(groups: RowGroups, coefficients: Sequence[Tensor]) -> np.ndarray:
    """Sums the same over rows that were sorted before."""
    if has_gpu() and groups.are_plain:
        of_each = [sums_of(groups, of_one) for of_one in zip(*coefficients)]
        return np.array([[one.log_likelihood for one in of_each], [one.largest for one in of_each]])
    return groups.log_likelihoods(coefficients)
