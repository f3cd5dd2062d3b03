"""All scores of a block of rows in one pass, by NumPy: made of plain numbers, so that it can be sent anywhere."""

from __future__ import annotations

import functools
from collections.abc import Collection

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.mixture import outliers
from tfgmm.mixture.imputation import Imputer
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.row_scores import RowScorer, RowScores
from tfgmm.scoring.tails import check_no_noise, tail_scores


class NumpyScorer:
    """Scores blocks of rows under one mixture. A pickle of it holds the arguments and nothing else.

    Args:
        mixture: The mixture.
        outlier_table: Its table of outlier scores, see `outliers.table_of`; None where outlier scores cannot be asked.

    Attributes: The arguments.
    """

    def __init__(self, mixture: MixtureDensity, outlier_table: np.ndarray | None = None) -> None:
        self.mixture, self.outlier_table = mixture, outlier_table

    def __reduce__(self) -> tuple[type[NumpyScorer], tuple[MixtureDensity, np.ndarray | None]]:
        return NumpyScorer, (self.mixture, self.outlier_table)

    def scores(self, block: RowBlock, names: Collection[str]) -> RowScores:
        """Computes several scores of one block of rows in one pass.

        Args:
            block: Rows (B, D), data units, in the order of the training columns, NaN where there is no value; maybe
                with noise. A row without any value, or with one that is infinite or beyond the range of float32 from
                the centre, gets NaN, or -1 as its assignment.
            names: Some of "log_prob", "responsibilities", "assignment", "outlier" and "imputed"; types are those of the
                methods of `Queries`.

        Raises:
            ValueError: outlier of an export that has no table for it, or of rows with noise.
        """
        if "outlier" in names:
            table = outliers.check_table(self.outlier_table)
            check_no_noise(block)
        of_rows = ["log_density" if name == "outlier" else name for name in names if name != "imputed"]
        by_name, num_bad = self._row_scorer.scores(block, of_rows)
        if "outlier" in names:
            by_name["outlier"] = tail_scores(self.mixture, table, block.values, by_name.pop("log_density"))
        if "imputed" in names:
            by_name["imputed"] = self._imputer.means(block)
        return RowScores(by_name, num_bad)

    @functools.cached_property
    def _imputer(self) -> Imputer:
        return Imputer(self.mixture)

    @functools.cached_property
    def _row_scorer(self) -> RowScorer:
        return RowScorer(self.mixture)
