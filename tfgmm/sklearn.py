"""Mixtures as scikit-learn estimators, under the names that scikit-learn's own have: change the import, keep the code.

`GaussianMixture` is another name of `BayesianGaussianMixture`.
"""

from typing import TYPE_CHECKING

from tfgmm.common.lazy import front_door

if TYPE_CHECKING:  # what type checkers and the reference see
    from tfgmm.fit.estimator.bayesian_gaussian_mixture import BayesianGaussianMixture, GaussianMixture

__all__ = ["BayesianGaussianMixture", "GaussianMixture"]

_HOMES = {"fit.estimator.bayesian_gaussian_mixture": __all__}
__getattr__, __dir__, _ = front_door(__name__, _HOMES, root="tfgmm")
