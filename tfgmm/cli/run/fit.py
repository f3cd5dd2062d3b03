"""A run of `tfgmm fit` from open rows to a fitted mixture, watched by a callback that says how far it is."""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.cli.display import Display
from tfgmm.cli.run.folder import Run
from tfgmm.cli.run.posterior import with_posterior
from tfgmm.cli.run.rows import NOTHING_SAID, RowFacts
from tfgmm.cli.run.settings import RunSettings
from tfgmm.common.words import with_and
from tfgmm.data.row_source import RowSource
from tfgmm.data.row_words import sentences_on_rows
from tfgmm.data.survey import Survey, check_finite, survey_rows
from tfgmm.fit.callbacks import EndOfChoice, FitStep, FitWatcher
from tfgmm.fit.fitting import fit_opened
from tfgmm.fit.occupied import num_occupied
from tfgmm.fit.options import FitOptions, check_num_components
from tfgmm.fit.result import FitResult
from tfgmm.fit.selection import Selection
from tfgmm.mixture.registry import WEIGHT_PRIORS

if TYPE_CHECKING:
    from tfgmm.cli.run.rows import StoredOrNot

_STEPS = {"held out": "held-out rows, fit", "start": "start", "occupied": "counting components that have rows,"}


@dataclasses.dataclass
class _Attempt:
    """Sweeps of one attempt at a fit: what was occupied after each, and the last bound, nats."""

    occupied: list[int]
    elbo: float = math.nan


