"""Scoring rows with an exported mixture: the folder is checked, its numbers are read, its graph is never run."""

from __future__ import annotations

import dataclasses
import functools
import os
import random
from collections.abc import Collection
from typing import Any

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.export.reading import ExportedMixture, read_export
from tfgmm.mixture import outliers, stored_draws
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.row_scores import RowScores
from tfgmm.mixture.sampling import sample_rows
from tfgmm.posterior.draws import Draws
from tfgmm.posterior.record import PosteriorRecord
from tfgmm.scoring.devices import BlockScorer, block_scorer
from tfgmm.scoring.numpy_scorer import NumpyScorer
from tfgmm.scoring.queries import Queries
from tfgmm.scoring.scores import as_draws


class Scorer(Queries):
    """A mixture read from an exported folder. Made by `load_scorer`.

    TensorFlow is loaded by `interval`, `conditional`, `marginal_log_prob` and `impute` with `given`, and where there is
    a GPU; by nothing else.

    Attributes:
        card: Model card, a dict.
        column_names: Names of the training columns, or None.
    """

    def __init__(self, export: ExportedMixture) -> None:
        self._mixture = export.density
        self._outlier_table = export.outlier_table
        if self._outlier_table is not None:  # it is given to everyone who asks
            self._outlier_table.setflags(write=False)
        self._drawn, self._posterior = export.drawn, export.posterior
        self.card = export.card
        self.column_names = export.column_names

    def plug_in(self) -> MixtureDensity:
        """Returns the mixture at the posterior means."""
        return self._mixture

    def predictive(self) -> MixtureDensity:
        """Returns the mixtures drawn from the posterior that the export stores.

        Raises:
            ValueError: the export was written by an earlier version, which stored none.
        """
        return stored_draws.mixtures(self._mixture, stored_draws.check_stored(self._drawn))

    def draws(self) -> Draws:
        """Returns the draws from the posterior that the export stores, 64 to 256 of them, as one chain; data units.

        `.posterior` says how they were made, and how far to trust them.

        Raises:
            ValueError: the export was written by an earlier version, which stored none.
        """
        return dataclasses.replace(as_draws(self.predictive(), self.column_names), posterior=self._posterior)

    def stored_record(self) -> PosteriorRecord:
        """Says how the draws that the export stores were made."""
        return self._posterior

    def outlier_table(self) -> np.ndarray:
        """Returns the quantiles that `outlier` is read from, (2, Q) float64; see `outliers.table_of`.

        Raises:
            ValueError: the export was written by an earlier version, which stored none.
        """
        return outliers.check_table(self._outlier_table)

    def scores(self, block: RowBlock, names: Collection[str]) -> RowScores:
        """Computes several scores of one block of rows in one pass, in NumPy.

        Args:
            block: Rows (B, D), data units, in the order of the training columns, NaN where there is no value; maybe
                with noise. A row without any value, or with one that is infinite or beyond the range of float32 from
                the centre, gets NaN, or -1 as its assignment.
            names: Some of "log_prob", "responsibilities", "assignment", "outlier" and "imputed"; types are those of the
                methods.

        Raises:
            ValueError: outlier of an export that has no table for it, or of rows with noise.
        """
        return self._numpy_scorer.scores(block, names)

    @functools.cached_property
    def _numpy_scorer(self) -> NumpyScorer:
        return NumpyScorer(self._mixture, self._outlier_table)

    def plug_in_scorer(self) -> BlockScorer:
        """Hands on what scores blocks of rows, made once: the mixture never changes."""
        return self._block_scorer

    @functools.cached_property
    def _block_scorer(self) -> BlockScorer:
        return block_scorer(self._mixture)

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """Draws rows from the mixture.

        Args:
            n: Number of rows.
            seed: Seed of the draws; None draws other rows each time. The model draws the same rows, the SavedModel
                others of the same mixture.

        Returns:
            Rows (n, D), float64, data units.

        Raises:
            ValueError: `n` or `seed` is not a whole number of 0 or more.
        """
        seed = random.randrange(2**31) if seed is None else _whole("seed", seed, 2**63 - 1)
        return sample_rows(self._mixture, _whole("n", n, 2**31 - 1), seed)

    def __repr__(self) -> str:
        model = self.card["model"]
        sizes = f"num_components={model['num_components']}, num_features={model['num_features']}"
        return f"<Scorer {sizes}, covariance={model['covariance']!r}>"


def _whole(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value <= most:
        raise ValueError(f"`{name}` must be a whole number from 0 to {most}. Received: {value!r}. Choose one.")
    return int(value)


def load_scorer(path: str | os.PathLike[str]) -> Scorer:
    """Reads the mixture in an exported folder, ready to score rows.

    Checksums are compared first; then the numbers are read and nothing else. The graph beside them is never loaded, so
    that no code in a folder from elsewhere can run. (Checksums show damage, not malice: they say nothing about who
    wrote the folder.) A folder that is replaced by a newer export meanwhile is read again from the start.

    Args:
        path: Path of a folder written by `tfgmm.export_model`.

    Returns:
        `Scorer` of the mixture.

    Raises:
        FileNotFoundError: no such folder. NotADirectoryError: not a folder.
        IntegrityError (a ValueError): not an export, or not as it was written; names the file.

    Example: see `tfgmm.export_model`.
    """
    return Scorer(read_export(path))
