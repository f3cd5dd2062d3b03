"""What a fitted estimator is asked: about rows, for rows, and how sure it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from tfgmm.common.checks import check_count
from tfgmm.fit.estimator.arguments import seed_of
from tfgmm.fit.estimator.fitted import FittedAttributes
from tfgmm.fit.estimator.intervals import intervals_of
from tfgmm.fit.estimator.rows import checked_weights, opened
from tfgmm.fit.result import FitResult
from tfgmm.mixture.row_scores import Score
from tfgmm.mixture.sampling import rows_by_component
from tfgmm.scoring.scores import scored


class Answers(FittedAttributes):
    """Questions that scikit-learn's mixtures answer too, and two more: how odd a row is, how sure the numbers are.

    A subclass provides the argument below, and the fit.
    """

    random_state: Any
    """Seed of the samples."""

    def predict(self, X: Any, noise: Any = None) -> np.ndarray:
        """Finds the most probable component of each row, given the columns that it has.

        Args:
            X: Rows, (N, D), data units.
            noise: Measurement noise of the rows, as `fit` takes it.

        Returns:
            (N,) int64; -1 for a row without any value.
        """
        return self._scored(X, "assignment", noise)

    def predict_proba(self, X: Any, noise: Any = None) -> np.ndarray:
        """Computes the probability of each component given the row: given the columns that it has.

        Args:
            X: Rows, (N, D), data units.
            noise: Measurement noise of the rows, as `fit` takes it.

        Returns:
            (N, K) float64; each row sums to 1.
        """
        return self._scored(X, "memberships", noise)

    def score_samples(self, X: Any, noise: Any = None) -> np.ndarray:
        """Computes the log density of each row at the posterior means: a density, which integrates to 1.

        Args:
            X: Rows, (N, D), data units. The density of a row with gaps is that of the columns that it has.
            noise: Measurement noise of the rows, as `fit` takes it; then it is the density of what is measured.

        Returns:
            (N,) float64, nats; NaN for a row without any value.
        """
        return self._scored(X, "log_density", noise)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, noise: Any = None) -> float:
        """Computes the mean log density of rows, nats per row; rows without any value are left out.

        Args:
            X: Rows, (N, D), data units.
            y: Ignored.
            sample_weight: How often each row counts, (N,).
            noise: Measurement noise of the rows, as `fit` takes it.
        """
        log_likelihood, num_rows = self._log_likelihood(X, sample_weight, noise)
        return log_likelihood / num_rows

    def aic(self, X: Any, sample_weight: Any = None, noise: Any = None) -> float:
        """Computes Akaike's criterion of rows; smaller is better. That of the rows of the fit is `result_.aic` too.

        Args:
            X, sample_weight, noise: Rows, as `score` takes them.
        """
        log_likelihood, _ = self._log_likelihood(X, sample_weight, noise)
        return -2.0 * log_likelihood + 2.0 * self.result_.num_parameters

    def bic(self, X: Any, sample_weight: Any = None, noise: Any = None) -> float:
        """Computes Schwarz's criterion of rows; smaller is better. That of the rows of the fit is `result_.bic` too.

        Args:
            X, sample_weight, noise: Rows, as `score` takes them.
        """
        log_likelihood, num_rows = self._log_likelihood(X, sample_weight, noise)
        return -2.0 * log_likelihood + math.log(num_rows) * self.result_.num_parameters

    def outlier(self, X: Any) -> np.ndarray:
        """Computes the tail probability of each row: the share of rows from the mixture that are less likely.

        Args:
            X: Rows, (N, D), data units.

        Returns:
            (N,) float32, 0 for an outlier, 1 for a row at the highest peak; NaN for a row without any value.
        """
        return self._result().outlier(opened(self, X, is_fit=False))

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draws rows from the mixture at the posterior means, component after component.

        Args:
            n_samples: Number of rows. `random_state` is their seed: a whole number gives the same rows every time.

        Returns:
            The rows, (n_samples, D) float64, data units; and the component of each, (n_samples,) int64.
        """
        mixture, number = self._result().plug_in(), check_count("n_samples", n_samples)
        return rows_by_component(mixture, number, np.random.default_rng(seed_of(self.random_state)))

    def intervals(self, level: float = 0.95) -> Any:
        """Computes how sure the fit is of weights, means and standard deviations, from draws of its posterior.

        Args:
            level: Share of the posterior between both ends.

        Returns:
            A pandas DataFrame with a line for each number: component; name, "weight", "mean" or "standard deviation";
            column, its name, "" for weights; mean, of the posterior; low and high, the ends of the interval.
        """
        return intervals_of(self._result(), level)

    def _result(self) -> FitResult:
        check_is_fitted(self)
        return self.result_

    def _scored(self, rows: Any, score: Score, noise: Any) -> np.ndarray:
        result = self._result()
        source = opened(self, rows, None, noise, is_fit=False)
        return scored(result.plug_in_scorer(), source, score, result.column_names)

    def _log_likelihood(self, rows: Any, sample_weight: Any, noise: Any) -> tuple[float, float]:
        """Sums log densities of rows, nats, and counts the rows: those that have a value."""
        densities = self.score_samples(rows, noise)
        weights = np.ones(len(densities)) if sample_weight is None else checked_weights(sample_weight, densities)
        has_value = ~np.isnan(densities)
        num_rows = float(weights[has_value].sum())
        if not num_rows:
            raise ValueError("`X` must have a row with a value. Received: none. Pass rows that have values.")
        return float(weights[has_value] @ densities[has_value]), num_rows
