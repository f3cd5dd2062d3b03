"""What the estimator is made with, in the words of `fit_mixture`."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn import exceptions
from sklearn.utils import check_random_state

from tfgmm.common.checks import check_choice, check_count, check_seed
from tfgmm.common.words import counted
from tfgmm.data.readers import Rows
from tfgmm.data.survey import Survey
from tfgmm.fit import convergence
from tfgmm.fit.fitting import check_options
from tfgmm.fit.options import AUTO, FitOptions, check_num_components
from tfgmm.fit.running import check_forgetting_factor
from tfgmm.mixture.starts import distinct_rows

if TYPE_CHECKING:
    from tfgmm.fit.result import FitResult
    from tfgmm.mixture.priors import Priors

WEIGHT_PRIORS = {"dirichlet_distribution": "dirichlet", "dirichlet_process": "stick_breaking"}
KMEANS = "kmeans"
# The last is not known before the rows are: its groups
STARTS = {AUTO: AUTO, "k-means++": "k-means++", "random_from_data": "random", KMEANS: KMEANS}
_MOST_COMPONENTS = 10  # that "auto" tries
# Nats per row that float64 does not resolve: what tol=0 stands for
_NOTHING = 1e-15


class ConvergenceWarning(convergence.ConvergenceWarning, exceptions.ConvergenceWarning):
    """The bound was still rising when the last iteration allowed was done: scikit-learn's warning and tfgmm's."""


@dataclasses.dataclass(frozen=True, eq=False)
class EstimatorOptions(FitOptions):
    """The options of a fit under the names that the estimator has for them.

    Args:
        weight_concentration: What takes the place of the concentration in the priors; None: nothing does.
    """

    weight_concentration: float | None = None

    caller_names: ClassVar[Mapping[str, str]] = {
        "num_components": "n_components",
        "covariance": "covariance_type",
        "restarts": "n_init",
        "max_sweeps": "max_iter",
        "tolerance": "tol",
        "weights": "weight_concentration_prior_type",
        "data": "X",
        "seed": "random_state",
    }
    convergence_warning: ClassVar[type[UserWarning] | None] = ConvergenceWarning

    def priors_for(self, survey: Survey, shape: str) -> Priors:
        """Makes the priors of a fit of one covariance shape, with the concentration that was asked for."""
        priors = super().priors_for(survey, shape)
        if self.weight_concentration is None:
            return priors
        if self.weights == "dirichlet":
            return dataclasses.replace(priors, weight_concentration=self.weight_concentration)
        return dataclasses.replace(priors, stick_concentration=self.weight_concentration)


def options_of(estimator: Any) -> EstimatorOptions:
    """Checks what an estimator was made with, before the rows are looked at, and writes it as options of a fit."""
    check_choice("weight_concentration_prior_type", estimator.weight_concentration_prior_type, WEIGHT_PRIORS)
    _check_concentration(estimator.weight_concentration_prior)
    _check_goes_on(estimator)
    options = EstimatorOptions(
        covariance=estimator.covariance_type,
        weights=WEIGHT_PRIORS[estimator.weight_concentration_prior_type],
        priors=estimator.priors,
        restarts=estimator.n_init,
        seed=seed_of(estimator.random_state),
        max_sweeps=estimator.max_iter,
        tolerance=_tolerance_of(estimator.tol),
        start=_checked_start(estimator.init_params, estimator.means_init),
        criteria_at=estimator.criteria_at,
        posterior=estimator.posterior,
        moves=estimator.moves,
        checkpoint=estimator.checkpoint,
        weight_concentration=estimator.weight_concentration_prior,
    )
    numbers = _checked_numbers(estimator.n_components)
    if options.is_choice_of_shapes or not isinstance(numbers, int):
        _check_suits_choice(estimator)
    check_options(options, 1 if isinstance(numbers, int) else (1, 2))
    check_forgetting_factor(estimator.forgetting_factor)
    check_count("verbose", int(estimator.verbose) if isinstance(estimator.verbose, bool) else estimator.verbose, 0)
    return options


def _check_goes_on(estimator: Any) -> None:
    """Checks that a fit with a checkpoint has a seed that a later call has too: one that is drawn is another."""
    if estimator.checkpoint is not None and not isinstance(estimator.random_state, numbers.Integral):
        raise ValueError(
            "`random_state` must be a whole number with `checkpoint`: a seed that is drawn is another the next time. "
            f"Received: {type(estimator.random_state).__name__}. Pass a number, such as random_state=0."
        )


def seed_of(random_state: Any) -> int:
    """Takes a whole number for the seed itself, and draws one from what scikit-learn takes beside it."""
    if isinstance(random_state, numbers.Integral):
        return check_seed(random_state, "random_state")
    return int(check_random_state(random_state).randint(2**31 - 1))


def numbers_of(n_components: Any, survey: Survey) -> int | tuple[int, ...]:
    """Lists the numbers of components to try: "auto" is 1 to 10, but no more than there are distinct rows."""
    numbers = _checked_numbers(n_components)
    return numbers or tuple(range(1, min(_MOST_COMPONENTS, len(distinct_rows(survey.sample))) + 1))


def with_start(options: EstimatorOptions, rows: Rows, num_components: int | tuple[int, ...]) -> EstimatorOptions:
    """Puts the start that needs the rows in its place: the groups of one run of k-means."""
    if isinstance(options.start, str) and options.start == KMEANS:
        return dataclasses.replace(options, start=_groups_of_kmeans(options, rows, num_components))
    if not isinstance(options.start, str):
        wanted = num_components, rows.num_features
        if options.start.shape != wanted:
            raise ValueError(
                f"`means_init` must have the shape {wanted}: a mean per component. Received: shape "
                f"{options.start.shape}. Give one mean for each, in the units of the columns."
            )
    return options


def going_on(
    options: EstimatorOptions, last: FitResult, num_components: int | tuple[int, ...], num_features: int
) -> EstimatorOptions:
    """Makes a fit start where the last one ended, if that was a fit of the same kind and size."""
    wanted = options.covariance, options.weights, num_components, num_features
    if wanted == (last.covariance, last.weight_prior, last.num_components, last.num_features):
        return dataclasses.replace(options, start=last.variational)
    return options


def _checked_numbers(n_components: Any) -> int | tuple[int, ...]:
    """Checks the numbers of components; () stands for "auto"."""
    if isinstance(n_components, str):
        if n_components != AUTO:
            raise ValueError(
                f'`n_components` must be a whole number, several, or "auto". Received: {n_components!r}. '
                'Try n_components="auto".'
            )
        return ()
    return check_num_components(n_components, "n_components")


def _checked_start(asked: Any, means: Any) -> Any:
    """Checks how the fit begins: a name, or the means of the components."""
    if isinstance(asked, str) and asked == "random":
        raise ValueError(
            f"`init_params` must be one of {', '.join(map(repr, STARTS))}. Received: 'random', memberships by chance, "
            'which start every component at the centre of the rows. Try init_params="random_from_data".'
        )
    check_choice("init_params", asked, STARTS)
    if means is None:
        return STARTS[asked]
    start = np.asarray(means)
    if start.dtype.kind not in "fiub" or not np.isfinite(start).all():
        received = "NaN or infinite values" if start.dtype.kind in "fiub" else f"an array of dtype {start.dtype}"
        raise ValueError(
            f"`means_init` must be finite numbers (K, D). Received: {received}. Give one mean per component, in the "
            "units of the columns."
        )
    return start


def _check_suits_choice(estimator: Any) -> None:
    """Checks that the start suits several numbers of components or shapes."""
    asked = f"n_components={estimator.n_components!r}, covariance_type={estimator.covariance_type!r}"
    if estimator.means_init is not None or estimator.init_params == KMEANS:
        name, received = ("init_params", "'kmeans'") if estimator.means_init is None else ("means_init", "an array")
        raise ValueError(
            f"`{name}` must suit all numbers of components and shapes that are compared. Received: {received} with "
            f'{asked}. Try init_params="auto", which has k-means among its ways, or name one number and one shape.'
        )
    if estimator.warm_start:
        raise ValueError(
            "`warm_start` must be False where several numbers of components or shapes are compared. Received: True "
            f"with {asked}. Leave it out, or name one number and one shape."
        )


def _tolerance_of(tol: Any) -> Any:
    """Takes 0, as scikit-learn does, for sweeps until nothing is gained."""
    return _NOTHING if isinstance(tol, numbers.Real) and not isinstance(tol, bool) and tol == 0 else tol


def _check_concentration(value: Any) -> None:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if value is not None and not (is_number and math.isfinite(value) and value > 0):
        raise ValueError(
            f"`weight_concentration_prior` must be a positive number. Received: {value!r}. Leave it out for 1."
        )


def _groups_of_kmeans(options: EstimatorOptions, rows: Rows, num_components: Any) -> np.ndarray:
    """Finds the group of each row by one run of k-means, in the units of the columns, as scikit-learn's mixtures do."""
    has_gaps = bool(rows.num_empty or np.isnan(rows.values).any())
    if has_gaps or rows.num_weightless:
        received = "NaN" if has_gaps else counted(rows.num_weightless, "row") + " of weight 0"
        raise ValueError(
            f'`init_params` must not be "kmeans" for rows with gaps or of weight 0. Received: {received}. '
            'Try init_params="auto", which has k-means among its ways.'
        )
    from sklearn.cluster import KMeans

    kmeans = KMeans(num_components, n_init=1, random_state=options.seed % 2**32)
    return np.asarray(kmeans.fit(rows.values, sample_weight=rows.weights).labels_)
