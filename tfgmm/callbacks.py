"""Callbacks for mixtures: in `fit_mixture`, and in Keras's `fit`."""

from typing import TYPE_CHECKING

from tfgmm.common.lazy import front_door

if TYPE_CHECKING:  # what type checkers and the reference see
    from tfgmm.fit.callbacks import EndOfChoice, FitStep, FitWatcher, ProgressBar, StopOnPlateau, SweepCallback
    from tfgmm.model.tensorboard import MixtureBoard

__all__ = ["EndOfChoice", "FitStep", "FitWatcher", "MixtureBoard", "ProgressBar", "StopOnPlateau", "SweepCallback"]

# MixtureBoard loads TensorFlow, so each is loaded when it is asked for
_HOMES = {"fit.callbacks": [name for name in __all__ if name != "MixtureBoard"], "model.tensorboard": ["MixtureBoard"]}
__getattr__, __dir__, _ = front_door(__name__, _HOMES, root="tfgmm")
