"""Scoring rows with an exported mixture: checks the folder, reads its numbers, never runs its graph."""

from __future__ import annotations

import os
import random
from collections.abc import Collection
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm import density, outliers
from tfgmm.artefact import IntegrityError
from tfgmm.exported import ExportedMixture, read_export

__all__ = ["IntegrityError", "Scorer", "load_scorer"]


class Scorer:
    """A mixture read from an exported folder. Made by `load_scorer`.

    Attributes:
        card: the model card, a dict.
        column_names: names of the training columns, or None.
    """

    def __init__(self, found: ExportedMixture) -> None:
        self._mixture = density.MixtureDensity(found.covariance, found.centre, found.log_weights, found.components)
        self._outlier_table = found.outlier_table
        self.card = found.card
        self.column_names = found.column_names

    def log_prob(self, x: Any) -> np.ndarray:
        """Returns the log density of each row, (N,) float32, nats; NaN for a row that is not finite.

        Args:
            x: rows, (N, D): an array, frame, path or dataset, as `GaussianMixtureModel.fit` takes.
        """
        return density.score_data(self._mixture, x, "log_prob", self.column_names)

    def responsibilities(self, x: Any) -> np.ndarray:
        """Returns the probability of each component given the row, (N, K) float32; rows sum to 1."""
        return density.score_data(self._mixture, x, "responsibilities", self.column_names)

    def assign(self, x: Any) -> np.ndarray:
        """Returns the most probable component of each row, (N,) int64; -1 for rows that are not finite."""
        return density.score_data(self._mixture, x, "assignment", self.column_names)

    def outlier(self, x: Any) -> np.ndarray:
        """Returns the tail probability of each row, (N,) float32 from 0 to 1; NaN for rows that are not finite.

        It is the share of rows drawn from the mixture that are less likely than the row: 0 for an outlier, below which
        nothing lies, 1 for a row at the highest peak. Of rows that do come from the mixture, one in a hundred is below
        0.01, whatever the units and the number of columns. It is read from the quantiles of 100,000 draws, stored in
        the export: a score of p has a standard error of sqrt(p / 100,000), a third of itself at 0.0001; below that no
        more is known than that it is small.

        Args:
            x: rows, (N, D), of any kind that `log_prob` takes.

        Raises:
            ValueError: the export was written by an earlier version, which stored no quantiles.
        """
        table = outliers.check_table(self._outlier_table)
        log_densities = density.score_data(self._mixture, x, "log_density", self.column_names)
        return outliers.tail_probabilities(table, log_densities)

    def scores(self, rows: np.ndarray, names: Collection[str]) -> dict[str, np.ndarray]:
        """Returns the scores of the names given, of log_prob, responsibilities, assignment and outlier, by name."""
        ways = {
            "log_prob": self.log_prob,
            "responsibilities": self.responsibilities,
            "assignment": self.assign,
            "outlier": self.outlier,
        }
        return {name: ways[name](rows) for name in names}

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """Returns `n` rows drawn from the mixture, (n, D) float64, data units; a new draw without `seed`."""
        seed = random.randrange(2**31) if seed is None else _whole("seed", seed, 2**63 - 1)
        num_samples = _whole("n", n, 2**31 - 1)
        return density.sample_rows(self._mixture, num_samples, tf.constant([seed, 0], tf.int64)).numpy()

    def __repr__(self) -> str:
        model = self.card["model"]
        sizes = f"num_components={model['num_components']}, num_features={model['num_features']}"
        return f"<Scorer {sizes}, covariance={model['covariance']!r}>"


def _whole(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value <= most:
        raise ValueError(f"`{name}` must be a whole number from 0 to {most}. Received: {value!r}. Choose one.")
    return int(value)


def load_scorer(path: str | os.PathLike[str]) -> Scorer:
    """Returns the mixture in an exported folder, ready to score rows.

    Checksums first, then numbers only: the graph beside them is never loaded, so that a folder from elsewhere can
    hold numbers and nothing else. (Checksums show damage, not malice: they say nothing about who wrote the folder.)
    A folder that is exchanged for a newer export meanwhile is read again from the start.

    Args:
        path: a folder written by `tfgmm.export_model`.

    Raises:
        FileNotFoundError: no such folder. NotADirectoryError: not a folder.
        IntegrityError (a ValueError): not an export, or not as it was written; names the file.

    Example: see `tfgmm.export_model`.
    """
    return Scorer(read_export(path))
