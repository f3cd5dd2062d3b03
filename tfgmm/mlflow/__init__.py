"""Fitted mixtures in MLflow: models for its server, registry and batch jobs, and training runs on its tracking page.

`tfgmm.mlflow.save_model` and `log_model` write an MLflow model, `RunLogger` is a Keras callback. MLflow comes with
`pip install "tfgmm[mlflow]"`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tfgmm.mlflow.models import log_model, save_model
from tfgmm.mlflow.pyfunc import ScoredFrames, load_frames

if TYPE_CHECKING:
    from tfgmm.mlflow.runs import RunLogger as RunLogger

__all__ = ["RunLogger", "log_model", "save_model"]


def _load_pyfunc(path: str) -> ScoredFrames:
    """Loads the mixture in an exported folder; MLflow calls this by name with the path of the folder."""
    return load_frames(path)


def __getattr__(name: str) -> Any:
    """Loads `RunLogger` on first use, and TensorFlow with it: a server imports this module without it."""
    if name == "RunLogger":
        return import_module("tfgmm.mlflow.runs").RunLogger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=import_module(__name__))
