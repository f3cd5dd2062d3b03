"""A mixture that follows rows which come in parts: the engine of `partial_fit`. NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.rows import Rows
from tfgmm.data.survey import Survey, survey_rows
from tfgmm.families.natural_gradient import Place, bound_figures, place_at
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.fitting import fit_opened
from tfgmm.fit.occupied import num_occupied
from tfgmm.fit.options import FitOptions
from tfgmm.fit.restarts import Move, Restart
from tfgmm.fit.result import FitResult
from tfgmm.fit.running.first_rows import FirstFit, fit_again
from tfgmm.fit.running.kept_rows import KeptRows, is_misfit, most_kept, swept
from tfgmm.fit.running.parts import Part, PartsSeen, as_one, check_forgetting_factor, faded, opened_part
from tfgmm.fit.running.sums import RunningSums, least_rows, ready_for, settled, sums_of
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.statistics import Statistics

# Steps to the optimum for the sums at most
_MOST_STEPS = 10
# Parts whose figures stand in the history: the latest
_LONGEST_HISTORY = 1_000


class RunningMixture:
    """A mixture that rows in parts are added to, one part after the other.

    The first 20,000 rows are kept; with a forgetting factor f, 3 / (1 - f) if these are fewer. While they are kept, the
    mixture is swept over all rows so far after each part. All of them are fitted again, from restarts, when there are
    half as many more (while there are fewer than 1,000, a tenth), sooner where the mixture does not fit a part, and at
    20,000: then they are let go. From then on a part adds its sums, at the memberships that the mixture gives its rows,
    to those of the rows before, and the mixture moves to the optimum for all of these. A component does not fade below
    two rows: its own may return.

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
        self._kept: KeptRows | None = KeptRows()
        self._history: dict[str, list[float]] = {}

    # What the first part sets
    _q: VariationalPosterior
    _place: Place
    _sums: RunningSums
    _priors: Priors
    _spread: tuple[float, ...]
    _column_names: tuple[str, ...] | None
    _restarts: tuple[Restart, ...]
    _moves: tuple[Move, ...]
    _is_swept: bool
    _is_exact: bool  # whether the sums are those of all rows at q as it stands

    @classmethod
    def going_on(cls, result: FitResult, kept: Mapping[str, Any] | None, *arguments: Any) -> RunningMixture:
        """Goes on from where another one was, or from a fit to rows that came at once, none of which is kept.

        Args:
            result: Its result, with its `sums`.
            kept: What its `kept` wrote; None for the fit.
            arguments: Options, forgetting factor, name and missing, as the class takes them after K.
        """
        running, summary = cls(result.num_components, *arguments), result.data_summary
        q, running._is_exact = result.variational, not result.is_summed_over_parts
        running._q = q
        running._place = place_at(q, q.values())
        running._priors, running._restarts, running._is_swept = result.priors, result.restarts, result.converged
        running._moves = result.moves
        running._column_names, running._spread = summary.column_names, summary.spread
        running._history = {name: list(figures) for name, figures in result.history.items()}
        if kept is None:
            running._seen, running._kept = PartsSeen.after(summary, running._name, running._missing), None
            at_means = [result.log_likelihood, result.complete_log_likelihood]
            figures = float(result.num_data), np.array([result.elbo + float(q.kl()), *at_means])
        else:
            running._seen = PartsSeen(running._name, summary.column_names, running._missing)
            running._seen.go_on(kept["seen"])
            running._kept = None if kept["rows"] is None else _kept_rows(kept["rows"], kept["counts"])
            figures = kept["num_rows"], kept["log_likelihoods"]
        running._sums = RunningSums(cast("Statistics", result.sums), *figures)
        return running

    def kept(self) -> dict[str, Any]:
        """Writes what `result` does not hold as lists, tuples, arrays and numbers, for `going_on`."""
        return {
            "seen": self._begun().kept(),
            "num_rows": self._sums.num_rows,
            "log_likelihoods": self._sums.log_likelihoods,
            "rows": None if self._kept is None else [tuple(rows[:2]) for rows in self._kept.blocks],
            "counts": [] if self._kept is None else list(self._kept[1:]),
        }

    @property
    def num_parts(self) -> int:
        """Parts so far."""
        return 0 if self._seen is None else self._seen.num_parts

    def update(self, data: Any, sample_weight: Any = None) -> None:
        """Adds a part, the first with as many rows as components and two at least, later ones of any length.

        Args:
            data: (n, D) rows, of any kind that `fit_mixture` takes and that fit into memory. Order matters where rows
                are forgotten: the last is the latest. Rows without any value are left out, with a warning.
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
        how = sample_weight, self._missing, not self.is_begun
        return opened_part(data, self._name, num_features, names, *how)

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
        self._take_fit(fitted, KeptRows().and_part(_copied(part.rows), most_kept(self.forgetting_factor)))
        self._column_names = part.column_names
        self._seen = PartsSeen(self._name, part.column_names, self._missing)
        self._seen.add(part)

    def add(self, part: Part) -> None:
        """Adds a later part; without any value it changes only how many rows were left out."""
        part.warn_of_rows_left_out(stacklevel=4)  # the line that calls `partial_fit` or `update`
        stood = vars(self) | {"_history": dict(self._history)}
        try:
            if not part.is_without_values:
                self._follow(part)
        except BaseException:
            vars(self).update(stood)
            raise
        self._begun().add(part)

    def _follow(self, part: Part) -> None:
        """Moves the mixture to all rows with those of the part: as far as they are kept, it goes over them again."""
        if self._kept is None:
            self._note(self._add_sums(part)[1])
            return
        kept = self._kept = self._kept.and_part(_copied(part.rows), most_kept(self.forgetting_factor))
        if kept.is_time_to_fit():
            self._fit_again(kept)
            return
        fits, kl = self._add_sums(part)
        fits = fits and num_occupied(self._q) >= kept.num_occupied
        if not fits and kept.is_time_to_fit(is_misfit=True):
            self._fit_again(kept)
        elif kept.is_time_to_sweep():
            self._sweep(kept)
        else:
            self._note(kl)

    def _fit_again(self, kept: KeptRows) -> None:
        """Fits all rows so far from restarts."""
        rows = self._as_rows(as_one(kept.blocks), self._column_names)
        self._take_fit(fit_again(rows, self.num_components, self.options, self._q), kept)

    def _sweep(self, kept: KeptRows) -> None:
        """Sweeps over all rows so far from where the mixture stands."""
        rows = faded(as_one(kept.blocks), self.forgetting_factor)
        self._q, self._place, self._sums, self._is_swept = swept(self._q, rows, kept.num_sweeps, self._name)
        self._kept, self._is_exact = kept.after_sweep(), True
        self._note(float(self._q.kl()))

    def _as_rows(self, rows: RowBlock, column_names: tuple[str, ...] | None) -> Rows:
        present = faded(rows, self.forgetting_factor)
        return Rows(present.values, column_names, self._name, weights=present.weights, missing=self._missing)

    def _take_fit(self, fitted: FirstFit, kept: KeptRows) -> None:
        """Goes on from a fit to the rows that are kept, and lets them go when there are enough."""
        q = fitted.q.at(fitted.q.values())
        place = place_at(q, q.values())
        sums = sums_of(q, place, faded(as_one(kept.blocks), self.forgetting_factor), self._name)
        self._q, self._place, self._sums = q, place, sums
        self._priors, self._restarts, self._is_swept = fitted.priors, fitted.restarts, fitted.converged
        self._moves = fitted.moves
        self._spread, self._is_exact = fitted.spread, True
        self._kept = None if kept.is_full else kept.after_fit(num_occupied(q))
        self._note(float(q.kl()))

    def _add_sums(self, part: Part) -> tuple[bool, float]:
        """Adds the sums of a part, and moves the mixture to the optimum for all sums.

        Returns:
            Whether the mixture fitted the part, and the KL before, nats.
        """
        rows = faded(part.rows, self.forgetting_factor)
        mixture = self._q.at(self._q.values()), self._place, self._sums
        q, place, before = ready_for(part, *mixture, self._spread, self._name)
        of_part = sums_of(q, place, rows, self._name)
        least = least_rows(self.forgetting_factor, q.num_components)
        sums = before.and_then(of_part, self.forgetting_factor**part.total_weight, least)
        most_steps = _MOST_STEPS if self._kept is None else 1  # sweeps follow
        step, kl = settled(q, place, sums.statistics, most_steps)
        q.assign(step.target.values)
        self._q, self._place = q, step.target
        self._sums = sums._replace(statistics=step.statistics)
        self._is_swept = self._is_exact = False
        return not is_misfit(of_part, before, q.num_features), kl

    def _begun(self) -> PartsSeen:
        if self._seen is None:
            raise RuntimeError("the mixture must have rows. Received: no part yet. Call `update` first.")
        return self._seen

    def _note(self, kl: float) -> None:
        """Adds the figures of a part to the history."""
        num_rows, log_likelihood = self._sums.num_rows, float(self._sums.log_likelihoods[0])
        for name, figure in sorted(bound_figures(log_likelihood, kl, num_rows).items()):
            self._history[name] = [*self._history.get(name, ()), figure][-_LONGEST_HISTORY:]

    def result(self) -> FitResult:
        """Makes the fit to the rows of all parts so far.

        N is the number of rows as far as they are remembered. While all rows are kept, bound and log likelihoods are
        those of all rows, exact. From then on, and after parts of less than a hundredth of 1,000 rows or more, they are
        those of the last sweep over all rows, and of each part since as the mixture stood when it came:
        `is_summed_over_parts`. `history` has an entry for each of the latest 1,000 parts. `converged` says whether the
        bound had stopped rising in sweeps over all rows. Means and ranges of columns are those of all rows, remembered
        or not.

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
        of_parts: dict[str, Any] = {"num_parts": seen.num_parts, "is_summed_over_parts": not self._is_exact}
        of_parts |= {"sums": self._sums.statistics, "moves": self._moves}
        return FitResult(*mixture, *figures, *ended, **of_parts)


def _kept_rows(rows: Sequence[Sequence[Any]], counts: Sequence[Any]) -> KeptRows:
    return KeptRows(tuple(RowBlock(*block) for block in rows), *counts)


def _copied(rows: RowBlock) -> RowBlock:
    """Copies rows: the caller may write over them."""
    return RowBlock(np.array(rows.values), None if rows.weights is None else np.array(rows.weights))
