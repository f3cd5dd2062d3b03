"""Keras callbacks for mixtures."""

from tfgmm.fit.callbacks import EndOfChoice, FitStep, FitWatcher, ProgressBar, StopOnPlateau
from tfgmm.fit.tensorboard import MixtureBoard

__all__ = ["EndOfChoice", "FitStep", "FitWatcher", "MixtureBoard", "ProgressBar", "StopOnPlateau"]
