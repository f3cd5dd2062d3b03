"""How many components: the criteria of several fits side by side, and a recommendation with its reason."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfgmm.common.words import with_and
from tfgmm.mixture.registry import WEIGHT_PRIORS

if TYPE_CHECKING:
    from tfgmm.fit.result import FitResult

_PLAUSIBLE = 0.9
_FEW_ROWS = 30

_FIELDS = (
    ("num_components", np.int64),
    ("elbo", np.float64),
    ("log_evidence", np.float64),
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
)


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """Fits with several numbers of components, what speaks for each, and which one is recommended.

    `print(selection)` shows it; `tfgmm.plot.num_components(selection)` draws it. The rule: of the numbers tried, the
    one with the largest estimate of the log evidence, `log_evidence` in the table. That is the bound plus, for
    Dirichlet weights, log(K! / E!), with K components of which E are empty: the posterior has that many equal modes,
    and q is at one of them (Bishop 2006, section 10.2.4). Stick-breaking weights are not symmetric, so that theirs is
    the bound alone.

    Args:
        results: A `FitResult` per number of components, fewest first.
        held_out: (M, n) float64 log densities of n held-out rows under fits with each of the M numbers, nats.
        held_out_rows: Where those rows are from, in words.
        occupied_posterior: For stick-breaking weights, of which K is a maximum, `FitResult.occupied_posterior` of the
            fit with the most components; None for Dirichlet weights, and for more than 20,000 rows: it takes long.

    Example:

    >>> rows = np.random.default_rng(0).normal([[-3.0]] * 50 + [[3.0]] * 50, 0.5)
    >>> selection = tfgmm.fit_mixture(rows, range(1, 4), restarts=2)
    >>> selection.num_components, selection.best.num_occupied, selection.plausible, selection.choices["bic"]
    (2, 2, (2,), 2)
    """

    results: tuple[FitResult, ...]
    held_out: np.ndarray
    held_out_rows: str
    occupied_posterior: np.ndarray | None = None

    @functools.cached_property
    def table(self) -> np.ndarray:
        """A line per number of components, (M,), a structured array: `selection.table["bic"]` is a column of it.

        num_components K; elbo, log_evidence (nats); share: exp(log_evidence), to sum 1, an approximate posterior of K
        if all tried are equally probable before; held_out: mean log density of held-out rows, nats per row, and
        held_out_error, its standard error; behind: how much lower than the best, and behind_error, the standard error
        of that difference, paired row by row; log_likelihood, bic, icl, aic as in `FitResult`; occupied components.
        """
        evidence = np.array([log_evidence(result) for result in self.results])
        shares = np.exp(evidence - evidence.max())
        means, errors = means_and_errors(self.held_out)
        behind, behind_errors = means_and_errors(self.held_out[_first_best(means)] - self.held_out)
        columns = {
            "num_components": [result.num_components for result in self.results],
            "log_evidence": evidence,
            "share": shares / shares.sum(),
            "held_out": means,
            "held_out_error": errors,
            "behind": behind,
            "behind_error": behind_errors,
            "occupied": [result.num_occupied for result in self.results],
        }
        table = np.zeros(len(self.results), dtype=list(_FIELDS))
        for name, _ in _FIELDS:
            table[name] = columns[name] if name in columns else [getattr(result, name) for result in self.results]
        return table

    @property
    def best(self) -> FitResult:
        """The recommended fit."""
        return self.results[_first_best(self.table["log_evidence"])]

    @property
    def num_components(self) -> int:
        """The recommended number of components."""
        return self.best.num_components

    @property
    def plausible(self) -> tuple[int, ...]:
        """The fewest numbers of components that have 90 % of the `share` together, in ascending order."""
        shares = self.table["share"]
        order = np.argsort(-shares, kind="stable")
        num_needed = int(np.searchsorted(np.cumsum(shares[order]), _PLAUSIBLE)) + 1
        return tuple(sorted(self.table["num_components"][order[:num_needed]].tolist()))

    @property
    def choices(self) -> dict[str, int]:
        """The number of components that each criterion is best at, by name.

        "evidence"; "bic"; "icl"; "aic"; and where rows were held out, "held_out", and "one_error": the smallest number
        whose held-out log density is within one standard error of the best, the error being that of the difference
        (Breiman, Friedman, Olshen and Stone 1984, section 3.4.3, there with the error of the best alone).
        """
        table, tried = self.table, self.table["num_components"]
        at = {"evidence": _first_best(table["log_evidence"])}
        at |= {name: _first_best(-table[name]) for name in ("bic", "icl", "aic")}
        if self.held_out.shape[1]:
            at["held_out"] = _first_best(table["held_out"])
            is_near = table["behind"] <= np.nan_to_num(table["behind_error"])
            at["one_error"] = int(np.argmax(is_near))
        return {name: int(tried[index]) for name, index in at.items()}

    @property
    def reason(self) -> str:
        """Why that number is recommended, what else is plausible, and which criteria disagree, in words."""
        return " ".join(_sentences(self))

    def __str__(self) -> str:
        return "\n".join([*_lines(self), "", self.reason])


def log_evidence(result: FitResult) -> float:
    """Adds to the bound the logarithm of the number of modes that are equal but for the names of components.

    Only where all names are equal before any row is seen: with Dirichlet weights of one concentration. Components
    without rows have one posterior, the prior, and changing their places gives no other mode.

    Source: Bishop 2006, section 10.2.4, where no component is empty.
    """
    num_components, num_empty = result.num_components, result.num_components - result.num_occupied
    if not WEIGHT_PRIORS[result.weight_prior].is_exchangeable:
        return result.elbo
    return result.elbo + math.lgamma(num_components + 1) - math.lgamma(num_empty + 1)


def means_and_errors(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes means over columns of (M, n) and their standard errors, (M,) each; NaN where there are too few columns.

    Example:

    >>> means_and_errors(np.array([[1.0, 3.0]]))
    (array([2.]), array([1.]))
    """
    num_rows = values.shape[1]
    unknown = np.full(len(values), np.nan)
    means = values.mean(axis=1) if num_rows else unknown
    return means, values.std(axis=1, ddof=1) / math.sqrt(num_rows) if num_rows > 1 else unknown


