"""A run of `tfgmm fit` from open rows to a fitted mixture, watched by a callback that tells how far it is."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

from tfgmm import data as door
from tfgmm.files import StoredRows
from tfgmm.fit import fit_mixture
from tfgmm.keras3 import keras
from tfgmm.occupied import num_occupied
from tfgmm.readers import Rows
from tfgmm.run_display import Display
from tfgmm.run_folder import Run
from tfgmm.run_settings import RunSettings


class RunMonitor(keras.callbacks.Callback):
    """Tells after every batch how far the sweep is, counts occupied components, and stops when it is asked to.

    Args:
        show: called with the share of the sweep that is done, and with words: sweep, bound, occupied, rows a second.
        is_stopped: asked after every sweep whether it was the last.

    Attributes:
        occupied: the number of occupied components after each sweep.
        was_stopped: whether it ended the training.

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

    def __init__(self, show: Callable[[float, str], None], is_stopped: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self._show, self._is_stopped = show, is_stopped
        self.occupied: list[int] = []
        self.was_stopped = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Returns nothing; forgets earlier training."""
        self.occupied, self.was_stopped, self._bound = [], False, ""
        self._rows_per_second = ""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Returns nothing; shows which sweep begins."""
        self._sweep, self._began = epoch + 1, time.perf_counter()
        self._tell(0.0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Returns nothing; shows how far the sweep is."""
        share = (batch + 1) / self.params["steps"]
        seconds = max(time.perf_counter() - self._began, 1e-9)
        self._rows_per_second = f"{share * self.model.num_data / seconds:,.0f} rows/s"
        self._tell(share)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Returns nothing; shows the bound and what is occupied; stops when it was asked to."""
        self.occupied.append(num_occupied(self.model))
        self._bound = f"bound {float(logs['elbo']):.6g} nats"
        self._tell(1.0)
        if self._is_stopped():
            self.was_stopped = self.model.stop_training = True

    def _tell(self, share: float) -> None:
        occupied = f"{self.occupied[-1]} of {self.model.num_components} occupied" if self.occupied else ""
        words = (f"sweep {self._sweep}", self._bound, occupied, self._rows_per_second)
        self._show(share, "  ".join(word for word in words if word))


def run_fit(
    settings: RunSettings,
    rows: Rows | StoredRows,
    validation: Rows | StoredRows | None,
    shown: Display,
    is_stopped: Callable[[], bool],
) -> Run:
    """Returns the fit that the settings ask for, with what it warned of as notes; it ends early when asked to.

    Args:
        settings: what is asked for, but for the files.
        rows: those of `settings.data`, opened.
        validation: those of `settings.validation`, opened.
        shown: where to show how far it is.
        is_stopped: asked after every sweep whether it was the last.

    Raises:
        ValueError, FloatingPointError: as `tfgmm.fit_mixture`.
    """
    words = "1 start" if settings.restarts == 1 else f"{settings.restarts} starts"
    shown.phase(f"trying {words}")
    monitor = RunMonitor(shown.share, is_stopped)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        result = fit_mixture(
            rows,
            settings.num_components,
            covariance=settings.covariance,
            weights=settings.weights,
            restarts=settings.restarts,
            seed=settings.seed,
            validation_data=validation,
            callbacks=[monitor],
        )
    notes = [str(warning.message) for warning in warned if issubclass(warning.category, UserWarning)]
    if monitor.was_stopped and not result.converged:
        sweeps = "1 sweep" if len(monitor.occupied) == 1 else f"{len(monitor.occupied)} sweeps"
        notes.append(f"stopped by Ctrl-C after {sweeps}: the model is as it stood then")
    shown.phase("drawing")
    sample = door.survey(rows, "data", None, settings.seed).sample
    return Run(settings, result, monitor.occupied, sample, notes)
