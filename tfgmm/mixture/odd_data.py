"""Data that a mixture, or its priors, can say little about: detected before a fit, one sentence for each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tfgmm.common.words import counted
from tfgmm.data.summary import DataSummary
from tfgmm.mixture.odd_columns import column_doubts, odd_columns
from tfgmm.mixture.odd_gaps_and_weights import odd_gaps, odd_noise, odd_weights
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.prior_reach import belief_of, decided_by_priors, pulls_of_priors, shares_with_values
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.mixture.starts import distinct_rows
from tfgmm.mixture.virtual_copies import are_whole, with_counts

# Widths of a component that its location is held away from its rows. Of 150 fits of a group of 60 or 1,000 rows and one
# of 3 to 40, none that was right to half a width is beyond it. A component that is held far away is widened until it
# reaches its rows, so that few are beyond one.
_FAR_PULLED = 0.5
# Enough rows to find K distinct ones, without sorting them all.
_FEW_ROWS = 5_000
# Standard deviations beyond which a row is far out.
_FAR = 100.0
# Spreads of columns that differ by more than this are in different units.
_OTHER_UNITS = 10.0
# At most this share of the rows are called far ones; more are clusters of their own.
_FEW_FAR = 0.01


class _Data(NamedTuple):
    """A sample (n, D) of rows, data units, the summary of them all, and how often rows of the sample count, (n,)."""

    sample: np.ndarray
    summary: DataSummary
    weights: np.ndarray | None = None

    def name(self, column: int) -> str:
        """Names a column, by its number where it has no name, as a message shows it."""
        names = self.summary.column_names
        return repr(names[column] if names else column)


def warn_of_odd_data(
    sample: np.ndarray,
    summary: DataSummary,
    priors: Priors,
    num_components: int,
    covariance: str = "diag",
    *,
    weights: np.ndarray | None = None,
    noise: np.ndarray | None = None,
    stacklevel: int = 5,
) -> None:
    """Warns of data that a mixture, or these priors, can say little about, once for each oddity.

    Args:
        sample: (n, D) rows, data units; NaN where a row has no value.
        summary: Summary of all rows.
        priors: Priors of the model.
        num_components: K.
        covariance: Shape of the components.
        weights: (n,) how often each row of the sample counts; None: each as often as the others.
        noise: Measurement noise of the rows of the sample, as `RowBlock` has it; None: there is none.
        stacklevel: Stack level of `warnings.warn` here, so that warnings show the user's line.
    """
    sentences = [*oddities(sample, summary, priors, num_components, covariance, weights, noise)]
    for sentence in [*sentences, *spreads_that_differ(summary, priors, covariance)]:
        warnings.warn(f"{sentence}.", UserWarning, stacklevel=stacklevel)


def oddities(
    sample: np.ndarray,
    summary: DataSummary,
    priors: Priors,
    num_components: int,
    covariance: str,
    weights: np.ndarray | None = None,
    noise: np.ndarray | None = None,
) -> Iterator[str]:
    """Yields a sentence without its full stop for everything odd about the data; arguments as in `warn_of_odd_data`."""
    data = _Data(sample, summary, weights)
    constant = _constant_columns(data)
    if constant:
        names = ", ".join(constant)
        one, several = f"column {names} has one value only: it tells", f"columns {names} have one value only: they tell"
        yield f"{one if len(constant) == 1 else several} no components apart"
    rows, counts = with_counts(sample, weights, summary)
    yield from odd_columns(rows, summary, data.name, counts)
    yield from _few_distinct_rows(data, num_components)
    yield from _few_rows_per_column(data, covariance)
    yield from _far_rows(data)
    yield from _priors_elsewhere(data, priors, num_components, covariance)
    yield from odd_gaps(sample, summary, weights, covariance, data.name)
    yield from odd_weights(sample, summary, weights, num_components, data.name)
    yield from odd_noise(noise, summary, data.name)


def warn_of_pulls(
    mixture: MixtureDensity, summary: DataSummary, priors: Priors, num_data: float, *, stacklevel: int
) -> None:
    """Warns after a fit where fixed priors hold a component away from its rows, and nothing was said before the fit.

    Args:
        mixture: The mixture at the posterior means.
        summary: Summary of the rows.
        priors: Priors of the fit; learned ones give way.
        num_data: N of training.
        stacklevel: Stack level of `warnings.warn` here, so that the warning shows the user's line.
    """
    num_components, covariance = len(mixture.log_weights), mixture.covariance
    if priors.is_learned or decided_by_priors(summary, priors, num_components, covariance).any():
        return
    pulls = pulls_of_priors(mixture, num_data, priors, summary)
    component, column = map(int, np.unravel_index(np.argmax(pulls), pulls.shape))
    if pulls[component, column] > _FAR_PULLED:
        belief = belief_of(priors, summary.num_features, covariance)
        share = float(np.exp(mixture.log_weights[component]) * shares_with_values(summary)[column])
        num_rows = max(1, round(num_data * share))
        shape = "" if covariance == "diag" else f', "{covariance}"'  # the default of `from_data`
        warnings.warn(
            f"the priors decide where component {component} is: about {counted(num_rows, 'row')} of it do not outweigh "
            f"them. In column {_Data(np.zeros((0, 0)), summary).name(column)} it is held about "
            f"{pulls[component, column]:.2g} of its widths away from its rows, towards {belief.loc_mean[column]:.3g}, "
            f"from which the priors expect it within {belief.loc_scale[column]:.3g}. Take them from the data, "
            f"priors=tfgmm.Priors.from_data(x{shape}), or state them in the units of the columns.",
            UserWarning,
            stacklevel=stacklevel,
        )


def doubts_of_columns(
    sample: np.ndarray,
    summary: DataSummary,
    covariance: str,
    widths: np.ndarray,
    weights: np.ndarray | None = None,
) -> tuple[str, ...]:
    """Lists what in the columns speaks against calling a number of components certain; see `column_doubts`.

    Args:
        sample, summary, covariance, weights: As in `warn_of_odd_data`.
        widths: As in `column_doubts`.
    """
    rows, counts = with_counts(sample, weights, summary)
    return column_doubts(rows, summary, covariance, widths, _Data(sample, summary).name, counts)


def spreads_that_differ(summary: DataSummary, priors: Priors, covariance: str) -> Iterator[str]:
    """Yields a sentence without its full stop where one width is to serve columns of different units."""
    spread = np.array(summary.spread) / np.array(priors.column_scale)
    widest, narrowest = (
        int(choose(np.where(summary.varies, spread, otherwise)))
        for choose, otherwise in ((np.argmax, 0.0), (np.argmin, np.inf))
    )
    if COVARIANCES[covariance].is_spherical and spread[widest] > _OTHER_UNITS * spread[narrowest]:
        name = _Data(np.zeros((0, 0)), summary).name
        yield (
            f"the spread of column {name(widest)} is {spread[widest] / spread[narrowest]:.3g} times that of column "
            f"{name(narrowest)}, and a spherical component is as wide in one as in the other: the narrow column "
            "hardly counts. Standardise the columns"
        )


def _constant_columns(data: _Data) -> list[str]:
    is_constant = np.fmin.reduce(data.sample) == np.fmax.reduce(data.sample)  # of the values that are there
    if data.summary.minimum is not None:  # of all rows: a rare value may be missing from the sample
        is_constant = np.array(data.summary.minimum) == np.array(data.summary.maximum)
    return [data.name(int(column)) for column in np.flatnonzero(is_constant)]


def _few_distinct_rows(data: _Data, num_components: int) -> Iterator[str]:
    num_distinct = len(distinct_rows(data.sample[:_FEW_ROWS]))
    if num_distinct < num_components:  # the first rows may be alike where the data is sorted
        num_distinct = len(distinct_rows(data.sample))
    if num_distinct < num_components:
        num_rows, num_all = len(data.sample), data.summary.num_rows or data.summary.num_data
        where = f"in a sample of {num_rows:,} " if num_rows < num_all else ""
        rows, tell = ("row", "it tells") if num_distinct == 1 else ("rows", "they tell")
        yield (
            f"{num_distinct} distinct {rows} {where}for {counted(num_components, 'component')}: {tell} no more than "
            f"{num_distinct} apart"
        )


def _few_rows_per_column(data: _Data, covariance: str) -> Iterator[str]:
    num_data, num_features = data.summary.num_data, data.summary.num_features
    if COVARIANCES[covariance].is_correlated and num_data <= num_features:
        yield (
            f"{_rows(num_data)} {'tells' if num_data == 1 else 'tell'} little of a covariance matrix of "
            f'{num_features} columns: the prior decides most of it. the shape "diag" needs fewer rows'
        )


def _rows(number: float) -> str:
    """Writes a number of rows, which is a sum of weights where rows have some."""
    short = round(number, 1)
    return counted(int(short) if short == int(short) else short, "row")


def _far_rows(data: _Data) -> Iterator[str]:
    sample, middle, scale = data.sample, np.array(data.summary.centre), np.array(data.summary.spread)
    away = np.abs(sample - middle)
    is_far = (away > _FAR * scale).any(axis=1)
    weights = np.ones(len(sample)) if data.weights is None else data.weights
    # Weights that are no counts do not change how many rows there are, but how much they are of the whole
    counts = weights if are_whole(weights) else np.ones(len(sample))
    num_far, num_rows = int(counts[is_far].sum()), int(counts.sum())
    if 0 < num_far and (num_far <= 1 or weights[is_far].sum() <= _FEW_FAR * weights.sum()):
        worst = int(np.argmax(np.fmax.reduce(away / scale)))
        yield (
            f"{num_far} of {num_rows} rows {'is' if num_far == 1 else 'are'} more than {_FAR:.0f} spreads from the "
            f"centre, in column {data.name(worst)} up to {np.nanmax(np.abs(sample[:, worst])):.3g}: they can take "
            "components of their own, or widen one, and all where widths are tied. Drop them, or ask for one component "
            "more"
        )


def _priors_elsewhere(data: _Data, priors: Priors, num_components: int, covariance: str) -> Iterator[str]:
    decided = decided_by_priors(data.summary, priors, num_components, covariance)
    if decided.any():
        worst, belief = int(np.argmax(decided)), belief_of(priors, data.summary.num_features, covariance)
        num_rows, share = data.summary.num_data, float(shares_with_values(data.summary)[worst])
        rows = _rows(num_rows) if share == 1.0 else f"{_rows(round(share * num_rows))} with a value"
        shape = "" if covariance == "diag" else f', "{covariance}"'  # the default of `from_data`
        yield (
            f"the priors do not suit the data: column {data.name(worst)} has mean {data.summary.centre[worst]:.3g} and "
            f"standard deviation {data.summary.spread[worst]:.3g}, but they expect components within "
            f"{belief.loc_scale[worst]:.3g} of {belief.loc_mean[worst]:.3g}, about {belief.width[worst]:.3g} wide, "
            f"and {rows} for {counted(num_components, 'component')} do not outweigh "
            f"that. Take them from the data, priors=tfgmm.Priors.from_data(x{shape}), or state them in the units of "
            "the columns"
        )
