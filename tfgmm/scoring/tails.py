"""Outlier scores of rows with gaps: tail probabilities among the marginal densities of the columns that a row has."""

from __future__ import annotations

import collections
import hashlib
import threading

import numpy as np

from tfgmm.data.blocks import RowBlock, is_finite
from tfgmm.mixture import outliers
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.scoring.scores import outlier_table

# Draws that a choice of columns is compared with: a tenth of those for complete rows, as there may be many choices
NUM_SAMPLES = 10_000

_MOST_KEPT = 4096  # tables, of 2 kB each


def check_no_noise(block: RowBlock) -> None:
    """Checks rows to compare with the mixture: Raises ValueError where they have noise, which its draws have not."""
    if block.noise is not None:
        raise ValueError(
            "`outlier` must be asked of rows without measurement noise. Received: rows with `noise`. "
            "Leave the noise out, or ask for log_prob, which takes it."
        )


class _KeptTables:
    """Tables of mixtures for some of their columns, made once and kept; threads may share them."""

    def __init__(self) -> None:
        self._tables: collections.OrderedDict[bytes, np.ndarray] = collections.OrderedDict()
        self._lock = threading.Lock()

    def table(self, mixture: MixtureDensity, digest: bytes, is_seen: np.ndarray) -> np.ndarray:
        """Gives the table for the columns `is_seen`, (D,) bool; `digest` stands for the mixture."""
        key = digest + is_seen.tobytes()
        with self._lock:
            table = self._tables.get(key)
        if table is None:
            table = outlier_table(mixture, is_seen, NUM_SAMPLES)
        with self._lock:
            self._tables[key] = table
            self._tables.move_to_end(key)
            while len(self._tables) > _MOST_KEPT:
                self._tables.popitem(last=False)
        return table


_KEPT = _KeptTables()


def tail_scores(mixture: MixtureDensity, table: np.ndarray, rows: np.ndarray, log_densities: np.ndarray) -> np.ndarray:
    """Computes the share of the mixture that is less likely than each row, in the columns that the row has.

    Args:
        mixture: One mixture.
        table: Its table of outlier scores, for complete rows.
        rows: (B, D), data units; NaN is a gap.
        log_densities: (B,) float64, nats, of the columns that a row has; NaN where there is none.

    Returns:
        (B,) float32 from 0 to 1; NaN where the log density is NaN.
    """
    scores = outliers.tail_probabilities(table, log_densities)
    if is_finite(rows):
        return scores
    is_gap = np.isnan(rows)
    lacking = np.flatnonzero(is_gap.any(axis=1) & ~np.isnan(log_densities))
    patterns, numbers = np.unique(~is_gap[lacking], axis=0, return_inverse=True)
    digest = _digest(mixture)
    for number, is_seen in enumerate(patterns):
        chosen = lacking[numbers.reshape(-1) == number]
        of_columns = _KEPT.table(mixture, digest, is_seen)
        scores[chosen] = outliers.tail_probabilities(of_columns, log_densities[chosen])
    return scores


def _digest(mixture: MixtureDensity) -> bytes:
    """Computes what distinguishes a mixture from all others: where its centre is makes no difference."""
    digest = hashlib.sha256(mixture.covariance.encode())
    for values in (mixture.log_weights, *(mixture.components[name] for name in sorted(mixture.components))):
        digest.update(str(np.shape(values)).encode() + np.asarray(values, np.float64).tobytes())
    return digest.digest()
