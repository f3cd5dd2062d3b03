"""Whether a fit is stuck: more components, some of them empty, must reach a bound that is known without any sweep.

K components that are added to a fit without rows change nothing for the rows but the expected logarithms of the
weights, and cost what the divergence of such a posterior is above that of the fit. Both are closed forms. This holds
across numbers of components of one covariance shape. It does not hold across shapes: their priors live on other sets
of precisions, so that no bound of one follows from a bound of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.readers import Rows
from tfgmm.families.variational import Factors, Values, VariationalPosterior
from tfgmm.fit.labels import start_at_labels
from tfgmm.fit.occupied import log_num_modes
from tfgmm.fit.restarts import Restart
from tfgmm.fit.result import FitResult
from tfgmm.mixture.features import num_products
from tfgmm.mixture.filled import with_gaps_filled
from tfgmm.mixture.parameters import FORMS, LOCS
from tfgmm.mixture.registry import WEIGHT_PRIORS
from tfgmm.mixture.statistics import Statistics
from tfgmm.mixture.virtual_copies import copies
from tfgmm.scoring.scores import score_data

# Nats below what is known to be possible that count as none: a fit ends a little before its top
_ALLOWED = 0.5
# Steps of the components without rows; their divergence is at its least after a few
_MOST_STEPS, _LEAST_GAIN = 50, 1e-3
# Rows that are divided, at most, where they have weights
_MOST_COPIES = 20_000


class Nested(NamedTuple):
    """A fit with components added that have no rows.

    values: Numbers behind q with them.
    elbo: Its bound, nats, which the best fit of that many components has too, or more.
    evidence_at_least: Bound on the log evidence around one mode: the same without what the added components themselves
        cost, nats. The posterior takes them for independent of the scales that the priors learn, which matrices of many
        columns pay for: 84 nats of 30 columns. The evidence does not pay it: so much of it is known.
    """

    values: Values
    elbo: float
    evidence_at_least: float


class Smaller(NamedTuple):
    """A fit with fewer components, to all rows or to those of a fold.

    q: Its posterior.
    elbo: Its bound, nats.
    num_rows: Number of rows.
    """

    q: VariationalPosterior
    elbo: float
    num_rows: float

    @classmethod
    def of(cls, fit: FitResult) -> Smaller:
        """Takes what is needed of a fit to all rows."""
        return cls(fit.variational, fit.elbo, fit.num_data)


class Known(NamedTuple):
    """What smaller fits tell of a fit with more components.

    smaller: The fit that promises the largest bound.
    nested: It, with components that have no rows.
    evidence_at_least: The largest bound that any of them gives on the log evidence around one mode, nats.
    log_evidence: The same with all equal modes counted, as `Selection.table` has it.
    """

    smaller: FitResult
    nested: Nested
    evidence_at_least: float
    log_evidence: float


def with_empty(smaller: Smaller, larger: VariationalPosterior) -> Nested:
    """Adds components without rows to a fit, and computes the bound from that of the fit, without a pass over rows.

    The logarithm of a sum over components is convex in the logarithms of the weights, so that
    bound >= bound of the fit + sum_k N_k (E[log theta_k] now - before) - (divergence now - before).

    Args:
        smaller: A fit with fewer components.
        larger: Posterior of the same shape and priors, and of more components; it stays as it is.
    """
    q = smaller.q
    num_added = larger.num_components - q.num_components
    before: Any = q.weights  # one family, and q in it
    after: Any = larger.weights
    of_weights, of_components = q.factors()
    counts = np.minimum(q.expected_counts(), smaller.num_rows)  # one component by itself has no count
    weights = after.update(np.append(counts, np.zeros(num_added)))
    components, kl = _with_empty(of_components, larger, q.centre, num_added)
    of_rows = counts @ (after.expected_log(weights)[: len(counts)] - before.expected_log(of_weights))
    of_added = kl - float(q.components.kl(of_components, q.centre))
    elbo = smaller.elbo + float(of_rows - after.kl(weights) + before.kl(of_weights))
    return Nested(larger.values_of(Factors(weights, components)), elbo - of_added, elbo - min(of_added, 0.0))


def _with_empty(posterior: Any, larger: VariationalPosterior, centre: np.ndarray, num_added: int) -> tuple[Any, float]:
    """Adds components where the prior and the others have them; returns them all, and their divergence."""
    family: Any = larger.components
    sizes = [len(value) for value in larger.factors().components]

    def joined(added: Any) -> Any:
        """Joins the components and new ones, field by field; what all share is that of the components."""
        return type(posterior)(
            *(
                value if len(value) == size else np.concatenate([value, np.asarray(other)[-num_added:]])
                for value, other, size in zip(posterior, added, sizes)
            )
        )

    copies = joined(type(posterior)(*(np.repeat(value[:1], num_added, axis=0) for value in posterior)))
    nothing, kl = _no_rows(larger), np.inf
    for _ in range(_MOST_STEPS):
        stepped = joined(family.update(copies, nothing, centre))
        before, kl = kl, float(family.kl(stepped, centre))
        copies = stepped
        if before - kl < _LEAST_GAIN:
            break
    return copies, kl


def _no_rows(q: VariationalPosterior) -> Statistics:
    num_components, num_features = q.num_components, q.num_features
    size = num_products(FORMS[q.form].write_products, num_features)
    return Statistics(*(np.zeros((num_components, *shape)) for shape in ((), (num_features,), (size,))))


def as_restart(nested: Nested, q: VariationalPosterior) -> Restart:
    """Writes a fit with empty components as a restart that has not moved yet."""
    mixture = q.plug_in(q.factors_of(nested.values))
    weights, locs = np.exp(mixture.log_weights), mixture.components[LOCS] + q.centre
    return Restart(nested.elbo, np.array([nested.elbo]), False, weights, locs, nested.values)


def known_from(smaller: Sequence[FitResult], larger: VariationalPosterior) -> Known | None:
    """Finds what all smaller fits promise to more components; None where there is no smaller fit.

    All of them are asked: the fits in between may be stuck themselves.
    """
    if not smaller:
        return None
    nested = [(fit, with_empty(Smaller.of(fit), larger)) for fit in smaller]
    fit, best = max(nested, key=lambda pair: pair[1].elbo)
    surest = max((of_fit for _, of_fit in nested), key=lambda of_fit: of_fit.evidence_at_least)
    log_evidence = surest.evidence_at_least
    if WEIGHT_PRIORS[fit.weight_prior].is_exchangeable:
        log_evidence += log_num_modes(larger.at(surest.values, larger.centre))
    return Known(fit, best, surest.evidence_at_least, log_evidence)


def nats_below(elbo: float, possible: float, least_gain: float) -> float:
    """Computes how far a bound lies below what is known to be possible, nats; 0 where it does not.

    Args:
        elbo: Bound of the fit.
        possible: What a smaller fit promises.
        least_gain: Gain of a sweep over all rows that counts as none, nats.

    Example:

    >>> nats_below(-10.0, -9.6, 0.0), nats_below(-14.0, -10.0, 0.0)
    (0.0, 4.0)
    """
    gap = possible - elbo
    return gap if gap > _ALLOWED + least_gain else 0.0


def plain_rows(block: RowBlock, centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Writes rows as often as they count, with their gaps filled, (m, D) float64, data units: for starts alone.

    Args:
        block: Rows, data units.
        centre: (D,) float64, data units.
        spread: (D,) widths that count as equal.
    """
    values, weights = np.asarray(block.values, np.float64), block.weights
    values = values if weights is None else values[copies(weights, _MOST_COPIES, 0)]
    return with_gaps_filled(values - centre, spread) + centre if np.isnan(values).any() else values