class RunMonitor(FitWatcher):
    """Says after every batch how far the sweep is, counts occupied components, and stops when it is asked to.

    Among several fits, the current one is given up then: its bound would still have risen, and could not be compared.

    Args:
        show: Called with the share that is done, and with words: which fit of how many, where there are several; the
            start or the held-out fit, or sweep, bound, occupied, rows a second.
        is_stopped: Asked after every sweep whether it was the last.
        with_shape: Whether a fit is called by its shape too.

    Attributes:
        occupied: Number of occupied components after each sweep.
        was_stopped: Whether it ended the training.

    Example:

    >>> model = tfgmm.GaussianMixtureModel(2, 1, seed=0)
    >>> model.compile()
    >>> monitor = RunMonitor(lambda share, words: print(f"{share:.0%} of {words[:7]}"), lambda: True)
    >>> history = model.fit([[0.0], [1.0], [9.0]], epochs=5, verbose=0, callbacks=[monitor])
    0% of sweep 1
    100% of sweep 1
    100% of sweep 1
    >>> monitor.occupied, monitor.was_stopped
    ([2], True)
    """

    def __init__(
        self,
        show: Callable[[float, str], None],
        is_stopped: Callable[[], bool] = lambda: False,
        with_shape: bool = False,
    ) -> None:
        super().__init__()
        self._show, self._is_stopped, self._with_shape = show, is_stopped, with_shape
        self.occupied: list[int] = []
        self._attempts: dict[tuple[str, int], list[_Attempt]] = {}
        self.was_stopped = False
        self._num_tried, self._head = 1, ""

    def on_step(self, step: FitStep) -> None:
        """Says which fit or start begins, and for which shape and number of components."""
        place, self._num_tried = step.place
        components = "1 component" if step.num_components == 1 else f"{step.num_components} components"
        if self._with_shape:
            components = f"{step.covariance}, {components}"
        self._head = f"{components} ({place} of {self._num_tried})" if self._num_tried > 1 else ""
        self._end_choice_if_stopped()
        words = f"{_STEPS[step.kind]} {step.number} of {step.count}"
        self._show_words((step.number - 1) / step.count, words)

    def on_train_begin(self, logs: Any = None) -> None:
        """Forgets earlier training."""
        self.occupied, self.was_stopped, self.ends_for_now, self._bound = [], False, False, ""
        attempts = self._attempts.setdefault((self.model.covariance, self.model.num_components), [])
        attempts.append(_Attempt(self.occupied))
        self._rows_per_second = ""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Says which sweep begins."""
        self._sweep, self._began = epoch + 1, time.perf_counter()
        self._show_sweep(0.0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Says how far the sweep is."""
        share = (batch + 1) / self.params["steps"]
        seconds = max(time.perf_counter() - self._began, 1e-9)
        self._rows_per_second = f"{_short(share * self.model.num_data / seconds)} rows/s"
        self._show_sweep(share)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Says the bound and what is occupied; stops when it was asked to."""
        self.occupied.append(num_occupied(self.model.variational))
        self._attempts[self.model.covariance, self.model.num_components][-1].elbo = float(logs["elbo"])
        self._bound = f"bound {float(logs['elbo']):.6g}"
        self._show_sweep(1.0)
        if not self.model.stop_training:  # or it is complete
            self._end_choice_if_stopped()
        if self._is_stopped():
            self.was_stopped = self.ends_for_now = self.model.stop_training = True

    def occupied_of(self, result: FitResult) -> list[int]:
        """Lists the numbers of occupied components after each sweep of a fit, which may be one of several attempts."""
        bounds = result.history["elbo"]
        of_length = [
            attempt
            for attempt in self._attempts[result.covariance, result.num_components]
            if len(attempt.occupied) == len(bounds)
        ]
        same_end = [attempt for attempt in of_length if attempt.elbo == bounds[-1]]
        return (same_end or of_length)[-1].occupied

    def kept_state(self) -> list[int]:
        """Returns the numbers of occupied components so far."""
        return self.occupied

    def restore_state(self, state: Any) -> None:
        """Goes on counting from there."""
        self.occupied[:] = state

    def _end_choice_if_stopped(self) -> None:
        if self._num_tried > 1 and self._is_stopped():
            raise EndOfChoice

    def _show_sweep(self, share: float) -> None:
        occupied = f"{self.occupied[-1]} of {self.model.num_components} occupied" if self.occupied else ""
        words = (f"sweep {self._sweep}", self._bound, occupied, self._rows_per_second)
        self._show_words(share, "  ".join(word for word in words if word))

    def _show_words(self, share: float, words: str) -> None:
        # Below each other: side by side they do not fit a terminal of 80 columns
        self._show(share, f"{self._head}\n{words}" if self._head else words)


def _short(number: float) -> str:
    """Writes a number with three digits, in thousands and millions.

    Example:

    >>> _short(12.34), _short(123_456.0), _short(2_500_000.0), _short(999_999.0)
    ('12', '123 k', '2.50 M', '1.00 M')
    """
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if number >= 0.9995 * size:
            scaled = number / size
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f}{unit}"
    return f"{number:.0f}"


def run_fit(
    settings: RunSettings,
    rows: StoredOrNot,
    validation: StoredOrNot | None,
    display: Display,
    is_stopped: Callable[[], bool],
    facts: RowFacts = NOTHING_SAID,
    names_are_ours: bool = False,
    before_fit: Callable[[], None] = lambda: None,
    before_posterior: Callable[[], None] = lambda: None,
    checkpoint: Path | None = None,
) -> Run:
    """Fits what the settings ask for, with what the fit warned of as notes; it ends early when asked to.

    Of several fits it is the recommended one; ended early, among those that were complete.

    Args:
        settings: What is asked for.
        rows: Rows of `settings.data`, opened.
        validation: Rows of `settings.validation`, opened.
        display: Where to say how far it is.
        is_stopped: Asked after every sweep whether it was the last.
        facts: What is known of the rows before they are read.
        names_are_ours: Whether the columns were chosen for the user, so that odd ones are pointed out.
        before_fit: Called when the rows are known to be good: it loads what takes long.
        before_posterior: Called when the fit is done, and draws from its exact posterior come next.
        checkpoint: File that keeps what is done.

    Raises:
        ValueError, FloatingPointError: As `tfgmm.fit_mixture`.
        KeyboardInterrupt: It was asked to end before a first fit was complete.
    """
    display.phase("reading the rows")
    monitor = RunMonitor(display.share, is_stopped, settings.is_choice_of_shapes)
    survey = survey_rows(rows, None, settings.seed)
    if validation is not None:
        check_finite(validation)
    facts = facts.of_rows(rows, validation, survey.sample if names_are_ours else None)
    before_fit()
    num_data = survey.summary.num_data
    num_rows = survey.summary.num_rows or num_data
    cut, settings = settings.note_of_rows(num_rows), settings.for_rows(num_rows, rows.num_features)
    fit, notes = _fit_and_warnings(settings, rows, survey, validation, monitor, checkpoint)
    notes += [*cut, *facts.dropped(), *facts.cautions()]
    selection = fit if isinstance(fit, Selection) else None
    result = fit if isinstance(fit, FitResult) else fit.best
    notes += _notes_if_stopped(settings, fit, monitor)
    before_posterior()
    result, of_posterior = with_posterior(result, settings, rows, display, is_stopped)
    notes += of_posterior
    display.phase("drawing")
    if isinstance(fit, Selection):
        occupied = fit.occupied_posterior
    else:
        occupied = _occupied_posterior(result, survey, display, is_stopped)
    of_sweeps = monitor.occupied_of(result)
    return Run(settings, result, of_sweeps, survey, notes, selection, occupied, facts)


def _fit_and_warnings(
    settings: RunSettings,
    rows: RowSource,
    survey: Survey,
    validation: RowSource | None,
    monitor: RunMonitor,
    checkpoint: Path | None,
) -> tuple[FitResult | Selection, list[str]]:
    """Fits, and collects what the fit warned of, each warning once."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        asked: Any = settings.fit_options()
        options = FitOptions(**asked, validation_data=validation, checkpoint=checkpoint)
        numbers = check_num_components(settings.num_components)
        try:
            fit = fit_opened(rows, survey, numbers, options, [monitor])
        except EndOfChoice:
            raise KeyboardInterrupt from None
    notes = (str(warning.message) for warning in warned if issubclass(warning.category, UserWarning))
    in_summary = {f"{sentence}." for sentence in sentences_on_rows(survey.summary)}
    return fit, [note for note in dict.fromkeys(notes) if note not in in_summary]


