"""Frames scored where their rows are, by whatever holds a mixture. No TensorFlow, here or where the rows are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tfgmm.common.checks import is_instance_of
from tfgmm.export.scorer import load_scorer
from tfgmm.scoring.frames.kinds import scored_frame
from tfgmm.scoring.frames.request import request_of
from tfgmm.scoring.queries import Queries


def score_frame(
    frame: Any,
    scorer: Any,
    columns: Sequence[str] = ("log_prob", "assignment"),
    noise: Mapping[str, str] | None = None,
) -> Any:
    """Adds columns of scores to a data frame, beside those that it has; of Dask and Spark lazily, where the rows are.

    The frame is not changed, and no frame of Dask or Spark is ever collected: what comes back is computed when it is
    written or looked at, partition by partition. Workers get the numbers of the mixture, and need tfgmm with NumPy,
    threadpoolctl and pyarrow, but no TensorFlow, and no path.

    Columns are matched by name, in any order, and others are carried along as they are. A frame for a model without
    column names has its columns in the order of the model, and no others. A row with gaps, nulls or NaN, is scored by
    the columns that it has. One without any value, or with an infinite one, gets NaN and the assignment -1.

    Args:
        frame: A DataFrame of pandas or polars or a `pyarrow.Table`, scored at once; or a DataFrame or Array of Dask or
            a DataFrame of Spark.
        scorer: What holds the mixture: what `fit_mixture` returns, a `GaussianMixtureModel`, a fitted
            `BayesianGaussianMixture`, a `Scorer`, or the path of a folder that `export_model` wrote.
        columns: Scores to add, in this order: "log_prob", "assignment", "responsibilities" (K columns,
            responsibility_0 and so on), "outlier" and "imputed" (D columns, imputed_ and the name of the column; of
            imputed_0 and so on where there are no names). They are float32, but assignment int64 and imputed float64.
        noise: {column: column of the standard deviation of its measurement noise}; scores are then those of what was
            measured. Default: there is none.

    Returns:
        A frame of the same kind, of a Dask Array a Dask DataFrame, with the same rows, index and columns, and the
        scores behind them. They are the numbers that the methods of `scorer` give for the same rows.

    Raises:
        TypeError: `frame` is no frame, or `scorer` holds no mixture; a column of the model is text, or has categories
            that are no numbers (of Dask and Spark, any).
        ValueError: A column is missing, there twice, or has the name of a score; a name in `columns` is unknown. Of
            Dask and Spark, all this is found before any work; a number that is too large for float32, or a standard
            deviation below 0, is found when the scores are computed, and the error says in which partition.

    Example:

    >>> import pandas
    >>> frame = pandas.DataFrame({"id": ["a", "b", "c"], "width": [0.0, 0.5, 9.0]})
    >>> named = pandas.DataFrame({"width": [0.0, 0.4, 0.6, 8.8, 9.1, 9.3]})
    >>> result = tfgmm.fit_mixture(named, 2, restarts=1, seed=0)
    >>> scored = tfgmm.score_frame(frame, result, columns=["assignment", "outlier"])
    >>> list(scored.columns), scored["assignment"].nunique()
    (['id', 'width', 'assignment', 'outlier'], 2)
    """
    return scored_frame(frame, request_of(_queries_of(scorer), columns, noise))


def _queries_of(scorer: Any) -> Queries:
    """Finds what answers for a mixture.

    Raises:
        TypeError: It holds none. FileNotFoundError, NotADirectoryError, IntegrityError: As `load_scorer`.
        sklearn.exceptions.NotFittedError: The estimator was not fitted.
    """
    if isinstance(scorer, Queries):
        return scorer
    if isinstance(scorer, (str, os.PathLike)):
        return load_scorer(scorer)
    if is_instance_of(scorer, "tfgmm.fit.estimator.bayesian_gaussian_mixture", "BayesianGaussianMixture"):
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(scorer)
        return scorer.result_
    several = is_instance_of(scorer, "tfgmm.fit.selection", "Selection")
    fix = "Pass its best, scorer.best." if several else "Pass what holds the mixture."
    raise TypeError(
        "`scorer` must be what fit_mixture returns, a GaussianMixtureModel, a fitted BayesianGaussianMixture, a Scorer "
        f"or the path of an export. Received: {type(scorer).__name__}. {fix}"
    )
