"""Callbacks of fits, for `fit_mixture` and for Keras's `fit`; they load no Keras."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from tfgmm.fit.plateau import PATIENCE, Plateau


@dataclasses.dataclass(frozen=True)
class FitStep:
    """What `tfgmm.fit_mixture` is about to do, beside the sweeps over all rows.

    Args:
        kind: "held out", a fit without some of the rows; "start", a restart; "occupied", counting the occupied
            components of draws; where an exact posterior was asked for, "posterior: restarts", weighing where restarts
            ended, and "posterior: mode", "posterior: check", "posterior: importance" and "posterior: mcmc".
        number, count: It is the `number`-th of `count` of its kind, counted from 1. Restarts go on side by side:
            `number` is one more than are done. A count of 0 is not known.
        num_components: K.
        place: (m, M): This is the m-th of M fits that are compared, counted from 1; (1, 1) where one was asked for.
        covariance: Covariance shape of the fit.
    """

    kind: str
    number: int
    count: int
    num_components: int
    place: tuple[int, int]
    covariance: str


class EndOfChoice(Exception):
    """Raised by a callback to end a choice among several fits: those complete are kept."""


class SweepCallback:
    """What a Keras callback is, without Keras: a subclass says what happens at the calls that it needs.

    `fit_mixture` calls it in sweeps that need no TensorFlow, Keras's `fit` as any callback of its own.

    Attributes:
        model: The fit as it stands, with its posterior and all questions that a fit answers, and `stop_training`; the
            Keras model in Keras's `fit`, and in `fit_mixture` beside a callback of Keras's.
        params: "epochs", the most sweeps there will be, and "steps", the batches of a sweep.
        ends_for_now: Set beside `stop_training` where the fit is to go on from its checkpoint another time.
    """

    ends_for_now = False

    def __init__(self) -> None:
        self.model: Any = None
        self.params: Mapping[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Takes the fit that calls."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Takes the numbers of epochs and steps."""
        self.params = params

    def on_train_begin(self, logs: Any = None) -> None:
        """Called before the first sweep."""

    def on_train_end(self, logs: Any = None) -> None:
        """Called after the last sweep."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Called before each sweep."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Called after each sweep, with its logs."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Called before each batch of rows."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Called after each batch of rows, with the logs of the sweep so far."""

    def kept_state(self) -> Any:
        """Returns what it needs to go on after this sweep, for a checkpoint: numbers, text, lists and dictionaries."""
        return None

    def restore_state(self, state: Any) -> None:
        """Takes back what it kept, after `on_train_begin`; the next sweep is the one that follows."""

    def _ignore(self, *arguments: Any, **named: Any) -> None:
        """Takes Keras's other calls."""

    on_batch_begin = on_batch_end = _ignore
    on_test_begin = on_test_end = on_test_batch_begin = on_test_batch_end = _ignore
    on_predict_begin = on_predict_end = on_predict_batch_begin = on_predict_batch_end = _ignore


def checked_callbacks(callbacks: Any) -> list[Any]:
    """Lists the callbacks in an argument of this name; None stands for none.

    Raises:
        TypeError: It is no list of callbacks.
    """
    callbacks = callbacks or ()
    found = list(callbacks) if isinstance(callbacks, Iterable) else None
    if found is None or not all(hasattr(one, "on_epoch_end") and not isinstance(one, type) for one in found):
        raise TypeError(
            f"`callbacks` must be a list of callbacks. Received: {type(callbacks).__name__} "
            f"{callbacks!r:.80}. Put one in a list, and make it: [tfgmm.callbacks.ProgressBar()]."
        )
    return found


class FitWatcher(SweepCallback):
    """A callback that `tfgmm.fit_mixture` also calls before and between the sweeps over all rows.

    It has the calls of a Keras callback. Where several numbers of components or shapes are tried, any method may raise
    `EndOfChoice`: what comes back is the `Selection` of the fits that were complete. Where there is none yet, the
    exception is passed on.

    Example:

    >>> class Printer(tfgmm.callbacks.FitWatcher):
    ...     def on_step(self, step):
    ...         print(step.kind, step.number, "of", step.count, "with", step.num_components, step.place)
    >>> result = tfgmm.fit_mixture([[0.0], [0.1], [0.9]], 1, restarts=2, callbacks=[Printer()])
    start 1 of 2 with 1 (1, 1)
    start 2 of 2 with 1 (1, 1)
    """

    def on_step(self, step: FitStep) -> None:
        """Called before each step."""


class ProgressBar(SweepCallback):
    """One bar over all epochs, with the loss beside it, instead of a line per epoch: use with `verbose=0`.

    Args:
        description: What is being done, written before the bar.

    Where the output is not a terminal only the finished bar is printed, without control codes.

    Example:

    >>> model = tfgmm.GaussianMixtureModel(2, 1, seed=0)
    >>> model.compile("adam")
    >>> bar = tfgmm.callbacks.ProgressBar("two clusters")
    >>> history = model.fit([[0.0], [1.0], [9.0]], epochs=2, verbose=0, callbacks=[bar])  # doctest: +ELLIPSIS
    two clusters ...2/2...
    """

    def __init__(self, description: str = "fitting") -> None:
        super().__init__()
        self.description = description

    def on_train_begin(self, logs: Any = None) -> None:
        """Shows the empty bar."""
        from rich import progress

        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=30),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[loss]}"),
            progress.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        )
        self._progress = progress.Progress(*columns)
        self._task = self._progress.add_task(self.description, total=self.params["epochs"], loss="")
        self._progress.start()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Moves the bar."""
        self._progress.update(self._task, completed=epoch + 1, loss=f"loss {float(logs['loss']):.4f}")

    def on_train_end(self, logs: Any = None) -> None:
        """Leaves the bar as it is."""
        self._progress.stop()

    def on_train_error(self, error: BaseException) -> None:
        """Leaves the bar as it is, also after Ctrl-C."""
        self._progress.stop()


class StopOnPlateau(SweepCallback):
    """Stops training when the bound has stopped rising: for exact sweeps, which have no noise.

    Args:
        tolerance: A gain of the bound below it counts as none, nats per row, positive.
        patience: Number of such gains that must follow each other.

    Attributes:
        converged: Whether it stopped training.

    Example:

    >>> rows = np.random.default_rng(0).normal([[-3.0]] * 50 + [[3.0]] * 50, 0.5)
    >>> model = tfgmm.GaussianMixtureModel(2, 1, seed=0)
    >>> model.compile()
    >>> stop = tfgmm.callbacks.StopOnPlateau()
    >>> history = model.fit(rows, epochs=1000, verbose=0, callbacks=[stop])
    >>> stop.converged, len(history.history["elbo"]) < 100
    (True, True)
    """

    def __init__(self, tolerance: float = 1e-7, patience: int = PATIENCE) -> None:
        super().__init__()
        self.tolerance = tolerance
        self.patience = patience
        self.converged = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Forgets earlier training."""
        self.converged = False
        self._plateau = Plateau(self.tolerance, self.patience, self.model.num_data)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stops training after gains that are too small."""
        if self._plateau.is_reached(float(logs["elbo"])):
            self.converged = self.model.stop_training = True

    def kept_state(self) -> Any:
        """Returns the last bound, and how many gains in a row were too small."""
        return self._plateau.state

    def restore_state(self, state: Any) -> None:
        """Goes on from there; it may be where training had stopped."""
        self._plateau.state = state
        if self._plateau.is_flat:
            self.converged = self.model.stop_training = True
