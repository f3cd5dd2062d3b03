"""A Keras callback that writes a training run for TensorBoard: figures, gradients, the posterior, the density."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfgmm.common import extras
from tfgmm.common.checks import check_count
from tfgmm.common.columns import column_labels
from tfgmm.data.sources import open_source
from tfgmm.data.survey import survey_rows
from tfgmm.fit.occupied import num_occupied
from tfgmm.model.gradient_norms import GradientNorms, watched_gradients
from tfgmm.model.keras3 import keras
from tfgmm.model.running_bound import LOGS

if TYPE_CHECKING:
    from tfgmm.model.gaussian_mixture import GaussianMixtureModel

_NUM_DRAWS = 500  # for a histogram of 30 bars
_LEAST_WEIGHT = 0.01  # of components without rows the posterior is the prior, far wider than all others
_MOST_COLUMNS = 16  # with histograms; as many again with their standard deviations
_DOTS_PER_INCH = 80


class MixtureBoard(keras.callbacks.Callback):
    """Writes a fit for TensorBoard: the bound, gradient norms, histograms of the posterior, pictures of the density.

    Give it to `GaussianMixtureModel.fit` or `fit_mixture(callbacks=[...])`, then `tensorboard --logdir LOG_DIR`.

    Args:
        log_dir: The folder; made if need be. As with Keras's own callback, a run lies in `train/` and, where rows are
            held out, `validation/` of it; fits of further models by the same callback in `fit_2/train/` and so on.
        data: Rows to show in the pictures, of any kind that `fit` takes: a sample of up to 20,000. None draws none.
        every: Number of epochs between histograms and pictures, which are written at epoch 0, then so often, and at the
            last.

    Written are, by epoch, counted from 0:

    - scalars: what Keras logs, nats: `bound/loss`, `bound/elbo`, `bound/log_likelihood`, `bound/kl`, those of
      held-out rows under the same names in `validation/`; `components/occupied`, how many of them at least one row is
      expected in; with an optimizer `learning_rate` and `gradient_norm/...`.
    - `gradient_norm/NAME`, with an optimizer: the Euclidean norm of the loss's gradient by the variable NAME (the
      unbounded numbers behind the posterior: locs, log_scales, ...), its mean over the steps of the epoch. They are
      taken from the training step itself, compiled anew for that. Closed-form training follows no gradient: none there.
    - histograms of draws from the posterior: `weights` of all components; `means/COLUMN` and
      `standard deviations/COLUMN` (the middle 99 %) of the components with a weight of 1 % or more, data units.
      Components stand side by side in one histogram, so that none needs a number; for more than 16 columns, the
      first 16.
    - an image, `density`: one column with its band, two in colour, more as pairs of the first five.

    Raises:
        ModuleNotFoundError: TensorBoard is not installed: TensorFlow's summaries are part of it.
        TypeError, ValueError: `log_dir` is no path, `every` below 1; when training begins: `data` that cannot be read.
        OSError: When training begins: `log_dir` cannot be written to.

    Example: see docs/tensorboard.md.
    """

    def __init__(self, log_dir: str | os.PathLike[str], data: Any = None, *, every: int = 10) -> None:
        super().__init__()
        if not isinstance(log_dir, str | os.PathLike) or not os.fspath(log_dir):
            raise TypeError(
                f'`log_dir` must be the path of a folder. Received: {log_dir!r}. Pass for example "logs/first".'
            )
        # TensorFlow's summaries ask for it. Missing, it should be missed before hours of training
        extras.imported("tensorboard.summary.v2", "TensorBoard", "tensorboard")
        self.log_dir = log_dir
        self.data = data
        self.every = check_count("every", every)
        self._writers: dict[str, Any] = {}
        self._num_fits = 0
        self._last_model: Any = None
        self._norms: GradientNorms | None = None
        self._watching = contextlib.ExitStack()  # open while the training step takes gradient norms

    def on_train_begin(self, logs: Any = None) -> None:
        """Opens the files, reads the rows to show, and asks the training step for its gradients."""
        if self.model is not self._last_model:
            self._num_fits, self._last_model = self._num_fits + 1, self.model
        self._epoch, self._shown_epoch = -1, -1
        self._rows = rows_to_show(self.data, self.model)
        self._writer("train")
        if not (self.model.is_closed_form or self.model.is_frozen):
            self._norms = self._watching.enter_context(watched_gradients(self.model))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Forgets the gradients of the epoch before."""
        if self._norms is not None:
            self._norms.reset()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes the epoch's figures, and from time to time its pictures."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        scalars = {tag_of(name): value for name, value in figures.items() if not name.startswith("val_")}
        scalars["components/occupied"] = num_occupied(self.model.variational)
        if not self.model.is_closed_form:
            scalars["learning_rate"] = float(np.asarray(self.model.optimizer.learning_rate))
        if self._norms is not None:
            scalars |= {f"gradient_norm/{name}": norm for name, norm in self._norms.result().items()}
        self._write("train", epoch, scalars)
        held_out = {name.removeprefix("val_"): value for name, value in figures.items() if name.startswith("val_")}
        if held_out:
            self._write("validation", epoch, {tag_of(name): value for name, value in held_out.items()})
        self._epoch = epoch
        if epoch % self.every == 0:
            self._show()

    def on_train_end(self, logs: Any = None) -> None:
        """Writes the pictures of the last epoch and closes the files."""
        if self._shown_epoch != self._epoch:  # also of training that went on, from an epoch that was not shown
            self._show()
        self._close()

    def on_train_error(self, error: BaseException) -> None:
        """Closes the files of training that failed; `fit` calls this."""
        self._close()

    def _writer(self, part: str) -> Any:
        """Gives the writer of "train" or "validation", opened at its first use."""
        if part not in self._writers:
            fit = [] if self._num_fits == 1 else [f"fit_{self._num_fits}"]
            folder = os.path.join(self.log_dir, *fit, part)
            try:
                self._writers[part] = tf.summary.create_file_writer(folder)
            except tf.errors.OpError:
                raise OSError(
                    f"`log_dir` must be a folder that can be written to. Received: {os.fspath(self.log_dir)!r}, where "
                    f"the folder {folder!r} could not be made. Name another one."
                ) from None
        return self._writers[part]

    def _write(self, part: str, epoch: int, scalars: dict[str, float]) -> None:
        with self._writer(part).as_default(step=epoch):
            for tag, value in scalars.items():
                tf.summary.scalar(tag, value)

    def _show(self) -> None:
        """Writes histograms and the picture of the posterior as it stands."""
        self._shown_epoch = self._epoch
        writer = self._writer("train")
        with writer.as_default(step=self._epoch):
            for tag, values in posterior_values(self.model):
                tf.summary.histogram(tag, values)
            tf.summary.image("density", density_image(self.model, self._rows)[None])
        writer.flush()

    def _close(self) -> None:
        while self._writers:
            self._writers.popitem()[1].close()
        self._norms = None
        self._watching.close()


