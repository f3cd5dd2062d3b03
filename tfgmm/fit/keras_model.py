"""A fitted posterior as a Keras model: what a fit asks TensorFlow for."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfgmm.common.extras import check_tensorflow
from tfgmm.data.row_source import RowSource
from tfgmm.data.streamed import StreamedRows
from tfgmm.families.fitted import FittedMixture
from tfgmm.fit.callbacks import SweepCallback
from tfgmm.fit.options import FitOptions
from tfgmm.fit.sweeps import RunningFit

if TYPE_CHECKING:
    from tfgmm.model.gaussian_mixture import GaussianMixtureModel

# The learning rate of polishing begins here: small beside the logarithms it moves, which are at their optimum already.
_POLISH_RATE = 5e-3


def keras_model_of(fitted: FittedMixture, elbo: float | None = None, trained: Any = None) -> GaussianMixtureModel:
    """Makes the Keras model of a posterior, compiled for closed form, or takes the one that was trained.

    Args:
        fitted: The posterior, as it stands, and the draws from the exact one that it carries.
        elbo: Its bound, nats; None where it is not known.
        trained: The model that is there already; None where there is none.

    Raises:
        ImportError: TensorFlow is not installed, or cannot be loaded; nothing of the fit is lost.
    """
    if trained is None:
        return _model_package().GaussianMixtureModel.of_fit(fitted, elbo)
    model: GaussianMixtureModel = trained
    model.carry_draws_of(fitted)
    return model


def sweep(
    fit: RunningFit,
    source: RowSource,
    options: FitOptions,
    callbacks: Sequence[Any],
    validation: RowSource | None,
) -> dict[str, list[float]]:
    """Sweeps over all rows by Keras's own loop, for callbacks of Keras's; returns the logs by name.

    Args:
        fit: The fit; its q moves, and its `model` is what the callbacks watched.
        source: The rows.
        options: Options of the fit.
        callbacks: Callbacks of any kind.
        validation: Rows to validate on.
    """
    model = fit.model = keras_model_of(fit)
    history = model.train_on(
        model.batches_of(source, options.batch_size),
        epochs=options.max_sweeps,
        callbacks=callbacks,
        validation_data=None if validation is None else model.batches_to_validate(validation),
        verbose=0,
    ).history
    fit.variational.assign(model.variational.values())
    fit.stop_training = model.stop_training
    return history


def polish(fit: RunningFit, source: RowSource, num_steps: int) -> None:
    """Follows gradients of the marginal bound for `num_steps` steps, from where the fit stands."""
    keras = _model_package().keras
    model = fit.model = fit.model or keras_model_of(fit)
    if isinstance(source, StreamedRows):
        source = source.repeated()  # as many steps as asked for, whatever its length
    rate = keras.optimizers.schedules.CosineDecay(_POLISH_RATE, num_steps)
    model.compile(keras.optimizers.Adam(rate))
    model.train_on(model.batches_of(source, steps_per_epoch=num_steps), epochs=1, verbose=0)
    fit.variational.assign(model.variational.values())


def check_can_train(polish_steps: int, callbacks: Sequence[Any]) -> None:
    """Checks, before hours of fitting, that TensorFlow is there where it will be needed.

    Raises:
        ImportError: It is needed, and is not installed or cannot be loaded.
    """
    if polish_steps:
        check_tensorflow("`polish_steps`")
    if not all(isinstance(callback, SweepCallback) for callback in callbacks):
        check_tensorflow("a callback of Keras's")


def _model_package() -> types.ModuleType:
    check_tensorflow("`model`, the Keras model of a fit")
    from tfgmm import model

    return model
