"""Fits to rows that come in parts: what `partial_fit` of the estimator does."""

from __future__ import annotations

import dataclasses
import numbers
from typing import TYPE_CHECKING, Any, Self, cast

from tfgmm.common.checks import check_choice
from tfgmm.data.carried import MISSING
from tfgmm.fit.callbacks import ProgressBar
from tfgmm.fit.estimator.arguments import KMEANS, EstimatorOptions, numbers_of, options_of, with_start
from tfgmm.fit.estimator.rows import opened
from tfgmm.fit.fitting import fit_opened
from tfgmm.fit.options import AUTO, FitOptions
from tfgmm.fit.running import RunningMixture
from tfgmm.fit.selection import Selection
from tfgmm.mixture.priors import Priors
from tfgmm.posterior.record import MEAN_FIELD

if TYPE_CHECKING:
    from tfgmm.data.readers import Rows
    from tfgmm.data.survey import Survey
    from tfgmm.fit.result import FitResult

_NEW_STREAM = "Begin a new stream with sklearn.base.clone(...), or use `fit`."


class FitsInParts:
    """Gives an estimator `partial_fit`."""

    result_: FitResult
    selection_: Selection | None
    # What a fit in parts needs beside `result_` for the part that follows, in arrays and numbers
    _stream: dict[str, Any]

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Adds a part of rows that come in parts to the fit; `fit` afterwards starts anew.

        The first part is fitted as by `fit`, where it also chooses among several numbers of components or shapes. The
        first 20,000 rows are kept; with a forgetting factor f, 3 / (1 - f) if these are fewer. While they are kept, the
        mixture is swept over all of them after each part, and fitted again, from new starts, when there are half as
        many more (below 1,000 rows, a tenth), or sooner where it does not fit a part. Later parts add their sums to
        those of the rows before, and the mixture moves to the optimum for all of these. After `fit`, they are added to
        those of its rows, of which none is kept.

        Attributes are those of all parts so far. `n_iter_` counts the latest 1,000 parts, and `converged_` is False
        after a part that was only added. `lower_bound_`, and the criteria of `result_`, are those of all rows while
        rows are kept; then they count each part at the mixture of its time, as `print(result_)` says. A group of rows
        that appears when rows are no longer kept gets no component of
        its own: those near share it. A new stream, or a new `fit`, finds it. Groups that stay away and come back are
        known again, also where rows are forgotten: a component does not fade below two rows.

        Args:
            X: Rows, (n, D), data units; NaN is a gap. The first part needs as many rows as components, two
                at least; others one.
                Where `forgetting_factor` is below 1, they are in the order in which they came.
            y: Ignored.
            sample_weight: How often each row counts, (n,) numbers of 0 or more.

        Returns:
            The estimator.

        Raises:
            ValueError: A posterior or criteria that need all rows at once; other columns, components, shapes or priors
                than those of the parts before; and as `fit`. The fit stays as it was.

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
            rows, survey = running.first_rows(part)
            found = fit_opened(*self._ready(rows, survey, running.options))
            running.begin(part, found.best if isinstance(found, Selection) else found)
            self.selection_ = found if isinstance(found, Selection) else None
        self.result_, self._stream = running.result(), running.kept()
        return self

    def _forget_stream(self) -> None:
        """Forgets the parts before: all rows were fitted at once."""
        vars(self).pop("_stream", None)

    def _running_mixture(self) -> RunningMixture:
        """Checks all arguments, and makes the mixture that the part is added to."""
        estimator: Any = self
        check_choice("missing", estimator.missing, MISSING)
        options = _options_in_parts(estimator)
        others = estimator.forgetting_factor, "X", estimator.missing
        if not hasattr(self, "result_"):
            return RunningMixture(1, options, *others)
        _check_is_same_mixture(estimator, options)
        _check_are_same_priors(options, self.result_)
        options = dataclasses.replace(options, seed=self.result_.seed)
        if isinstance(options.start, str) and options.start == KMEANS:  # of the first part
            options = dataclasses.replace(options, start=AUTO)
        return RunningMixture.going_on(self.result_, getattr(self, "_stream", None), options, *others)

    def _ready(
        self, rows: Rows, survey: Survey, options: FitOptions
    ) -> tuple[Rows, Survey, int | tuple[int, ...], EstimatorOptions, list[Any]]:
        """Writes a fit to rows as `fit_opened` takes it."""
        estimator: Any = self
        number = numbers_of(estimator.n_components, survey)
        started = with_start(cast("EstimatorOptions", options), rows, number)
        callbacks = [ProgressBar(f"fitting {type(self).__name__}")] if estimator.verbose else []
        return rows, survey, number, started, callbacks


def _options_in_parts(estimator: Any) -> EstimatorOptions:
    """Checks the arguments, and that none of them needs all rows at once."""
    options = options_of(estimator)
    for name, wanted in (("posterior", MEAN_FIELD), ("criteria_at", "mean"), ("checkpoint", None)):
        if getattr(options, name) != wanted:
            raise ValueError(
                f"`{name}` must be {wanted!r} where rows come in parts. Received: {getattr(options, name)!r} in "
                "`partial_fit`. Leave it out, or use `fit` with all rows."
            )
    return options


def _check_is_same_mixture(estimator: Any, options: EstimatorOptions) -> None:
    """Checks that the fit so far was of the same mixture; several numbers or shapes were compared before."""
    result: FitResult = estimator.result_
    number, shape = estimator.n_components, options.covariance
    known = result.num_components, result.covariance, result.weight_prior
    asked = (
        int(number) if isinstance(number, numbers.Integral) else result.num_components,
        result.covariance if options.is_choice_of_shapes else shape,
        options.weights,
    )
    if known != asked:
        raise ValueError(
            "`n_components`, `covariance_type` and `weight_concentration_prior_type` must be those of the parts before"
            f": {known}. Received: {asked}. {_NEW_STREAM}"
        )


def _check_are_same_priors(options: EstimatorOptions, result: FitResult) -> None:
    """Checks that the priors asked for are those of the fit so far; from the rows, they are those of the first part."""
    known, stated = result.priors, options.priors if isinstance(options.priors, Priors) else None
    name = "weight_concentration" if options.weights == "dirichlet" else "stick_concentration"
    concentration = options.weight_concentration
    if concentration is None:
        concentration = 1.0 if stated is None else getattr(stated, name)
    if getattr(known, name) != concentration:
        raise ValueError(
            "`weight_concentration_prior` must be that of the parts before, or of their `priors`: "
            f"{getattr(known, name)}. Received: {concentration}. {_NEW_STREAM}"
        )
    if stated is None:
        return
    names = [field.name for field in dataclasses.fields(known) if field.name != name]
    others = [field for field in names if getattr(stated, field) != getattr(known, field)]
    if others:
        raise ValueError(
            "`priors` must be those of the parts before, which `result_.priors` has. Received: priors that differ in "
            f"{', '.join(others)}. {_NEW_STREAM}"
        )