def tag_of(name: str) -> str:
    """Names the tag of a figure that Keras logs: those of the bound stand together.

    Example:

    >>> tag_of("elbo"), tag_of("seconds")
    ('bound/elbo', 'seconds')
    """
    return f"bound/{name}" if name in LOGS else name


def rows_to_show(data: Any, model: GaussianMixtureModel) -> np.ndarray | None:
    """Samples up to 20,000 rows of `data` in the model's columns, (n, D) float64, data units; None for None.

    A uniform sample; the first rows where a stream is endless or of unknown length.

    Raises:
        ValueError, TypeError: Rows that cannot be read, other columns than the model has, NaN.
    """
    if data is None:
        return None
    source = open_source(data, "data", model.num_features, model.column_names)
    return survey_rows(source, model.num_data, model.seed).sample


def posterior_values(model: GaussianMixtureModel) -> Iterator[tuple[str, np.ndarray]]:
    """Yields draws from q, each with its tag: weights, and the means and standard deviations of each column.

    The seed is always the same: from one epoch to the next only the posterior changes.
    """
    draws = model.draws(_NUM_DRAWS, model.seed)
    weights = draws.weights[0]
    yield "weights", weights.ravel()
    is_used = weights.mean(axis=0) >= min(_LEAST_WEIGHT, 1.0 / model.num_components)
    for column, name in enumerate(column_labels(model.column_names, model.num_features)[:_MOST_COLUMNS]):
        yield f"means/{name}", draws.locs[0][:, is_used, column].ravel()
        yield f"standard deviations/{name}", _without_tails(draws.scales[0][:, is_used, column])


def _without_tails(values: np.ndarray) -> np.ndarray:
    """Cuts `values` down to their middle 99 %: early in training a single draw can be tenfold all others."""
    low, high = np.quantile(values, [0.005, 0.995])
    return values[(values >= low) & (values <= high)]


def density_image(model: GaussianMixtureModel, rows: np.ndarray | None) -> np.ndarray:
    """Draws the density into an image, (height, width, 3) uint8: one column, two, or pairs of columns."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    num_panels = 1 if model.num_features <= 2 else min(model.num_features, 5)
    size = (6.4, 4.8) if num_panels == 1 else (2.0 * num_panels, 2.0 * num_panels)
    # Not one of pyplot's, which would have to be closed
    figure = Figure(size, dpi=_DOTS_PER_INCH, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    draw_density(model, rows, figure.subplots(num_panels, num_panels))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw_density(model: GaussianMixtureModel, rows: np.ndarray | None, ax: Any) -> None:
    """Draws the density into one Axes, or into a square of them for more than two columns."""
    from tfgmm import plot
    from tfgmm.plot.frames import data_limits

    names = column_labels(model.column_names, model.num_features)
    if model.num_features == 1:
        plot.column_density(model.draws(_NUM_DRAWS, model.seed), rows, column_name=names[0], ax=ax)
    elif model.num_features == 2:
        limits = data_limits(model.data_summary) if rows is None else None
        plot.density(model.log_prob, rows, limits=limits, column_names=names, num_points=120, ax=ax)
    else:
        plot.pairs(model.mean_parameters(), rows, column_names=names, num_points=40, ax=ax)