def _notes_if_stopped(settings: RunSettings, fit: FitResult | Selection, monitor: RunMonitor) -> list[str]:
    """Writes a line where Ctrl-C left something undone: what there is all the same."""
    if isinstance(fit, Selection):
        return _notes_of_choice(settings, fit)
    if not monitor.was_stopped or fit.converged:
        return []
    sweeps = "1 sweep" if len(monitor.occupied) == 1 else f"{len(monitor.occupied)} sweeps"
    return [f"stopped by Ctrl-C after {sweeps}: the model is as it stood then"]


def _notes_of_choice(settings: RunSettings, selection: Selection) -> list[str]:
    """Writes a line where Ctrl-C ended a choice: which fits there are."""
    fits, num_asked = selection.results, settings.num_fits
    if len(fits) == num_asked:
        return []
    head = f"stopped by Ctrl-C after {len(fits)} of {num_asked}"
    if not settings.is_choice_of_shapes:
        tried = [result.num_components for result in fits]
        rest = f"the choice is among {with_and(tried)}" if len(tried) > 1 else f"only {tried[0]} is there"
        return [f"{head} numbers of components: {rest}"]
    last = f"{fits[-1].covariance} with {fits[-1].num_components}"
    rest = f"the choice is among those, the last of them {last}" if len(fits) > 1 else f"only {last} is there"
    return [f"{head} fits: {rest}"]


def _occupied_posterior(
    result: FitResult, survey: Survey, display: Display, is_stopped: Callable[[], bool]
) -> np.ndarray | None:
    """Computes the posterior of the number of components that have rows, where K is a maximum and rows are few."""
    is_maximum = WEIGHT_PRIORS[result.weight_prior].is_maximum
    if not is_maximum or survey.is_sample or is_stopped():
        return None
    display.phase("counting components that have rows")
    return result.occupied_posterior(survey.sample, seed=result.seed, sample_weight=survey.weights, noise=survey.noise)
