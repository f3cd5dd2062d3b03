"""How far priors reach: for which columns they decide the answer, and not the rows.

With n rows to a component, a prior Normal(m0, s0) of its location and a Gamma of shape a0 of its precision, which
counts as 2 a0 rows, the posterior forgets the priors as n grows. Fits with fixed priors broke (means off by more than
the width of a component, two to four components, 60 to 3,000 rows) from these values on:

- rows sqrt(n) s0 away from m0, or as widely spread: components are pulled to m0 and widened until they reach the rows;
- rows whose spread is below 0.4 to 0.7 of the width that 2 a0 rows of the prior give to each of two components, or 0.15
  to 0.3 for four: they are too wide to be told apart.

That is said before the fit, of components of equal size. What happened to smaller ones is seen after it:
`pulls_of_priors`.

The limits below are somewhat stricter. Priors that learn their scale give way by themselves, unless they were made for
other data altogether.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfgmm.common.words import counted
from tfgmm.data.summary import DataSummary
from tfgmm.mixture.parameters import LOCS, MixtureDensity
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.registry import COVARIANCES

# Standard deviations, or their ratio, beyond which learned priors were learned from other data
FAR = 100.0
# Of sqrt(n): how many prior standard deviations of the location rows may be away, and what is never far
PULL, NEAR = 0.6, 5.0
# Of the spread of all rows: a width held up by the prior that leaves K components one, and one that is no longer theirs
MERGES, WIDENS = 0.7, 0.85
# Of the number of rows: a concentration of stick-breaking weights that decides, and not the rows
STICKS = 0.2
MOST_LEFT = 0.8  # below this share of the stick, the last component is one among others
# Of the expected width: a spread above it is what the prior was made for, however few the rows are
NARROW = 0.75


class Belief(NamedTuple):
    """What priors say of each column, (D,) float64, data units.

    loc_mean, loc_scale: Mean and standard deviation of the locations.
    width: About how wide a component is expected to be.
    strength: Number of rows that this counts as, without unit.
    """

    loc_mean: np.ndarray
    loc_scale: np.ndarray
    width: np.ndarray
    strength: np.ndarray


def belief_of(priors: Priors, num_features: int, covariance: str) -> Belief:
    """Reads from priors what they say of each of D columns, for components of one shape."""
    loc_scale, width = np.array(priors.loc_scale), priors.expected_widths() * np.array(priors.column_scale)
    strength = 2.0 * np.array(priors.precision_shape)
    if COVARIANCES[covariance].is_correlated:
        loc_covariance, degrees, inverse_scale = priors.matrices(num_features)
        loc_scale = np.sqrt(np.diag(loc_covariance))
        if not priors.is_learned:
            strength = np.array(degrees - num_features + 1.0)
            width = np.sqrt(np.diag(inverse_scale) / strength)
    columns = (np.array(priors.loc_mean), loc_scale, width, strength)
    return Belief(*(np.broadcast_to(column, num_features) for column in columns))


def shares_with_values(summary: DataSummary) -> np.ndarray:
    """Computes the share of the rows that have a value in each column, (D,)."""
    if not summary.gaps:
        return np.ones(summary.num_features)
    return np.asarray(1.0 - np.array(summary.gaps) / (summary.num_rows or summary.num_data))


def decided_by_priors(summary: DataSummary, priors: Priors, num_components: int, covariance: str) -> np.ndarray:
    """Marks the columns in which the priors decide what K components look like, (D,) bool.

    Rows count where they have a value.

    Example:

    >>> from tfgmm.data.summary import summarise
    >>> minutes = summarise(np.random.default_rng(0).normal([[55.0]] * 100 + [[80.0]] * 170, 6.0))
    >>> [bool(decided_by_priors(minutes, priors, 2, "diag")) for priors in (Priors(), Priors.from_data(minutes))]
    [True, False]
    """
    belief = belief_of(priors, summary.num_features, covariance)
    middle, spread = np.array(summary.centre), np.array(summary.spread)
    num_rows = shares_with_values(summary) * summary.num_data / num_components
    away = np.maximum(np.abs(middle - belief.loc_mean), spread) / belief.loc_scale
    if COVARIANCES[covariance].is_spherical:  # one width, from all columns
        units = np.broadcast_to(np.array(priors.column_scale), spread.shape)
        spread = units * np.sqrt(np.square(spread / units)[summary.varies].mean()) if summary.varies.any() else spread
    if priors.is_learned:
        decided = (away > FAR) | (spread > FAR * belief.width) | (spread < belief.width / FAR)
    else:
        decided = away > np.maximum(NEAR, PULL * num_rows**0.5)
        floor = belief.width * np.sqrt(belief.strength / (belief.strength + num_rows)) / spread
        # Of columns in which rows do not differ nothing is known
        merges = floor.min(where=summary.varies, initial=np.inf) > MERGES / num_components
        # Fewer rows than the prior counts for are no match for any prior
        decided |= (spread < NARROW * belief.width) & ((floor > WIDENS) | merges) & (num_rows >= belief.strength)
    return decided & summary.varies


def sentences_on_sticks(priors: Priors, num_components: int, num_data: float) -> list[str]:
    """Says where stick-breaking weights leave the rows to the last component, whatever the rows are; [] elsewhere.

    Each stick is expected to be 1 / (1 + gamma) of what is left, and the last component takes the rest. Three groups of
    equal size, 3 or 6 widths apart, were found up to gamma = 0.1 N, and put together from 0.3 N on where they are near.

    Args:
        priors: Priors of the mixture.
        num_components: K.
        num_data: N.
    """
    gamma = float(priors.stick_concentration)
    left = (gamma / (1.0 + gamma)) ** (num_components - 1)
    if num_components == 1 or left < MOST_LEFT or gamma <= STICKS * num_data:
        return []
    return [
        f"a concentration of {gamma:g} leaves {100.0 * left:.0f} % of the weight to the last of {num_components} "
        f"components, which stands for all beyond it, and {counted(num_data, 'row')} cannot outweigh that: take one "
        "below a tenth of the number of rows, or Dirichlet weights"
    ]


def pulls_of_priors(mixture: MixtureDensity, num_data: float, priors: Priors, summary: DataSummary) -> np.ndarray:
    """Computes how far fixed priors pull each location from the mean of its rows, (K, D), in widths of the component.

    Where the posterior is at rest, a location is the mean of the prior and of its rows, each weighted by its precision:
    what is left between location and prior says how far away those rows are. Rows go by the posterior means of the
    weights, by which a component without rows, whose location is that of the prior, has a few. Where there are no rows
    so far away, training has not come to rest, and nothing is known: 0.

    Args:
        mixture: The mixture at the posterior means.
        num_data: N of training.
        priors: Fixed priors of the posterior.
        summary: Summary of all rows.

    Example: one of ten rows at 30, with a prior Normal(0, 1) of its location.

    >>> from tfgmm.data.summary import summarise
    >>> components = {"locs": np.array([[0.0], [30.0 / 2.0]]), "precisions": np.ones((2, 1))}
    >>> mixture = MixtureDensity("diag", np.zeros(1), np.log([0.9, 0.1]), components)
    >>> pulls_of_priors(mixture, 10, Priors(), summarise(np.array([[0.0]] * 9 + [[30.0]]))).ravel()
    array([ 0., 15.])
    """
    num_features = len(mixture.centre)
    away = mixture.components[LOCS] + mixture.centre - np.array(priors.loc_mean)
    scales, covariances = mixture.form.covariances(mixture.components)
    num_rows = shares_with_values(summary) * num_data * np.exp(mixture.log_weights)[:, None]
    if covariances is None:
        pulls = away * scales**2 / np.array(priors.loc_scale) ** 2
    else:
        force = np.linalg.solve(priors.matrices(num_features)[0], away.T).T
        pulls = np.einsum("kij,kj->ki", covariances, force)
    pulls /= num_rows
    means = mixture.components[LOCS] + mixture.centre + pulls  # of the rows of each component
    lowest, highest = (np.array(summary.mean if end is None else end) for end in (summary.minimum, summary.maximum))
    is_among_rows = (means > lowest - scales) & (means < highest + scales)
    return np.where(is_among_rows, np.abs(pulls) / scales, 0.0)
