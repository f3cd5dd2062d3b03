"""Bayesian Gaussian mixtures on TensorFlow and Keras 3.

The public names below load on first use (PEP 562): `import tfgmm` alone loads neither TensorFlow nor NumPy,
so that the command line answers at once and the companions never pay for TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors see; the same names as _HOMES
    from tfgmm import callbacks as callbacks
    from tfgmm import mlflow as mlflow
    from tfgmm import plot as plot
    from tfgmm.agreement import Agreement as Agreement
    from tfgmm.agreement import compare as compare
    from tfgmm.alignment import AlignedDraws as AlignedDraws
    from tfgmm.alignment import align as align
    from tfgmm.draws import Draws as Draws
    from tfgmm.export import export_model as export_model
    from tfgmm.fit import fit_mixture as fit_mixture
    from tfgmm.fit_result import FitResult as FitResult
    from tfgmm.model import GaussianMixtureModel as GaussianMixtureModel
    from tfgmm.natural_gradient import StepSizes as StepSizes
    from tfgmm.portable import export_litert as export_litert
    from tfgmm.portable import export_onnx as export_onnx
    from tfgmm.priors import Priors as Priors
    from tfgmm.report import write_report as write_report
    from tfgmm.saving import load_model as load_model
    from tfgmm.selection import Selection as Selection
    from tfgmm.serve import IntegrityError as IntegrityError
    from tfgmm.serve import Scorer as Scorer
    from tfgmm.serve import load_scorer as load_scorer
    from tfgmm.single_fit import ConvergenceWarning as ConvergenceWarning

# setup.cfg reads this line; asking the installed metadata instead would cost 20 ms
__version__ = "0.1.0"

# public name -> the module it lives in; None: the name is itself a module of the package
_HOMES: dict[str, str | None] = {
    "Agreement": "agreement",
    "AlignedDraws": "alignment",
    "ConvergenceWarning": "single_fit",
    "Draws": "draws",
    "FitResult": "fit_result",
    "GaussianMixtureModel": "model",
    "IntegrityError": "serve",
    "Priors": "priors",
    "Scorer": "serve",
    "Selection": "selection",
    "StepSizes": "natural_gradient",
    "align": "alignment",
    "callbacks": None,
    "compare": "agreement",
    "export_litert": "portable",
    "export_model": "export",
    "export_onnx": "portable",
    "fit_mixture": "fit",
    "load_model": "saving",
    "load_scorer": "serve",
    "mlflow": None,
    "plot": None,
    "write_report": "report",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Returns the public object `name`, loading its module the first time it is asked for."""
    if name not in _HOMES:
        # no full stop at the end: Python goes on with ". Did you mean ...?" where a name is close
        message = f"`tfgmm` has no public name {name!r}. The public names are: {', '.join(sorted(_HOMES))}"
        raise AttributeError(message, name=name, obj=import_module(__name__))
    home = _HOMES[name]
    found = import_module(f"{__name__}.{home or name}")
    if home is not None:
        found = getattr(found, name)
        globals()[name] = found  # the next look-up does not come here
    return found


def __dir__() -> list[str]:
    """Returns every public name, loaded or not."""
    return sorted(__all__)
