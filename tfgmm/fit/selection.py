"""Which shape, and how many components: the criteria of several fits side by side, and the one that is recommended."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.fit import selection_words
from tfgmm.mixture.parameters import num_parameters
from tfgmm.mixture.registry import COVARIANCES, WEIGHT_PRIORS, mixtures_of

if TYPE_CHECKING:
    from tfgmm.fit.result import FitResult

_PLAUSIBLE = 0.9
# Nats: a lead of less than a factor of 3 is "not worth more than a bare mention" (Kass and Raftery 1995)
LEAST_LEAD = float(np.log(3.0))

_FIELDS: tuple[tuple[str, Any], ...] = (
    ("num_components", np.int64),
    ("covariance", f"U{max(map(len, COVARIANCES))}"),
    ("elbo", np.float64),
    ("log_evidence", np.float64),
    ("evidence", np.float64),
    ("evidence_error", np.float64),
    ("share", np.float64),
    ("held_out", np.float64),
    ("held_out_error", np.float64),
    ("behind", np.float64),
    ("behind_error", np.float64),
    ("log_likelihood", np.float64),
    ("bic", np.float64),
    ("icl", np.float64),
    ("aic", np.float64),
    ("occupied", np.int64),
    ("below_nested", np.float64),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """Fits of several covariance shapes or numbers of components, what speaks for each, and which is recommended.

    `print(selection)` shows it; `tfgmm.plot.num_components(selection)` draws it. The rule: of the fits tried, the
    one with the largest `log_evidence` in the table; or, if every fit has an `evidence` by importance sampling that can
    be trusted (`decided_by` says so), the one with the fewest parameters of those whose evidence is within a factor of
    3, or twice the Monte-Carlo error, of the largest.

    `log_evidence` is the bound plus, for Dirichlet weights, log(K! / E!), with K components of which E are empty (or
    alike): the posterior has that many equal modes, and q is at one of them (Bishop 2006, section 10.2.4).
    Stick-breaking weights are not symmetric, so that theirs is the bound alone. Where a smaller fit with empty
    components shows the evidence to be larger than the fit itself does, `log_evidence` is that.

    Args:
        results: A `FitResult` per shape and number of components: shape by shape, fewest components first.
        held_out: (M, n) float64 log densities of n held-out rows under each of the M fits, nats.
        held_out_rows: Where those rows are from, in words.
        occupied_posterior: For stick-breaking weights, of which K is a maximum, `FitResult.occupied_posterior` of the
            fit of the recommended shape with the most components; None for Dirichlet weights, and for more than
            20,000 rows: it takes long.
        below_nested: How far the bound of each fit lies below the evidence that a smaller fit of its shape with empty
            components shows there to be, after it was tried again from there, nats; 0 where it does not, or only by
            what empty components cost its bound. Such a fit is stuck. Default: none is.
        column_doubts: What in the columns speaks against certainty, as parts of a sentence: few values, values far
            apart, a value repeated again and again, columns that follow from each other.
        known_evidence: Log evidence, nats, that smaller fits of its shape show the mixtures of each fit to have at
            least; -inf where there is no smaller one. Default: nothing is known.
        held_out_weights: How often each held-out row counts, (n,); None: each counts once.

    Example:

    >>> rows = np.random.default_rng(0).normal([[-3.0]] * 50 + [[3.0]] * 50, 0.5)
    >>> selection = tfgmm.fit_mixture(rows, range(1, 4), restarts=2)
    >>> selection.num_components, selection.best.num_occupied, selection.plausible, selection.choices["bic"]
    (2, 2, (2,), 2)
    >>> shapes = tfgmm.fit_mixture(rows, [1, 2], covariance=["diag", "tied_diag"], restarts=2)
    >>> shapes.covariance, shapes.best_by["bic"].covariance, shapes.table["num_components"].tolist()
    ('tied_diag', 'tied_diag', [1, 2, 1, 2])
    """

    results: tuple[FitResult, ...]
    held_out: np.ndarray
    held_out_rows: str
    occupied_posterior: np.ndarray | None = None
    below_nested: tuple[float, ...] = ()
    column_doubts: tuple[str, ...] = ()
    known_evidence: tuple[float, ...] = ()
    held_out_weights: np.ndarray | None = None

    @functools.cached_property
    def table(self) -> np.ndarray:
        """A line per fit, (M,), a structured array: `selection.table["bic"]` is a column of it.

        num_components K; covariance, its shape; elbo, log_evidence (nats); evidence: log p(rows) by importance
        sampling, over all orders of the components, and evidence_error, its Monte-Carlo standard error, nats: NaN
        where no exact posterior was asked for, where its k-hat is not below 0.7, and with stick-breaking weights;
        share: exp(evidence), or exp(log_evidence), as `decided_by` says, to sum 1, an approximate posterior of shape
        and K if all tried are equally probable before; held_out: mean log density of held-out rows, nats per row, and
        held_out_error, its standard error; behind: how much lower than the best, and behind_error, the standard error
        of that difference, paired row by row; log_likelihood, bic, icl, aic as in `FitResult`; occupied components;
        below_nested, nats, as in the fields.
        """
        from_bound = np.array([log_evidence(result) for result in self.results])
        if self.known_evidence:  # a fit that is stuck, or pays for empty components, shows less of it
            from_bound = np.maximum(from_bound, self.known_evidence)
        sampled, errors_of_sampled = np.array([sampled_evidence(result) for result in self.results]).T
        evidence = from_bound if np.isnan(sampled).any() else sampled
        # Mixtures that have several names are equally probable before as those that have one
        shares = np.exp(evidence - evidence.max()) / [self._kinds.count(kind) for kind in self._kinds]
        means, errors = means_and_errors(self.held_out, self.held_out_weights)
        behind, behind_errors = means_and_errors(
            self.held_out[_first_best(means)] - self.held_out, self.held_out_weights
        )
        columns = {
            "log_evidence": from_bound,
            "evidence": sampled,
            "evidence_error": errors_of_sampled,
            "share": shares / shares.sum(),
            "held_out": means,
            "held_out_error": errors,
            "behind": behind,
            "behind_error": behind_errors,
            "occupied": [result.num_occupied for result in self.results],
            "below_nested": self.below_nested or [0.0] * len(self.results),
        }
        table = np.zeros(len(self.results), dtype=list(_FIELDS))
        for name, _ in _FIELDS:
            table[name] = columns[name] if name in columns else [getattr(result, name) for result in self.results]
        return table

    @property
    def num_held_out(self) -> float:
        """How many rows were held out, each as often as it counts."""
        weights = self.held_out_weights
        return self.held_out.shape[1] if weights is None else float(weights.sum())

    @property
    def best(self) -> FitResult:
        """The recommended fit."""
        return self.results[self.best_place]

    @property
    def best_place(self) -> int:
        """The place of the recommended fit in `results`, and of its line in `table`."""
        place = _first_best(self.table[self.decided_by])
        if self.decided_by == "log_evidence":
            return place
        evidence = self.table["evidence"]
        is_near = (evidence >= evidence[place] - LEAST_LEAD) | self.within_error(place)
        return int(np.argmin(np.where(is_near, self._sizes, np.inf)))

    @property
    def decided_by(self) -> str:
        """The column of `table` that the recommendation goes by: "evidence", or "log_evidence" where a fit lacks it."""
        return "log_evidence" if np.isnan(self.table["evidence"]).any() else "evidence"

    def within_error(self, place: int) -> np.ndarray:
        """Tells which fits differ from that at a place by no more than twice the Monte-Carlo error of `evidence`, (M,).

        Itself is among them, and nothing else where evidence is not sampled.
        """
        evidence, errors = self.table["evidence"], self.table["evidence_error"]
        is_near = np.abs(evidence - evidence[place]) <= 2.0 * np.hypot(errors, errors[place])
        return is_near | (np.arange(len(evidence)) == place)

    @property
    def num_components(self) -> int:
        """The recommended number of components."""
        return self.best.num_components

    @property
    def covariance(self) -> str:
        """The recommended covariance shape."""
        return self.best.covariance

    @property
    def shapes(self) -> tuple[str, ...]:
        """The covariance shapes that were tried."""
        return tuple(dict.fromkeys(result.covariance for result in self.results))

    def of_shape(self, covariance: str) -> tuple[FitResult, ...]:
        """Lists the fits of one covariance shape, fewest components first; none where it was not tried."""
        return tuple(result for result in self.results if result.covariance == covariance)

    @property
    def plausible(self) -> tuple[int, ...]:
        """The fewest numbers of components that have 90 % of the `share` together, in ascending order.

        Shares of a number are summed over the shapes.
        """
        tried, places = np.unique(self.table["num_components"], return_inverse=True)
        chosen = _fewest(np.bincount(places, self.table["share"]))
        return tuple(sorted(tried[chosen].tolist()))

    @property
    def plausible_fits(self) -> tuple[tuple[str, int], ...]:
        """The fewest pairs of a shape and a number that have 90 % of the `share` together, largest share first."""
        chosen = (self.results[place] for place in _fewest(self.table["share"]))
        return tuple((result.covariance, result.num_components) for result in chosen)

    @functools.cached_property
    def best_by(self) -> dict[str, FitResult]:
        """The fit that each criterion is best at, by name.

        "evidence"; "bic"; "icl"; "aic"; and where rows were held out, "held_out", and "one_error": of the fits whose
        held-out log density is within one standard error of the best, the one with the fewest parameters, the error
        being that of the difference (Breiman, Friedman, Olshen and Stone 1984, section 3.4.3, there with the error of
        the best alone).
        """
        table = self.table
        places = {"evidence": self.best_place}
        places |= {name: _first_best(-table[name]) for name in ("bic", "icl", "aic")}
        if self.held_out.shape[1]:
            places["held_out"] = _first_best(table["held_out"])
            is_near = table["behind"] <= np.nan_to_num(table["behind_error"])
            places["one_error"] = int(np.argmin(np.where(is_near, self._sizes, np.inf)))
        return {name: self.results[place] for name, place in places.items()}

    @property
    def choices(self) -> dict[str, int]:
        """The number of components that each criterion is best at, by name; see `best_by`, which has the shapes too."""
        return {name: result.num_components for name, result in self.best_by.items()}

    @property
    def reason(self) -> str:
        """Why that fit is recommended, what else is plausible, and which criteria disagree, in words."""
        return " ".join(selection_words.sentences(self))

    def __str__(self) -> str:
        return "\n".join([*selection_words.lines(self), "", self.reason])

    @property
    def _kinds(self) -> list[Any]:
        """The set of mixtures of each fit, whatever its shape is called."""
        return [
            (fit.num_components, mixtures_of(fit.covariance, fit.num_components, fit.num_features))
            for fit in self.results
        ]

    @property
    def _sizes(self) -> list[int]:
        """Free numbers of each mixture."""
        return [num_parameters(one.covariance, one.num_components, one.num_features) for one in self.results]


def log_evidence(result: FitResult) -> float:
    """Adds to the bound the logarithm of the number of modes that are equal but for the names of components.

    Only where all names are equal before any row is seen: with Dirichlet weights of one concentration.

    Source: Bishop 2006, section 10.2.4; see `FitResult.log_num_modes`.
    """
    if not WEIGHT_PRIORS[result.weight_prior].is_exchangeable:
        return result.elbo
    return result.elbo + result.log_num_modes


def sampled_evidence(result: FitResult) -> tuple[float, float]:
    """Reads the log evidence that importance sampling gave, and its error, nats; NaN where it cannot be trusted."""
    record = None if result.exact is None else result.exact.record
    if record is None or not record.has_evidence:
        return np.nan, np.nan
    return float(record.log_evidence or 0.0), float(record.evidence_error or 0.0)


def means_and_errors(values: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Computes means over columns of (M, n) and their standard errors, (M,) each; NaN where there are too few columns.

    Args:
        values: (M, n).
        weights: (n,) how often each column counts; None: once.

    Example:

    >>> means_and_errors(np.array([[1.0, 3.0]]))
    (array([2.]), array([1.]))
    >>> means_and_errors(np.array([[1.0, 3.0]]), np.array([1.0, 3.0]))
    (array([2.5]), array([0.5]))
    """
    num_rows = float(values.shape[1] if weights is None else weights.sum())
    unknown = np.full(len(values), np.nan)
    if not values.shape[1]:
        return unknown, unknown
    means = np.average(values, axis=1, weights=weights)
    if num_rows <= 1.0:
        return means, unknown
    variances = np.average(np.square(values - means[:, None]), axis=1, weights=weights) * num_rows / (num_rows - 1.0)
    return means, np.sqrt(variances / num_rows)


def _first_best(values: np.ndarray) -> int:
    """Finds the index of the largest value, the first of equal ones; 0 where none is a number."""
    return int(np.argmax(np.where(np.isnan(values), -np.inf, values)))


def _fewest(shares: np.ndarray) -> np.ndarray:
    """Finds the places of the fewest shares that reach 90 % together, largest first."""
    order = np.argsort(-shares, kind="stable")
    return order[: int(np.searchsorted(np.cumsum(shares[order]), _PLAUSIBLE)) + 1]
