"""The exact posterior of the fit that a run writes: shown while it is drawn from, and ended by Ctrl-C."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from tfgmm.cli.display import Display
from tfgmm.cli.run.settings import RunSettings
from tfgmm.data.row_source import RowSource
from tfgmm.families import words_of_step
from tfgmm.fit.result import FitResult
from tfgmm.posterior import STOPPED
from tfgmm.posterior.record import MEAN_FIELD

_NONE_KEPT = "stopped by Ctrl-C before there were draws from the exact posterior: intervals are the mean-field ones"
_SOME_KEPT = "stopped by Ctrl-C: intervals are those of the draws from the posterior that there were"


class _Watch:
    """Says what is being done, and ends it before the next step once that is asked for."""

    def __init__(self, display: Display, is_stopped: Callable[[], bool]) -> None:
        self._display, self._is_stopped = display, is_stopped
        self.has_ended = False

    def tell(self, what: str, number: int, count: int) -> None:
        """Shows a step, as `FitResult.with_posterior` tells it.

        Raises:
            KeyboardInterrupt: It was asked to end.
        """
        if self._is_stopped():
            self.has_ended = True
            raise KeyboardInterrupt
        words = words_of_step(what, number, count)
        if count == 0:
            self._display.phase(words)
        else:
            self._display.share(min(1.0, (number - 1) / count), words)


def with_posterior(
    result: FitResult, settings: RunSettings, rows: RowSource, display: Display, is_stopped: Callable[[], bool]
) -> tuple[FitResult, list[str]]:
    """Adds draws from the exact posterior to a fit, and lists what the user should read of them.

    Args:
        result: The fit.
        settings: What is asked for.
        rows: The rows of the fit, with all that they carry.
        display: Where to say what is being done.
        is_stopped: Asked before every step whether to end.

    Raises:
        KeyboardInterrupt: A second Ctrl-C came, or one that `is_stopped` does not know of.
    """
    if settings.posterior == MEAN_FIELD:
        return result, []
    watch = _Watch(display, is_stopped)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        try:
            carrying = result.with_posterior(rows, settings.posterior, settings.seed, tell=watch.tell)
        except KeyboardInterrupt:
            if not watch.has_ended:
                raise
            return result, [_NONE_KEPT]
    record = None if carrying.exact is None else carrying.exact.record
    is_stopped_early = record is not None and record.note == STOPPED
    if is_stopped_early and not watch.has_ended:  # the draws of a second Ctrl-C are not wanted
        raise KeyboardInterrupt
    if record is not None and is_stopped_early and record.method == MEAN_FIELD:
        return result, [_NONE_KEPT]
    notes = [str(warning.message) for warning in warned if issubclass(warning.category, UserWarning)]
    return carrying, [*([_SOME_KEPT] if is_stopped_early else []), *notes]
