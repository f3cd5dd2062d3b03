"""Fits to rows that come in parts: what `partial_fit` of the estimator does."""

from __future__ import annotations

import dataclasses
import numbers
from typing import TYPE_CHECKING, Any, Self

from tfgmm.common.checks import check_choice
from tfgmm.data.carried import MISSING
from tfgmm.fit.estimator.arguments import KMEANS, EstimatorOptions, options_of
from tfgmm.fit.estimator.rows import opened
from tfgmm.fit.fitting import fit_opened
from tfgmm.fit.running import RunningMixture, check_forgetting_factor
from tfgmm.posterior.record import MEAN_FIELD

if TYPE_CHECKING:
    from tfgmm.fit.result import FitResult
    from tfgmm.fit.selection import Selection


class FitsInParts:
    """Gives an estimator `partial_fit`."""

    result_: FitResult
    selection_: Selection | None
    # What the fit so far needs beside `result_` for the part that follows, in arrays and numbers
    _stream: dict[str, Any]

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Adds a part of rows that come in parts to the fit; `fit` afterwards starts anew.

        The first part is fitted as by `fit`. The first 20,000 rows are kept, and are all fitted again, from new starts,
        when there are four times as many as before and at 20,000. Other parts add their sums to those of the parts
        before, and the mixture moves to the optimum for all of these. Attributes are those of all parts so far;
        `n_iter_` counts the parts, the latest 1,000 of them, and `converged_` is False after a part that was added.

        A component has no place for a group of rows that appears only after the first 20,000: it is shared out among
        the components that are near. A new stream, or a new `fit`, finds it.

        Args:
            X: Rows, (n, D), data units; NaN is a gap. The first part needs as many rows as components, others one.
            y: Ignored.
            sample_weight: How often each row counts, (n,) numbers of 0 or more.

        Returns:
            The estimator.

        Raises:
            ValueError: Several numbers of components or shapes, or an argument that needs all rows at once; other
                columns, components or shapes than those of the parts before; and as `fit`. The fit stays as it was.

        Example:

        >>> rows = np.random.default_rng(0).normal([[-3.0], [3.0]] * 100)
        >>> mixture = tfgmm.BayesianGaussianMixture(2)
        >>> for part in np.split(rows, 10):
        ...     mixture = mixture.partial_fit(part)
        >>> mixture.result_.num_data, sorted(mixture.means_.round(0).ravel().tolist())
        (200, [-3.0, 3.0])
        """
        running = self._running_mixture()
        part = running.opened(opened(self, X, sample_weight, is_fit=True, is_first=not running.is_begun))
        if running.is_begun:
            running.add(part)
        else:  # warnings name the line that calls this: nothing stands between it and `fit_opened`
            running.begin(part, fit_opened(*running.first_fit(part)))
        self.result_, self.selection_, self._stream = running.result(), None, running.kept()
        return self

    def _forget_stream(self) -> None:
        """Forgets the parts before: all rows were fitted at once."""
        vars(self).pop("_stream", None)

    def _running_mixture(self) -> RunningMixture:
        """Checks all arguments, and makes the mixture that the part is added to."""
        estimator: Any = self
        check_choice("missing", estimator.missing, MISSING)
        options = _options_in_parts(estimator)
        others = check_forgetting_factor(estimator.forgetting_factor), "X", estimator.missing
        if not hasattr(self, "result_"):
            return RunningMixture(int(estimator.n_components), options, *others)
        _check_is_same_stream(estimator, options)
        options = dataclasses.replace(options, seed=self.result_.seed)
        return RunningMixture.going_on(self.result_, self._stream, options, *others)


def _options_in_parts(estimator: Any) -> EstimatorOptions:
    """Checks the arguments, and that none of them needs all rows at once."""
    options, number = options_of(estimator), estimator.n_components
    is_kmeans = isinstance(options.start, str) and options.start == KMEANS
    for name, is_good, wanted, fix in (
        ("n_components", isinstance(number, numbers.Integral), "one whole number", "Choose one by `fit` on some rows."),
        ("covariance_type", not options.is_choice_of_shapes, "one shape", "Choose one by `fit` on some rows."),
        ("init_params", not is_kmeans, "of another kind", 'Try "auto", which has k-means among its ways.'),
        ("posterior", options.posterior == MEAN_FIELD, f"{MEAN_FIELD!r}", "Use `fit` with all rows for the others."),
        ("criteria_at", options.criteria_at == "mean", "'mean'", "Use `fit` with all rows for the maximum."),
    ):
        if not is_good:
            received = getattr(estimator, name)
            raise ValueError(
                f"`{name}` must be {wanted} where rows come in parts. Received: {received!r} in `partial_fit`. {fix}"
            )
    if not isinstance(options.start, str) and options.start.shape[:1] != (number,):
        raise ValueError(
            f"`means_init` must have a mean for each of {number} components. Received: shape {options.start.shape}. "
            "Give one mean for each, in the units of the columns."
        )
    return options


def _check_is_same_stream(estimator: Any, options: EstimatorOptions) -> None:
    """Checks that the fit so far was made in parts, of the same mixture."""
    result: FitResult = estimator.result_
    if not hasattr(estimator, "_stream"):
        raise ValueError(
            "`partial_fit` must follow `partial_fit`: it needs sums that `fit` does not keep. Received: an estimator "
            "that was fitted by `fit`. Pass all rows to `partial_fit` of a new one, sklearn.base.clone(...)."
        )
    known = result.num_components, result.covariance, result.weight_prior
    asked = int(estimator.n_components), options.covariance, options.weights
    if known != asked:
        raise ValueError(
            "`n_components`, `covariance_type` and `weight_concentration_prior_type` must be those of the parts before"
            f": {known}. Received: {asked}. Begin a new stream with sklearn.base.clone(...), or use `fit`."
        )
