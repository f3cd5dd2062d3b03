"""Callbacks for mixtures: in `fit_mixture`, and in Keras's `fit`."""

from typing import TYPE_CHECKING

from tfgmm.common.lazy import front_door
from tfgmm.fit.callbacks import EndOfChoice, FitStep, FitWatcher, ProgressBar, StopOnPlateau, SweepCallback

if TYPE_CHECKING:
    from tfgmm.model.tensorboard import MixtureBoard

__all__ = ["EndOfChoice", "FitStep", "FitWatcher", "MixtureBoard", "ProgressBar", "StopOnPlateau", "SweepCallback"]

# The one that loads TensorFlow, when it is asked for
__getattr__, __dir__, _ = front_door(__name__, {"model.tensorboard": ["MixtureBoard"]}, root="tfgmm")
