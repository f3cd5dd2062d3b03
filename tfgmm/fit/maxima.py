"""The maxima of the likelihood of several fits: each at least as likely as the mixtures that are special cases of it.

Fewer components are more of them, some of which have no weight; a sphere is an ellipse, and components that are tied
may also differ. So EM begins at each fit, and also at the largest maximum of its special cases.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.common.words import counted, with_and
from tfgmm.fit.checkpoint.identity import step_name
from tfgmm.fit.checkpoint.journal import Journal
from tfgmm.fit.maximum import MOST_SWEEPS, Maximum, maximum_near
from tfgmm.fit.result import FitResult
from tfgmm.fit.single import FitTask, batches_of
from tfgmm.fit.stages import stages_of
from tfgmm.fit.sweep_batches import Batches
from tfgmm.mixture.parameters import LOCS, MixtureDensity, form_of, num_parameters
from tfgmm.mixture.priors_from_data import least_variances
from tfgmm.mixture.registry import COVARIANCES, mixtures_of

# Steps of EM that tell divided components apart, and how many are divided, the heaviest
_FEW_SWEEPS, _MOST_DIVIDED = 20, 4
# Of these so many go on at most
_MOST_GOING_ON = 3
# Standard deviations between the middle of a component and those of its halves
_HALF = 0.8
# Logarithm of a weight that is as good as none
_NO_WEIGHT = -690.0
_MOST_NAMED = 3


class _Kind(NamedTuple):
    """A set of mixtures, whatever its shape is called."""

    num_components: int
    is_tied: bool
    is_spherical: bool
    is_correlated: bool

    def contains(self, other: _Kind) -> bool:
        """Tells whether all mixtures of the other kind are special cases of this one."""
        return (
            other.num_components <= self.num_components
            and (other.is_tied or other.num_components == 1 or not self.is_tied)
            and other.is_spherical >= self.is_spherical
            and other.is_correlated <= self.is_correlated
        )


class _Problem(NamedTuple):
    """What EM is told of the rows.

    batches: The rows.
    floor: (D,) least variances, squared data units.
    units: (D,) widths that count as equal for spherical shapes, data units.
    journal: What earlier runs have found.
    """

    batches: Batches
    floor: np.ndarray
    units: np.ndarray
    journal: Journal

    def maximum_near(self, mixture: MixtureDensity, most_sweeps: int = MOST_SWEEPS) -> Maximum:
        """Follows EM from a mixture, unless an earlier run has; see `maximum.maximum_near`."""
        begins = *mixture.components.values(), mixture.log_weights, str(most_sweeps)
        return self.journal.remembered(
            step_name("maximum", mixture.covariance, len(mixture.log_weights), *begins),
            lambda: maximum_near(mixture, self.batches, self.floor, self.units, most_sweeps),
        )


def at_maxima(tasks: Sequence[FitTask], results: Sequence[FitResult]) -> list[FitResult]:
    """Takes the likelihoods of fits at their maxima, and warns where a floor decides one.

    Args:
        tasks: A task per covariance shape.
        results: Fits to the same rows.
    """
    kinds: dict[_Kind, list[int]] = {}
    for place, fit in enumerate(results):
        kind = _Kind(fit.num_components, *mixtures_of(fit.covariance, fit.num_components, fit.num_features))
        kinds.setdefault(kind, []).append(place)
    found: dict[_Kind, Maximum] = {}
    taken = list(results)
    for kind, places in sorted(kinds.items(), key=lambda item: _size_of(results[item[1][0]])):
        fits = [results[place] for place in places]
        [task] = (task for task in tasks if task.covariance == fits[0].covariance)
        within = [maximum for other, maximum in found.items() if kind.contains(other)]
        problem = _problem_of(task, fits[0])
        found[kind] = maximum = _largest(problem, fits, within)
        if maximum.at_floor.any():
            warnings.warn(_about_floor(fits[0], maximum, problem.floor), UserWarning, stacklevel=5)
        for place in places:
            taken[place] = dataclasses.replace(
                results[place],
                log_likelihood=maximum.log_likelihood,
                complete_log_likelihood=maximum.complete_log_likelihood,
                criteria_at="mode",
            )
    return taken


def _size_of(fit: FitResult) -> tuple[int, int]:
    """Counts components and free numbers: special cases come before what contains them."""
    return fit.num_components, num_parameters(fit.covariance, fit.num_components, fit.num_features)


def _problem_of(task: FitTask, fit: FitResult) -> _Problem:
    q, summary, options = fit.variational, task.survey.summary, task.options
    squares = np.square(summary.spread)
    floor = np.broadcast_to(fit.priors.least_scale, squares.shape) * squares
    if options.priors == "auto":  # which have a floor of their own for spheres and for matrices
        floor = least_variances(summary, task.survey.sample, task.survey.weights)
    rows = stages_of(q, task.survey, options, task.gap_columns)[-1].rows
    units = np.broadcast_to(fit.priors.column_scale, squares.shape)
    return _Problem(batches_of(task, q, rows), floor, units, task.journal)


def _largest(problem: _Problem, fits: Sequence[FitResult], within: Sequence[Maximum]) -> Maximum:
    """Finds the largest maximum that EM reaches from fits of one kind, and from its special cases."""
    shape, num_components = fits[0].covariance, fits[0].num_components
    best = _likeliest([problem.maximum_near(as_shape(fit.plug_in(), shape)) for fit in fits])
    if not within:
        return best
    # The special case itself, where nothing is likelier
    best = _likeliest([best, _with_nobody(_likeliest(within), shape, num_components)])
    starts = _starts(within, shape, num_components, np.array(fits[0].data_summary.spread))
    return _from_other_starts(problem, best, [problem.maximum_near(start, _FEW_SWEEPS) for start in starts])


def _from_other_starts(problem: _Problem, best: Maximum, begun: Sequence[Maximum]) -> Maximum:
    """Goes on from what is likelier, best first, to the first maximum without more components at the floor.

    Some division leads to a component around a few rows nearly always, as likely as the floor allows.
    """
    likelier = [one for one in begun if one.log_likelihood > best.log_likelihood and _is_as_wide(one, best)]
    for one in sorted(likelier, key=lambda one: -one.log_likelihood)[:_MOST_GOING_ON]:
        other = problem.maximum_near(one.mixture)
        if _is_as_wide(other, best):
            return other
    return best


def _is_as_wide(one: Maximum, other: Maximum) -> bool:
    """Tells whether no more components are at the floor."""
    return bool(one.at_floor.any(axis=1).sum() <= other.at_floor.any(axis=1).sum())


def _likeliest(maxima: Sequence[Maximum]) -> Maximum:
    return max(maxima, key=lambda maximum: maximum.log_likelihood)


def _starts(within: Sequence[Maximum], shape: str, num_components: int, spread: np.ndarray) -> Iterator[MixtureDensity]:
    """Yields the likeliest special case with as many components, and that with fewer, each of its heaviest divided."""
    as_many = [maximum for maximum in within if len(maximum.at_floor) == num_components]
    fewer = [maximum for maximum in within if len(maximum.at_floor) < num_components]
    if as_many:
        yield as_shape(_likeliest(as_many).mixture, shape)
    if fewer:
        mixture = as_shape(_likeliest(fewer).mixture, shape)
        for component in np.argsort(-mixture.log_weights, kind="stable")[:_MOST_DIVIDED]:
            for is_inside in (False, True):
                divided = _divided(mixture, int(component), spread, is_inside)
                while len(divided.log_weights) < num_components:
                    divided = _divided(divided, int(np.argmax(divided.log_weights)), spread)
                yield divided


def _divided(mixture: MixtureDensity, component: int, spread: np.ndarray, is_inside: bool = False) -> MixtureDensity:
    """Divides a component in two halves along its longest axis, or its middle from what is around it."""
    shape, name = COVARIANCES[mixture.covariance], mixture.form.precision_name
    log_weights, locs, precisions = mixture.log_weights, mixture.components[LOCS], mixture.components[name]
    step = (
        np.zeros(len(spread)) if is_inside and not shape.is_tied else _HALF * _longest_axis(mixture, component, spread)
    )
    log_weights = np.append(log_weights, log_weights[component])
    log_weights[[component, -1]] -= np.log(2.0)
    locs = np.concatenate([locs, locs[[component]] - step])
    locs[component] += step
    if not (shape.is_tied and shape.is_correlated):
        precisions = np.concatenate([precisions, precisions[[component]]])
        if not step.any():
            precisions[component] *= 2.0
            precisions[-1] *= 0.5
    return mixture._replace(log_weights=log_weights, components={LOCS: locs, name: precisions})


def _longest_axis(mixture: MixtureDensity, component: int, spread: np.ndarray) -> np.ndarray:
    """Finds the direction in which a component is widest, as long as its standard deviation, (D,) data units."""
    scales, covariances = mixture.form.covariances(mixture.components)
    if covariances is None:
        is_widest = np.arange(len(spread)) == np.argmax(scales[component] / spread)
        return np.where(is_widest, scales[component], 0.0)
    sizes, vectors = np.linalg.eigh(covariances[component] / np.outer(spread, spread))
    axis: np.ndarray = np.sqrt(sizes[-1]) * vectors[:, -1] * spread
    return axis


def _with_nobody(maximum: Maximum, covariance: str, num_components: int) -> Maximum:
    """Writes a special case as a mixture of more components, of which the added ones have no weight."""
    mixture, num_added = as_shape(maximum.mixture, covariance), num_components - len(maximum.at_floor)
    places = np.append(np.arange(len(maximum.at_floor)), np.zeros(num_added, np.intp))
    is_one = COVARIANCES[covariance].is_tied and COVARIANCES[covariance].is_correlated
    components = {
        name: value if is_one and name != LOCS else value[places] for name, value in mixture.components.items()
    }
    log_weights = np.append(mixture.log_weights, np.full(num_added, _NO_WEIGHT))
    at_floor = np.concatenate([maximum.at_floor, np.zeros((num_added, maximum.at_floor.shape[1]), bool)])
    return maximum._replace(mixture=mixture._replace(log_weights=log_weights, components=components), at_floor=at_floor)


def as_shape(mixture: MixtureDensity, covariance: str) -> MixtureDensity:
    """Writes a mixture in the form of another shape, of which it is a special case.

    Example:

    >>> round_one = MixtureDensity(
    ...     "spherical", np.zeros(2), np.zeros(1), {"locs": np.zeros((1, 2)), "precisions": np.full((1, 2), 4.0)}
    ... )
    >>> as_shape(round_one, "full").components["whiteners"].tolist()
    [[[2.0, 0.0], [0.0, 2.0]]]
    """
    shape, form = COVARIANCES[covariance], form_of(covariance)
    scales, covariances = mixture.form.covariances(mixture.components)
    if not shape.is_correlated:
        return mixture._replace(
            covariance=covariance, components={LOCS: mixture.components[LOCS], form.precision_name: scales**-2.0}
        )
    if mixture.form is form:
        precisions = mixture.components[form.precision_name]
    elif covariances is None:
        precisions = np.eye(scales.shape[1]) / scales[:, :, None]
    if not shape.is_tied:
        precisions = np.broadcast_to(precisions, (*scales.shape, scales.shape[1]))
    precisions = np.array(precisions[:1] if shape.is_tied else precisions)
    return mixture._replace(
        covariance=covariance, components={LOCS: mixture.components[LOCS], form.precision_name: precisions}
    )


def _about_floor(fit: FitResult, maximum: Maximum, floor: np.ndarray) -> str:
    columns, names = np.flatnonzero(maximum.at_floor.any(axis=0)), fit.column_names or range(fit.num_features)
    told = [f"{names[column]!r} (variance {floor[column]:.3g})" for column in columns[:_MOST_NAMED]]
    if len(columns) > _MOST_NAMED:
        told.append(f"{len(columns) - _MOST_NAMED} more")
    number = int(maximum.at_floor.any(axis=1).sum())
    return (
        f"covariance={fit.covariance!r} with {counted(fit.num_components, 'component')}: at the maximum of the "
        f"likelihood {number} {'is' if number == 1 else 'are'} as narrow as the floor allows in "
        f"{'column' if len(columns) == 1 else 'columns'} {with_and(told)}. The floor decides the width, and with it "
        'AIC, BIC and ICL. Leave out criteria_at="mode", or ask for fewer components.'
    )