def _first_best(values: np.ndarray) -> int:
    """Finds the index of the largest value, the first of equal ones; 0 where none is a number."""
    return int(np.argmax(np.where(np.isnan(values), -np.inf, values)))


_HEAD = f"{'K':>5} {'bound':>12} {'evidence':>12} {'share':>6}  {'held out (se)':<18} {'behind (paired se)':<18}"
_HEAD += f" {'log lik':>12} {'BIC':>12} {'ICL':>12} {'AIC':>12} {'occupied':>8}"


def _lines(selection: Selection) -> list[str]:
    """Writes the table as lines of text, the recommended one marked."""
    first = selection.best
    lines = [
        f"{first.covariance} covariances, {first.weight_prior} weights, {first.num_data:,} rows x "
        f"{first.num_features} columns; held out: {selection.held_out_rows}",
        _HEAD,
    ]
    for row in selection.table:
        mark = "*" if row["num_components"] == selection.num_components else " "
        held_out = f"{row['held_out']:.4f} ({row['held_out_error']:.4f})"
        behind = f"{row['behind']:.4f} ({row['behind_error']:.4f})" if row["behind"] else "best"
        lines.append(
            f"{mark}{row['num_components']:>4} {row['elbo']:>12.2f} {row['log_evidence']:>12.2f} {row['share']:>6.2f}"
            f"  {held_out:<18} {behind:<18} {row['log_likelihood']:>12.2f} {row['bic']:>12.1f} {row['icl']:>12.1f}"
            f" {row['aic']:>12.1f} {row['occupied']:>8}"
        )
    return lines


def _sentences(selection: Selection) -> list[str]:
    table, chosen, choices = selection.table, selection.num_components, selection.choices
    tried, plausible = table["num_components"].tolist(), selection.plausible
    share = float(table["share"][tried.index(chosen)])
    symmetric = WEIGHT_PRIORS[selection.best.weight_prior].is_exchangeable
    words = [
        f"{chosen} {_plural(chosen)}: the estimate of the evidence, the bound"
        f"{' with all equal modes counted' if symmetric else ''}, is the largest of those tried, with a share of "
        f"{share:.2f}."
    ]
    if len(plausible) > 1:
        words.append(f"It takes {with_and(plausible)} to have 90 % of the shares: the number is not certain.")
    words += [_agreement(choices), *_on_held_out(selection), *_on_groups(choices), *_cautions(selection, tried)]
    if selection.occupied_posterior is not None:
        words.append(occupied_words(selection.occupied_posterior))
    return words


def occupied_words(occupied: np.ndarray) -> str:
    """Says how many components have rows, and how probably, as a sentence.

    Args:
        occupied: Probabilities, (K + 1,), as `FitResult.occupied_posterior` gives it.

    Example:

    >>> occupied_words(np.array([0.0, 0.0, 0.75, 0.25]))
    'Of at most 3 components so many have rows, with their probability: 2: 0.75, 3: 0.25.'
    """
    shares = ", ".join(f"{number}: {occupied[number]:.2f}" for number in np.flatnonzero(occupied >= 0.005))
    return f"Of at most {len(occupied) - 1} components so many have rows, with their probability: {shares}."


def _agreement(choices: dict[str, int]) -> str:
    """Says which of BIC, ICL and AIC agree with the evidence."""
    others = {name.upper(): choices[name] for name in ("bic", "icl", "aic")}
    if set(others.values()) == {choices["evidence"]}:
        return "BIC, ICL and AIC say the same."
    return ", ".join(f"{name} says {number}" for name, number in others.items()) + "."


def _on_held_out(selection: Selection) -> list[str]:
    choices, num_rows = selection.choices, selection.held_out.shape[1]
    if not num_rows:
        return []
    best, near = choices["held_out"], choices["one_error"]
    words = [f"Held-out rows are predicted best with {best}"]
    words[0] += "." if near == best else f"; {near} is the fewest within one standard error of that."
    if num_rows < _FEW_ROWS:
        words.append(f"{num_rows} held-out {'row says' if num_rows == 1 else 'rows say'} little.")
    return words


def _on_groups(choices: dict[str, int]) -> list[str]:
    """Says what to do for groups, where components that overlap describe one together."""
    chosen, apart = choices["evidence"], choices["icl"]
    if apart >= chosen:
        return []
    return [
        f"That is for the density; for groups that stand apart look at {apart} first, as ICL says: of {chosen} "
        "components some overlap, several for one group that is no Gaussian. A skewed column may want its logarithm."
    ]


def _cautions(selection: Selection, tried: Sequence[int]) -> list[str]:
    words = []
    if len(tried) > 1 and selection.num_components == tried[-1]:
        words.append("It is the largest number tried: try more.")
    elif len(tried) > 1 and selection.num_components == tried[0] > 1:
        words.append("It is the smallest number tried: try fewer.")
    if selection.best.num_occupied < selection.num_components:
        words.append(f"Of these only {selection.best.num_occupied} have rows.")
    unfinished = [result.num_components for result in selection.results if not result.converged]
    if unfinished:
        words.append(f"Not converged, and perhaps better than it looks: {with_and(unfinished)}.")
    return words


def _plural(number: int) -> str:
    return "component" if number == 1 else "components"
