"""A mixture that follows rows which come in parts: the engine of `partial_fit`. NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.rows import Rows
from tfgmm.data.summary import centre as centre_rows
from tfgmm.data.survey import Survey, survey_rows
from tfgmm.families.natural_gradient import Place, bound_figures, moved, place_at
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.fitting import fit_opened
from tfgmm.fit.options import FitOptions
from tfgmm.fit.restarts import Restart
from tfgmm.fit.result import FitResult
from tfgmm.fit.running.first_rows import MOST_KEPT, FirstFit, fit_again, is_time
from tfgmm.fit.running.parts import Part, PartsSeen, as_one, faded, opened_part
from tfgmm.fit.running.sums import RunningSums, sums_of
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.statistics import Statistics

# Spreads from the centre beyond which rows are measured from another: float32 rows would lose digits
_FAR = 100.0
# Parts whose figures stand in the history: the latest
_LONGEST_HISTORY = 1_000
# Rows that were kept together; fewer are put behind those before
_SMALL = 1_000


def check_forgetting_factor(factor: Any) -> float:
    """Checks a forgetting factor, and hands it on.

    Raises:
        ValueError: It is no number above 0 and at most 1.

    Example:

    >>> check_forgetting_factor(0.999)
    0.999
    """
    is_number = isinstance(factor, (int, float, np.integer, np.floating)) and not isinstance(factor, bool)
    if not (is_number and 0.0 < factor <= 1.0):
        raise ValueError(
            f"`forgetting_factor` must be above 0 and at most 1. Received: {factor!r}. Leave it out to remember all "
            "rows alike, or try 1 - 1 / n to remember about the last n rows."
        )
    return float(factor)


class RunningMixture:
    """A mixture that rows in parts are added to, one part after the other.

    The first 20,000 rows are kept: the first part is fitted as by `fit_mixture`, and when there are four times as many
    rows, and at 20,000, all of them are fitted again, from restarts, as the optimum of few rows is not that of many.
    From then on, and in between, a part adds its sums, at the memberships that the mixture gives its rows, to those of
    the parts before, and the mixture moves to the optimum for all of these. No row after the first 20,000 is kept.

    Args:
        num_components: K.
        options: Options of the fits, with one covariance shape.
        forgetting_factor: What a row counts for of what the next row counts for: 1 remembers all rows alike, and
            1 - 1 / n about the last n.
        name: What the caller's argument for the rows is called in error messages.
        missing: As in `fit_mixture`.

    Raises:
        ValueError: The forgetting factor is out of its range.

    Source: Neal and Hinton 1998, "A view of the EM algorithm that justifies incremental, sparse, and other variants";
    forgetting as in Sato and Ishii 2000, "On-line EM algorithm for the normalized Gaussian network".

    Example:

    >>> rows = np.random.default_rng(0).normal([[-3.0], [3.0]] * 100)
    >>> running = RunningMixture(2)
    >>> for part in np.split(rows, 10):
    ...     running.update(part)
    >>> running.result().num_data, sorted(running.result().locs.round().ravel().tolist())
    (200, [-3.0, 3.0])
    """

    def __init__(
        self,
        num_components: int,
        options: FitOptions | None = None,
        forgetting_factor: float = 1.0,
        name: str = "data",
        missing: str = "integrate",
    ) -> None:
        self.num_components, self.options = num_components, options or FitOptions()
        self.forgetting_factor = check_forgetting_factor(forgetting_factor)
        self._name, self._missing = name, missing
        self._seen: PartsSeen | None = None
        self._kept: list[RowBlock] | None = []
        self._num_fitted = 0
        self._history: dict[str, list[float]] = {}

    # What the first part sets
    _q: VariationalPosterior
    _place: Place
    _sums: RunningSums
    _priors: Priors
    _spread: tuple[float, ...]
    _column_names: tuple[str, ...] | None
    _restarts: tuple[Restart, ...]
    _is_swept: bool

    @classmethod
    def going_on(cls, result: FitResult, kept: Mapping[str, Any] | None, *arguments: Any) -> RunningMixture:
        """Goes on from where another one was, or from a fit to rows that came at once, none of which is kept.

        Args:
            result: Its result, with its `sums`.
            kept: What its `kept` wrote; None for the fit.
            arguments: Options, forgetting factor, name and missing, as the class takes them after K.
        """
        running, summary = cls(result.num_components, *arguments), result.data_summary
        q = running._q = result.variational
        running._place = place_at(q, q.values())
        running._priors, running._restarts, running._is_swept = result.priors, result.restarts, result.converged
        running._column_names, running._spread = summary.column_names, summary.spread
        running._history = {name: list(figures) for name, figures in result.history.items()}
        if kept is None:
            running._seen, running._kept = PartsSeen.after(summary, running._name, running._missing), None
            at_means = [result.log_likelihood, result.complete_log_likelihood]
            figures = float(result.num_data), np.array([result.elbo + float(q.kl()), *at_means])
        else:
            running._seen = PartsSeen(running._name, summary.column_names, running._missing)
            running._seen.go_on(kept["seen"])
            running._kept = None if kept["rows"] is None else [RowBlock(*rows) for rows in kept["rows"]]
            running._num_fitted, figures = kept["num_fitted"], (kept["num_rows"], kept["log_likelihoods"])
        running._sums = RunningSums(cast("Statistics", result.sums), *figures)
        return running

    def kept(self) -> dict[str, Any]:
        """Writes what `result` does not hold as lists, tuples, arrays and numbers, for `going_on`."""
        return {
            "seen": self._begun().kept(),
            "num_rows": self._sums.num_rows,
            "log_likelihoods": self._sums.log_likelihoods,
            "rows": None if self._kept is None else [(rows.values, rows.weights) for rows in self._kept],
            "num_fitted": self._num_fitted,
        }

    @property
    def num_parts(self) -> int:
        """Parts so far."""
        return 0 if self._seen is None else self._seen.num_parts

    def update(self, data: Any, sample_weight: Any = None) -> None:
        """Adds a part, the first with as many rows as components, later ones of any length.

        Args:
            data: (n, D) rows, of any kind that `fit_mixture` takes and that fit into memory. Order matters where rows
                are forgotten: the last is the latest.
            sample_weight: As in `fit_mixture`.

        Raises:
            ValueError, TypeError: As `fit_mixture`; other columns than those of the parts before. The mixture then
                stands as before.
            FloatingPointError: A number is no longer finite; the mixture stands as before.
        """
        part = self.opened(data, sample_weight)
        if self.is_begun:
            self.add(part)
        else:
            rows, survey = self.first_rows(part)
            self.begin(part, cast("FitResult", fit_opened(rows, survey, self.num_components, self.options)))

    @property
    def is_begun(self) -> bool:
        """Whether there was a part."""
        return self._seen is not None

    def opened(self, data: Any, sample_weight: Any = None) -> Part:
        """Opens a part; see `update`."""
        num_features, names = (self._q.num_features, self._column_names) if self.is_begun else (None, None)
        return opened_part(data, self._name, num_features, names, sample_weight, self._missing)

    def first_rows(self, part: Part) -> tuple[Rows, Survey]:
        """Makes the rows of the first part, all alike, and their survey, for `fit_opened`."""
        values, weights, _ = part.rows
        rows = Rows(values, part.column_names, self._name, weights=weights, missing=self._missing)
        return rows, survey_rows(rows, None, self.options.seed)

    def begin(self, part: Part, found: FitResult) -> None:
        """Begins with the first part, and the fit to it; where rows are forgotten, it is fitted again as it fades."""
        fitted, self.num_components = FirstFit.of(found), found.num_components
        if self.forgetting_factor < 1.0:
            rows = self._as_rows(part.rows, part.column_names)
            fitted = fit_again(rows, self.num_components, self.options, fitted.q)
        self._take_fit(fitted, part.rows)
        self._column_names = part.column_names
        self._seen = PartsSeen(self._name, part.column_names, self._missing)
        self._seen.add(part)
        self._keep(part.rows)

    def add(self, part: Part) -> None:
        """Adds a later part."""
        seen = self._begun()
        if self._kept is not None and is_time(seen.num_rows + len(part.rows.values), self._num_fitted):
            self._fit_again(part)
        else:
            self._add_sums(part)
        seen.add(part)
        self._keep(part.rows)

    def _fit_again(self, part: Part) -> None:
        """Fits all rows so far, with those of the part."""
        rows = as_one([*(self._kept or ()), part.rows])
        fitted = fit_again(self._as_rows(rows, self._column_names), self.num_components, self.options, self._q)
        self._take_fit(fitted, rows)

    def _as_rows(self, rows: RowBlock, column_names: tuple[str, ...] | None) -> Rows:
        present = faded(rows, self.forgetting_factor)
        return Rows(present.values, column_names, self._name, weights=present.weights, missing=self._missing)

    def _take_fit(self, fitted: FirstFit, rows: RowBlock) -> None:
        """Goes on from a fit to rows."""
        q = fitted.q.at(fitted.q.values())
        place = place_at(q, q.values())
        sums = sums_of(q, place, faded(rows, self.forgetting_factor), self._name)
        self._q, self._place, self._sums = q, place, sums
        self._priors, self._restarts, self._is_swept = fitted.priors, fitted.restarts, fitted.converged
        self._spread, self._num_fitted = fitted.spread, len(rows.values)
        self._note(float(q.kl()))

    def _keep(self, rows: RowBlock) -> None:
        """Keeps rows for the next fit to all of them, while they are few."""
        if self._kept is None or self._num_fitted >= MOST_KEPT:
            self._kept = None
            return
        # A copy: the caller may write over the rows
        copied = RowBlock(np.array(rows.values), None if rows.weights is None else np.array(rows.weights))
        last = self._kept[-1:]
        if last and len(last[0].values) < _SMALL:
            copied, last = as_one([*last, copied]), []
        self._kept = [*self._kept[:-1], *last, copied]

    def _add_sums(self, part: Part) -> None:
        """Adds the sums of a part, and moves the mixture to the optimum for all sums."""
        rows = faded(part.rows, self.forgetting_factor)
        q, place, sums = self._ready_for(part)
        share = self.forgetting_factor**part.total_weight
        sums = sums.and_then(sums_of(q, place, rows, self._name), share)
        step = moved(q, place.values, sums.statistics, q.centre)
        q.assign(step.target.values)
        self._q, self._place = q, step.target
        self._sums = sums._replace(statistics=step.statistics)
        self._is_swept = False
        self._note(step.kl)

    def _ready_for(self, part: Part) -> tuple[VariationalPosterior, Place, RunningSums]:
        """Copies the posterior and the sums, with room for new gaps, and measured from where the rows are."""
        q, place, sums = self._q.at(self._q.values()), self._place, self._sums
        known = q.gap_columns
        q.observe_gaps(sorted({*known, *part.gap_columns}))
        is_near = self._is_near(part.rows.values)
        if q.gap_columns == known and is_near:
            return q, place, sums
        if q.gap_columns != known:
            sums = sums.with_more_gaps(known, q.gap_columns)
        if not is_near:
            before = q.centre
            centre_rows(part.rows.values, before, name=self._name)  # checks that steps stay in the range of float32
            q.move_centre(_centre_of(part.rows.values, before).tolist())
            sums = sums.measured_from(before - q.centre, q.gap_columns)
        return q, place_at(q, q.values()), sums

    def _begun(self) -> PartsSeen:
        if self._seen is None:
            raise RuntimeError("the mixture must have rows. Received: no part yet. Call `update` first.")
        return self._seen

    def _is_near(self, values: np.ndarray) -> bool:
        distances = np.abs(_centre_of(values, self._q.centre) - self._q.centre)
        return bool((distances <= _FAR * np.array(self._spread)).all())

    def _note(self, kl: float) -> None:
        """Adds the figures of a part to the history."""
        num_rows, log_likelihood = self._sums.num_rows, float(self._sums.log_likelihoods[0])
        for name, figure in sorted(bound_figures(log_likelihood, kl, num_rows).items()):
            self._history[name] = [*self._history.get(name, ()), figure][-_LONGEST_HISTORY:]

    def result(self) -> FitResult:
        """Makes the fit to the rows of all parts so far.

        N is the number of rows as far as they are remembered. Bound and log likelihoods are sums over the parts, of
        each under the mixture as it stood when the part came. `history` has an entry for each of the latest 1,000
        parts. `converged` says whether the bound had stopped rising in sweeps over all rows: after a part that only
        added its sums, False. Means and ranges of columns are those of all rows, remembered or not.

        Raises:
            RuntimeError: There was no part yet.
        """
        seen = self._begun()
        q, kl = self._q.at(self._q.values()), float(self._q.kl())
        expected, log_likelihood, complete = self._sums.log_likelihoods.tolist()
        num_data = self._sums.num_rows
        summary = seen.summary(num_data, q.centre, self._spread)
        mixture = q, self._priors, self.options.seed, summary
        figures = expected - kl, log_likelihood, complete
        ended = dict(self._history), self._restarts, self._is_swept
        return FitResult(*mixture, *figures, *ended, sums=self._sums.statistics, num_parts=seen.num_parts)


def _centre_of(values: np.ndarray, instead: np.ndarray) -> np.ndarray:
    """Computes the mean of each column, (D,) float64; `instead` where no row has a value."""
    seen = ~np.isnan(values)
    counts = seen.sum(axis=0)
    sums = np.where(seen, values, 0.0).sum(axis=0, dtype=np.float64)
    return np.where(counts > 0, sums / np.maximum(counts, 1), instead)
