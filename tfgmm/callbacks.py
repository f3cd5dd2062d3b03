"""Callbacks for mixtures: in `fit_mixture`, and in Keras's `fit`."""

from tfgmm.common.lazy import front_door

# MixtureBoard alone loads TensorFlow
_HOMES = {
    "fit.callbacks": ["EndOfChoice", "FitStep", "FitWatcher", "ProgressBar", "StopOnPlateau", "SweepCallback"],
    "model.tensorboard": ["MixtureBoard"],
}

__getattr__, __dir__, __all__ = front_door(__name__, _HOMES, root="tfgmm")
