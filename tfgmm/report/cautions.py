"""What a reader of a report must know before its numbers are believed, in plain words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import pdtrc

from tfgmm.common.words import beside, counted, printable
from tfgmm.mixture.hidden_values import sentences_on_hidden, sentences_on_unseen, shares_hidden
from tfgmm.mixture.occupied import is_occupied
from tfgmm.mixture.odd_data import oddities
from tfgmm.mixture.outliers import NUM_SAMPLES
from tfgmm.plot.losses import num_optima
from tfgmm.posterior.record import MEAN_FIELD, PosteriorRecord
from tfgmm.report.row_facts import row_weights, rows_and_sum

if TYPE_CHECKING:
    from tfgmm.data.summary import DataSummary
    from tfgmm.data.survey import Survey
    from tfgmm.report.subject import FitRecord, Fitted

OF_FIT = PosteriorRecord(MEAN_FIELD, MEAN_FIELD)
_DOUBT = 0.05  # a component that shares more of its rows than this with others overlaps them
_HANDFUL = 5  # rows
_MOST_NAMED = 5  # components named in a warning
_CLEAR = 3.0  # nats between two bounds: odds of 20 to 1, "strong" in Kass and Raftery (1995), section 3.2
_MOST_PATTERNS = 20  # of gaps, whose rows are looked at for those far out
_SURE = 0.01  # rows so far out come from the mixture less often than this
_MANY_GAPS = 1.0 / 3.0  # share of the values that are missing


def cautions(fitted: Fitted, survey: Survey, responsibilities: np.ndarray) -> list[str]:
    """Says what a reader must know before the numbers are believed, in whole sentences; none where all is well.

    Args:
        fitted: The mixture.
        survey: Survey of the rows that the report is about.
        responsibilities: Memberships of the rows of the survey's sample, (n, K).
    """
    sentences = [
        _other_rows(fitted, survey),
        *([] if fitted.record is None else [_not_converged(fitted.record), _optima(fitted.record)]),
        _empty(fitted),
        _handfuls(fitted),
        _overlaps(responsibilities, row_weights(survey), fitted.posterior),
        *(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in fitted.posterior.warnings()),
        _far_rows(fitted, survey),
        _many_gaps(survey.summary),
        *_hidden_values(fitted, survey),
        *_odd_data(fitted, survey),
    ]
    return [sentence for sentence in sentences if sentence]


def _other_rows(fitted: Fitted, survey: Survey) -> str:
    ours, other = fitted.summary, survey.summary
    if ours is None or _are_same(ours, other):
        return ""
    return (
        f"These are not the rows that the mixture was fitted on: {rows_and_sum(other.num_data, other)} are shown here, "
        f"it was fitted on {rows_and_sum(fitted.num_data, ours).removesuffix(' rows')}.{_not_given(ours, other)} "
        "Memberships, the pictures' rows and the columns' figures are those of the rows shown."
    )


def _are_same(ours: DataSummary, other: DataSummary) -> bool:
    """Tells whether two summaries may be of the same rows; sums of weights depend on the order of the rows."""
    return math.isclose(ours.num_data, other.num_data, rel_tol=1e-9) and ours.fingerprint in (None, other.fingerprint)


def _not_given(ours: DataSummary, other: DataSummary) -> str:
    """Says what the rows of the fit had and those that are shown have not."""
    words = ""
    if ours.weights_name is not None and other.weights_name is None:
        column = f" (column {ours.weights_name!r})" if ours.weights_name else ""
        words = printable(f" Those had weights{column}, and none were given here.")
    if ours.noise_columns and not other.noise_columns:
        words += " Those had measurement noise, and none was given here."
    return words


def _not_converged(record: FitRecord) -> str:
    if record.converged:
        return ""
    bounds = record.history["elbo"]
    gain = f", by {bounds[-1] - bounds[-2]:.2g} nats in the last" if len(bounds) > 1 and bounds[-1] > bounds[-2] else ""
    return (
        f"The fit did not converge: its bound had not stopped rising after {counted(len(bounds), 'sweep')}{gain}. All "
        "numbers below may still move. Fit again with a larger max_sweeps."
    )


def _empty(fitted: Fitted) -> str:
    empty = [int(k) for k in np.flatnonzero(~is_occupied(fitted.expected_counts))]
    if not empty:
        return ""
    verb, where = ("has", "it") if len(empty) == 1 else ("have", "each")
    return (
        f"{_named(empty)} {verb} no rows: less than one is expected in {where}. What the table says of an empty "
        "component is the prior, not the data."
    )


def _handfuls(fitted: Fitted) -> str:
    counts = fitted.expected_counts
    small = [int(k) for k in np.flatnonzero(is_occupied(counts) & (counts < _HANDFUL))]
    if not small or fitted.num_data < _HANDFUL * len(counts):
        return ""
    verb, each = ("rests", "") if len(small) == 1 else ("rest", " each")
    return (
        f"{_named(small)} {verb} on fewer than {_HANDFUL} rows{each}: outliers may have taken components of their own. "
        "Look at those rows: model.assign(rows)."
    )


def _optima(record: FitRecord) -> str:
    ends = np.array([restart.elbo for restart in record.restarts])
    gaps = np.sort(ends.max() - ends)
    number, num_best = num_optima(gaps)
    if number == 1:
        return ""
    others = len(ends) - num_best
    left = "ended in" if all(restart.converged for restart in record.restarts) else "ended, or were given up, in"
    only = " Only one start found it: more restarts may find a better one still." if num_best == 1 else ""
    worse = "a worse one" if others == 1 else "worse ones"
    return (
        f"The starts disagree: {num_best} of {len(ends)} reached the best solution, {others} {left} {worse}, "
        f"{_span(gaps[num_best], gaps[-1])} nats below.{_rival(gaps[num_best])}{only}"
    )


def _span(least: float, most: float) -> str:
    ends = dict.fromkeys((f"{least:,.1f}", f"{most:,.1f}"))  # once where both are printed alike
    return " to ".join(ends)


def _rival(gap: float) -> str:
    if gap >= _CLEAR:
        return f" The best one was kept; {gap:,.1f} nats speak clearly against the others."
    return f" The best one was kept; with {gap:.1f} nats less the data can be read nearly as well in another way."


def _overlaps(responsibilities: np.ndarray, weights: np.ndarray, posterior: PosteriorRecord = OF_FIT) -> str:
    total = weights.sum()
    weighted = (responsibilities * weights[:, None]).astype(np.float64)
    shared = weighted.T @ responsibilities / total
    shares = weighted.sum(axis=0) / total
    own_shares = np.diag(shared) / np.maximum(shares, 1e-300)
    has_rows = is_occupied(shares * total)
    overlapping = [int(k) for k in np.flatnonzero((1.0 - own_shares > _DOUBT) & has_rows)]
    if not overlapping:
        return ""
    verb, whose = ("overlaps another", "its") if len(overlapping) == 1 else ("overlap others", "their")
    most = 100.0 * (1.0 - own_shares[overlapping]).max()
    percent = beside(most, 100.0 * _DOUBT)
    up_to = f"{percent} %" if len(overlapping) == 1 else f"more than {100.0 * _DOUBT:.0f} %, and up to {percent} %,"
    return f"{_named(overlapping)} {verb}: {up_to} of {whose} rows' memberships lie elsewhere. {_on_width(posterior)}"


def _on_width(posterior: PosteriorRecord) -> str:
    """Says what overlap does to the intervals."""
    if posterior.method == MEAN_FIELD:
        return (
            "There the intervals are too narrow: the fit takes memberships and components for independent of each "
            "other. Those of the exact posterior are not; below the table of components stands how to get them."
        )
    unsure = "Which component such a row belongs to stays unsure"
    return f"{unsure}; the intervals allow for that." if posterior.is_trusted else f"{unsure}."


def _far_rows(fitted: Fitted, survey: Survey) -> str:
    if survey.noise is not None:  # the score is about rows without noise: with it they lie farther out by right
        return ""
    is_judged = _has_common_gaps(survey.sample)
    weights = row_weights(survey)[is_judged]
    num_far = round(float(weights[fitted.mixture.outlier(survey.sample[is_judged]) == 0.0].sum()))
    # The probability of as many or more, a Poisson tail; scipy.stats would take half a second to import
    if num_far == 0 or pdtrc(num_far - 1, weights.sum() / NUM_SAMPLES) > _SURE:
        return ""
    rows = "1 row lies" if num_far == 1 else f"{num_far:,} rows lie"
    return (
        f"{rows} farther out than any of {NUM_SAMPLES:,} rows drawn from the mixture: it does not describe them. "
        "Look at them before anything else: model.outlier(rows) is 0 there."
    )


def _has_common_gaps(sample: np.ndarray) -> np.ndarray:
    """Finds the rows that have all values, or gaps in the same columns as many others, (n,) bool.

    Each choice of columns costs a table of the mixture, and there may be as many as rows.
    """
    _, numbers, counts = np.unique(np.isnan(sample), axis=0, return_inverse=True, return_counts=True)
    is_common: np.ndarray = np.isin(numbers.reshape(-1), np.argsort(-counts, kind="stable")[:_MOST_PATTERNS])
    return is_common


def _many_gaps(summary: DataSummary) -> str:
    share = sum(summary.gaps) / ((summary.num_rows or summary.num_data) * summary.num_features)
    if share <= _MANY_GAPS:
        return ""
    return (
        f"{100.0 * share:.0f} % of all values are missing. So much rests on the assumption that values are missing at "
        "random, whatever they would have been: ask why they are missing before the numbers are believed."
    )


def _hidden_values(fitted: Fitted, survey: Survey) -> list[str]:
    """Says where noise or gaps hide so much of the components that intervals of q are too narrow."""
    if fitted.posterior.method != MEAN_FIELD:
        return []
    sentences = sentences_on_unseen(fitted.summary or survey.summary, fitted.covariance)
    if survey.noise is not None:
        has_rows = is_occupied(fitted.expected_counts)
        widths = fitted.mixture.mean_parameters().scales[0, 0]
        shares = shares_hidden(widths[has_rows] if has_rows.any() else widths, survey.rows)
        sentences += sentences_on_hidden(shares, survey.summary.column_names)
    return [printable(f"{sentence[:1].upper()}{sentence[1:]}.") for sentence in sentences]


def _odd_data(fitted: Fitted, survey: Survey) -> list[str]:
    """Says what fitting warns of in the rows themselves: constant columns, few rows far out, priors that misfit."""
    args = survey.sample, survey.summary, fitted.priors, fitted.num_components, fitted.covariance
    carried = survey.weights, survey.noise
    messages = [printable(f"{sentence}.") for sentence in oddities(*args, *carried)]
    return [message[:1].upper() + message[1:] for message in messages]


def _named(numbers: list[int]) -> str:
    first = ", ".join(map(str, numbers[:_MOST_NAMED]))
    more = f" ({len(numbers)} in all)" if len(numbers) > _MOST_NAMED else ""
    return f"Component{'s' if len(numbers) > 1 else ''} {first}{', ...' * bool(more)}{more}"
