"""Keras callbacks for mixtures."""

from __future__ import annotations

from typing import Any

from tfgmm.keras3 import keras


class ProgressBar(keras.callbacks.Callback):
    """One bar over all epochs, with the loss beside it, instead of a line per epoch: use with `verbose=0`.

    Args:
        description: what is being done, shown before the bar.

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
        """Returns nothing; shows the empty bar."""
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
        """Returns nothing; moves the bar."""
        self._progress.update(self._task, completed=epoch + 1, loss=f"loss {float(logs['loss']):.4f}")

    def on_train_end(self, logs: Any = None) -> None:
        """Returns nothing; leaves the bar as it is."""
        self._progress.stop()