def split_starts(
    smaller: VariationalPosterior, larger: VariationalPosterior, sample: np.ndarray, spread: np.ndarray, most: int
) -> list[Values]:
    """Makes starts in which a component of a smaller fit is divided in two, the largest first.

    Along its longest axis, or its middle from what is around it; further groups come from the largest ones.

    Args:
        smaller: Posterior of a fit with fewer components.
        larger: Untouched posterior with more.
        sample: (n, D) rows without gaps, data units.
        spread: (D,) widths that count as equal.
        most: How many components are divided, at most.
    """
    labels = np.argmax(score_data(smaller.plug_in(), sample, "responsibilities"), axis=1)
    source, scaled = Rows(sample), (sample - smaller.centre) / spread
    groups, sizes = np.unique(labels, return_counts=True)
    found = []
    for group in groups[np.argsort(-sizes, kind="stable")][:most]:
        for divided in _divisions(scaled, labels, int(group)):
            complete = _divided_on(scaled, divided, larger.num_components)
            if complete is not None:
                found.append(start_at_labels(larger, source, complete, spread))
    return found


def _divisions(scaled: np.ndarray, labels: np.ndarray, group: int) -> Iterator[np.ndarray]:
    """Yields labels (n,) in which a part of a group has a number of its own."""
    places = np.flatnonzero(labels == group)
    away = scaled[places] - scaled[places].mean(axis=0)
    for values in (away @ _longest_axis(away), np.square(away).sum(axis=1)):
        is_part = values > np.median(values)
        if is_part.any():
            divided = labels.copy()
            divided[places[is_part]] = labels.max() + 1
            yield divided


def _longest_axis(away: np.ndarray) -> np.ndarray:
    """Finds the direction in which rows (n, D) about 0 vary most, (D,)."""
    axis: np.ndarray = np.linalg.eigh(away.T @ away)[1][:, -1]
    return axis


def _divided_on(scaled: np.ndarray, labels: np.ndarray, num_groups: int) -> np.ndarray | None:
    """Divides the largest groups until there are so many, numbered from 0; None where the rows do not allow it."""
    while len(np.unique(labels)) < num_groups:
        groups, sizes = np.unique(labels, return_counts=True)
        divided = next(_divisions(scaled, labels, int(groups[np.argmax(sizes)])), None)
        if divided is None:
            return None
        labels = divided
    numbers: np.ndarray = np.unique(labels, return_inverse=True)[1]
    return numbers if len(np.unique(labels)) == num_groups else None
