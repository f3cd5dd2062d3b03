"""Scoring rows with an exported mixture: checks the folder, reads its numbers, never runs its graph."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.export.folder import IntegrityError
from tfgmm.export.reading import ExportedMixture, read_export
from tfgmm.mixture import outliers, stored_draws
from tfgmm.posterior.draws import Draws
from tfgmm.scoring import scores
from tfgmm.scoring.queries import RowScores

__all__ = ["IntegrityError", "Scorer", "load_scorer"]


class Scorer(RowScores):
    """A mixture read from an exported folder. Made by `load_scorer`.

    Attributes:
        card: the model card, a dict.
        column_names: names of the training columns, or None.
    """

    def __init__(self, found: ExportedMixture) -> None:
        self._mixture = scores.MixtureDensity(found.covariance, found.centre, found.log_weights, found.components)
        self._outlier_table = found.outlier_table
        self._drawn = found.drawn
        self.card = found.card
        self.column_names = found.column_names

    def plug_in(self) -> scores.MixtureDensity:
        """Returns the mixture at the posterior means."""
        return self._mixture

    def predictive(self) -> scores.MixtureDensity:
        """Returns the mixtures drawn from the posterior that the export keeps.

        Raises:
            ValueError: the export was written by an earlier version, which kept none.
        """
        return scores.of_draws(self._mixture, stored_draws.check_kept(self._drawn))

    def mean_parameters(self) -> Draws:
        """Returns the mixture that `log_prob` scores with as `Draws` of one draw, data units; for `tfgmm.plot`."""
        return scores.as_draws(self.plug_in(), self.column_names)

    def draws(self) -> Draws:
        """Returns the draws from the posterior that the export keeps, 64 of them, as one chain; data units.

        Raises:
            ValueError: the export was written by an earlier version, which kept none.
        """
        return scores.as_draws(self.predictive(), self.column_names)

    def outlier_table(self) -> np.ndarray:
        """Returns the quantiles that `outlier` is read from, (2, Q) float64; see `outliers.table_of`.

        Raises:
            ValueError: the export was written by an earlier version, which stored none.
        """
        return outliers.check_table(self._outlier_table)

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """Returns `n` rows drawn from the mixture, (n, D) float64, data units; a new draw without `seed`."""
        seed = random.randrange(2**31) if seed is None else _whole("seed", seed, 2**63 - 1)
        num_samples = _whole("n", n, 2**31 - 1)
        return scores.sample_rows(self._mixture, num_samples, tf.constant([seed, 0], tf.int64)).numpy()

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
