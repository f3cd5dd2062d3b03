"""Bayesian Gaussian mixtures for NumPy, TensorFlow and Keras 3.

The public names below load on first use (PEP 562): `import tfgmm` alone loads neither TensorFlow nor NumPy,
so that the command line answers at once and the companions never pay for TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfgmm.common import forks as _forks  # noqa: F401  # every fork from here on is seen, whatever is loaded by then
from tfgmm.common.lazy import front_door

if TYPE_CHECKING:  # what type checkers and editors see; the same names as _HOMES and _MODULES
    from tfgmm import callbacks as callbacks
    from tfgmm import mlflow as mlflow
    from tfgmm import plot as plot
    from tfgmm import sklearn as sklearn
    from tfgmm.common.version import __version__ as __version__
    from tfgmm.export.folder import IntegrityError as IntegrityError
    from tfgmm.export.portable import export_litert as export_litert
    from tfgmm.export.portable import export_onnx as export_onnx
    from tfgmm.export.saved_model import export_model as export_model
    from tfgmm.export.scored_frames import score_frame as score_frame
    from tfgmm.export.scorer import Scorer as Scorer
    from tfgmm.export.scorer import load_scorer as load_scorer
    from tfgmm.fit.convergence import ConvergenceWarning as ConvergenceWarning
    from tfgmm.fit.estimator.bayesian_gaussian_mixture import BayesianGaussianMixture as BayesianGaussianMixture
    from tfgmm.fit.fitting import fit_mixture as fit_mixture
    from tfgmm.fit.result import FitResult as FitResult
    from tfgmm.fit.selection import Selection as Selection
    from tfgmm.mixture.odd_data import OddDataWarning as OddDataWarning
    from tfgmm.mixture.priors import Priors as Priors
    from tfgmm.model.gaussian_mixture import GaussianMixtureModel as GaussianMixtureModel
    from tfgmm.model.saving import load_model as load_model
    from tfgmm.model.step_sizes import StepSizes as StepSizes
    from tfgmm.posterior.agreement import Agreement as Agreement
    from tfgmm.posterior.agreement import compare as compare
    from tfgmm.posterior.alignment import AlignedDraws as AlignedDraws
    from tfgmm.posterior.alignment import align as align
    from tfgmm.posterior.draws import Draws as Draws
    from tfgmm.posterior.record import PosteriorRecord as PosteriorRecord
    from tfgmm.report.page import write_report as write_report

_HOMES = {
    "common.version": ["__version__"],
    "export.portable": ["export_litert", "export_onnx"],
    "export.folder": ["IntegrityError"],
    "export.saved_model": ["export_model"],
    "export.scored_frames": ["score_frame"],
    "export.scorer": ["Scorer", "load_scorer"],
    "fit.convergence": ["ConvergenceWarning"],
    "fit.estimator.bayesian_gaussian_mixture": ["BayesianGaussianMixture"],
    "fit.fitting": ["fit_mixture"],
    "fit.result": ["FitResult"],
    "fit.selection": ["Selection"],
    "mixture.odd_data": ["OddDataWarning"],
    "mixture.priors": ["Priors"],
    "model.gaussian_mixture": ["GaussianMixtureModel"],
    "model.saving": ["load_model"],
    "model.step_sizes": ["StepSizes"],
    "posterior.agreement": ["Agreement", "compare"],
    "posterior.alignment": ["AlignedDraws", "align"],
    "posterior.draws": ["Draws"],
    "posterior.record": ["PosteriorRecord"],
    "report.page": ["write_report"],
}
_MODULES = ["callbacks", "mlflow", "plot", "sklearn"]

__getattr__, __dir__, __all__ = front_door(__name__, _HOMES, _MODULES)
