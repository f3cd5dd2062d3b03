"""What a fit found, under the names and in the layouts that scikit-learn's mixtures have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.mixture.parameters import LOCS, MixtureDensity
from tfgmm.mixture.registry import COVARIANCES

if TYPE_CHECKING:
    from tfgmm.fit.result import FitResult
    from tfgmm.fit.selection import Selection


class FittedAttributes:
    """Attributes of a fitted estimator, each read from the fit when it is asked for.

    The arrays of covariances and precisions have scikit-learn's layouts: "full" (K, D, D), "tied" (D, D), "diag"
    (K, D), "spherical" (K,); and for the shapes that only tfgmm has, "tied_diag" (D,) and "tied_spherical" (). Where
    priors say that columns differ in width (`Priors(column_scale=...)`), the spherical ones have an axis more, of D.
    """

    result_: FitResult
    """The fit, with its posterior, criteria, restarts, export, and what else a `FitResult` has."""
    selection_: Selection | None
    """The choice, where several numbers of components or shapes were tried; `result_` is the one recommended."""

    @property
    def weights_(self) -> np.ndarray:
        """Weights of the components, (K,) float64: posterior means."""
        return np.exp(self.result_.plug_in().log_weights)

    @property
    def means_(self) -> np.ndarray:
        """Means of the components, (K, D) float64, data units: posterior means."""
        mixture = self.result_.plug_in()
        return np.asarray(mixture.components[LOCS]) + mixture.centre

    @property
    def covariances_(self) -> np.ndarray:
        """Covariances of the components, float64, squared data units: inverses of `precisions_`."""
        mixture = self.result_.plug_in()
        scales, covariances = mixture.form.covariances(mixture.components)
        return _in_layout(np.square(scales) if covariances is None else covariances, mixture)

    @property
    def precisions_(self) -> np.ndarray:
        """Precisions of the components, float64, inverse squared data units: posterior means."""
        mixture = self.result_.plug_in()
        roots = mixture.components[mixture.form.precision_name]
        return _in_layout(_transposed(roots) @ roots if _is_correlated(mixture) else roots, mixture)

    @property
    def precisions_cholesky_(self) -> np.ndarray:
        """Roots of the precisions, float64, inverse data units; of matrices upper triangular U, precisions U U'."""
        mixture = self.result_.plug_in()
        roots = mixture.components[mixture.form.precision_name]
        return _in_layout(_transposed(roots) if _is_correlated(mixture) else np.sqrt(roots), mixture)

    @property
    def converged_(self) -> bool:
        """Whether the bound had stopped rising."""
        return self.result_.converged

    @property
    def n_iter_(self) -> int:
        """Number of sweeps over all rows, after those of the restarts."""
        return len(self.result_.history["elbo"])

    @property
    def lower_bound_(self) -> float:
        """Bound on the log evidence, nats per row: `result_.elbo / N`, with all constants."""
        return float(self.result_.elbo) / self.result_.num_data

    @property
    def lower_bounds_(self) -> list[float]:
        """Bounds after each sweep over all rows, nats per row."""
        return [bound / self.result_.num_data for bound in self.result_.history["elbo"]]

    @property
    def n_components_(self) -> int:
        """K: that asked for, or recommended."""
        return self.result_.num_components

    @property
    def covariance_type_(self) -> str:
        """Covariance shape: that asked for, or recommended."""
        return self.result_.covariance

    @property
    def _n_features_out(self) -> int:
        """Number of columns that `transform` gives, which scikit-learn names."""
        return self.n_components_


def _is_correlated(mixture: MixtureDensity) -> bool:
    return COVARIANCES[mixture.covariance].is_correlated


def _transposed(matrices: Any) -> np.ndarray:
    return np.swapaxes(matrices, -1, -2)


def _in_layout(values: Any, mixture: MixtureDensity) -> np.ndarray:
    """Leaves out the axes along which values are equal by their shape's definition."""
    shape, values = COVARIANCES[mixture.covariance], np.asarray(values)
    if shape.is_tied:
        values = values[0]
    if shape.is_spherical and (values == values[..., :1]).all():
        values = values[..., 0]
    return values.copy()
