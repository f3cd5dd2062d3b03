"""A fit, and a frame with its columns among others, gaps included, for the tests of `score_frame`."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

import tfgmm

ALL = ("log_prob", "assignment", "responsibilities", "outlier", "imputed")
NAMES = ("width", "height", "depth")
ADDED = {
    "log_prob": "float32",
    "assignment": "int64",
    "responsibility_0": "float32",
    "responsibility_1": "float32",
    "outlier": "float32",
    "imputed_width": "float64",
    "imputed_height": "float64",
    "imputed_depth": "float64",
}


@functools.cache
def result() -> tfgmm.FitResult:
    """Fits two components to three named columns."""
    rows = np.random.default_rng(0).normal([[0.0, 0.0, 0.0]] * 60 + [[4.0, 3.0, 1.0]] * 60)
    return tfgmm.fit_mixture(pd.DataFrame(rows, columns=list(NAMES)), 2, covariance="full", restarts=1, seed=0)


def rows_with_gaps(num_rows: int = 30) -> np.ndarray:
    """Draws rows (N, 3), one with a gap, one without any value and one with an infinite one among them."""
    rows = np.random.default_rng(1).normal(size=(num_rows, 3), scale=3.0)
    rows[3, 0], rows[5], rows[8, 2] = np.nan, np.nan, np.inf
    return rows


def frame_of(rows: np.ndarray) -> pd.DataFrame:
    """Makes a frame of rows, its columns in another order than the model's, with others of many kinds."""
    kinds = pd.Categorical([["low", "high"][row % 2] for row in range(len(rows))], categories=["low", "none", "high"])
    columns = {
        "id": [f"0{row}" for row in range(len(rows))],
        "depth": rows[:, 2],
        "kind": kinds,
        "width": rows[:, 0],
        "when": pd.date_range("2024-02-28", periods=len(rows), freq="h"),
        "height": rows[:, 1],
        "count": pd.array([None, *range(1, len(rows))], dtype="Int64"),
    }
    return pd.DataFrame(columns, index=pd.Index(2 * np.arange(len(rows)) + 7, name="number"))


def expected_scores(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Asks the fit for the same scores method by method."""
    fit = result()
    shares, filled = fit.responsibilities(rows), fit.impute(rows)
    return {
        "log_prob": fit.log_prob(rows),
        "assignment": fit.assign(rows),
        **{f"responsibility_{k}": shares[:, k] for k in range(2)},
        "outlier": fit.outlier(rows),
        **{f"imputed_{name}": filled[:, place] for place, name in enumerate(NAMES)},
    }
