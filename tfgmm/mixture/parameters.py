"""The parameters of a mixture, and the two forms that they are written in.

Independent columns have `precisions`, a number per component and column; correlated ones have `whiteners`, matrices U
with precision matrix U' U. `form_of` tells which; nothing else looks at the names of arrays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.shapes import Tensor
from tfgmm.mixture.features import pair_coefficients, pairs, write_products, write_squares
from tfgmm.mixture.registry import COVARIANCES, CovarianceShape, FormName

Parameters = Mapping[str, Any]

LOCS = "locs"


class LogDensityTerms(NamedTuple):
    """The terms of log Normal(row | k), float64: row' linear - 1/2 products' quadratic + constants.

    linear: (..., K, D). quadratic: (..., K or 1, P). log_determinants: (..., K or 1), of the precision matrices.
    squares: (..., K), locs' precision locs.
    """

    linear: np.ndarray
    quadratic: np.ndarray
    log_determinants: np.ndarray
    squares: np.ndarray


class IndependentForm:
    """Columns that are independent within a component: `precisions` (..., K, D)."""

    name: FormName = "independent"
    precision_name = "precisions"
    write_products = staticmethod(write_squares)

    def shapes(self, shape: CovarianceShape, num_components: int, num_features: int) -> dict[str, tuple[int, ...]]:
        """Lists the shape of every array by name; precisions stand once per component, also where they are tied."""
        del shape
        return {LOCS: (num_components, num_features), self.precision_name: (num_components, num_features)}

    def terms(self, parameters: Parameters) -> LogDensityTerms:
        """Computes the terms of log densities: products are squares, P = D."""
        locs = np.asarray(parameters[LOCS], np.float64)
        precisions = np.broadcast_to(parameters[self.precision_name], locs.shape)
        squares = (precisions * np.square(locs)).sum(axis=-1)
        return LogDensityTerms(precisions * locs, precisions, np.log(precisions).sum(axis=-1), squares)

    def covariances(self, parameters: Parameters) -> tuple[np.ndarray, None]:
        """Computes the standard deviations of the components, (..., K, D) float64; all covariances are 0."""
        return np.asarray(parameters[self.precision_name]) ** -0.5, None

    def standard_normal_rows(self, parameters: Parameters, owners: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Turns standard normal noise (B, D) into what rows of components `owners` (B,) are away from their means."""
        return noise / np.sqrt(parameters[self.precision_name][owners])

    def fault_in(self, values: np.ndarray) -> str | None:
        """Says what makes finite precisions useless, in words that follow their name; None where nothing does."""
        return "that are not positive" if (values <= 0).any() else None

    def roots(self, parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
        """Computes the roots of the precisions, (K, 1, D), and log determinants of them, (K,)."""
        factors = np.broadcast_to(np.sqrt(parameters[self.precision_name]), np.shape(parameters[LOCS]))[:, None, :]
        return factors, np.log(factors[:, 0]).sum(axis=1)

    def num_free(self, shape: CovarianceShape, num_components: int, num_features: int) -> int:
        """Counts the free numbers of the precisions; what is shared counts once."""
        return shape.num_precisions(num_components) * (1 if shape.is_spherical else num_features)


class CorrelatedForm:
    """Columns that are correlated within a component: `whiteners` U, (..., K or 1, D, D), with precisions U' U."""

    name: FormName = "correlated"
    precision_name = "whiteners"
    write_products = staticmethod(write_products)

    def shapes(self, shape: CovarianceShape, num_components: int, num_features: int) -> dict[str, tuple[int, ...]]:
        """Lists the shape of every array by name; a tied matrix stands once."""
        num_precisions = shape.num_precisions(num_components)
        return {LOCS: (num_components, num_features), self.precision_name: (num_precisions, num_features, num_features)}

    def terms(self, parameters: Parameters) -> LogDensityTerms:
        """Computes the terms of log densities; see `tfgmm.mixture.features.pairs` for the products."""
        locs = np.asarray(parameters[LOCS], np.float64)
        whiteners = np.asarray(parameters[self.precision_name], np.float64)
        whitened, transposed = whiteners @ locs[..., None], np.swapaxes(whiteners, -1, -2)
        first, second = pairs(locs.shape[-1])
        quadratic = (transposed @ whiteners)[..., first, second] * pair_coefficients(locs.shape[-1])
        log_determinants = 2.0 * np.linalg.slogdet(whiteners)[1]  # whiteners of draws are not triangular
        linear, squares = (transposed @ whitened)[..., 0], np.square(whitened).sum(axis=(-1, -2))
        return LogDensityTerms(linear, quadratic, log_determinants, squares)

    def covariances(self, parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
        """Computes the standard deviations (..., K, D) and covariances (..., K, D, D) of the components, float64."""
        locs, inverses = np.asarray(parameters[LOCS]), np.linalg.inv(np.asarray(parameters[self.precision_name]))
        covariances = np.broadcast_to(inverses @ np.swapaxes(inverses, -1, -2), (*locs.shape, locs.shape[-1]))
        return np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1)), covariances

    def standard_normal_rows(self, parameters: Parameters, owners: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Turns standard normal noise (B, D) into what rows of components `owners` (B,) are away from their means.

        Quick where the rows of a component follow each other.
        """
        inverses = np.linalg.inv(parameters[self.precision_name])
        if len(inverses) == 1:
            return noise @ inverses[0].T
        # One run of equal owners after the other: a matrix for every row would take D times the memory of the rows
        rows, changes = np.empty_like(noise), np.flatnonzero(np.diff(owners)) + 1
        for start, stop in zip([0, *changes], [*changes, len(owners)]):
            if start < stop:
                np.matmul(noise[start:stop], inverses[owners[start]].T, out=rows[start:stop])
        return rows

    def fault_in(self, values: np.ndarray) -> str | None:
        """Says what makes finite whiteners useless, in words that follow their name; None where nothing does."""
        if (np.diagonal(values, axis1=-2, axis2=-1) <= 0).any():
            return "with a diagonal that is not positive"
        return "that are not lower triangular" if np.triu(values, 1).any() else None

    def roots(self, parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
        """Computes the transposed whiteners, triangular, (K or 1, D, D), and log determinants of them, (K or 1,)."""
        whiteners = np.asarray(parameters[self.precision_name], np.float64)
        return np.swapaxes(whiteners, 1, 2), np.log(np.diagonal(whiteners, axis1=1, axis2=2)).sum(axis=1)

    def num_free(self, shape: CovarianceShape, num_components: int, num_features: int) -> int:
        """Counts the free numbers of the precisions; what is shared counts once, and a matrix is symmetric."""
        return shape.num_precisions(num_components) * num_features * (num_features + 1) // 2


ParameterForm = IndependentForm | CorrelatedForm  # the same methods; results have the arrays' leading axes
FORMS: Mapping[FormName, ParameterForm] = {"independent": IndependentForm(), "correlated": CorrelatedForm()}


def form_of(covariance: str) -> ParameterForm:
    """Looks up the form that the parameters of a covariance shape have.

    Example:

    >>> form_of("tied").precision_name
    'whiteners'
    """
    return FORMS[COVARIANCES[covariance].form]


class MixtureDensity(NamedTuple):
    """The parameters of a mixture density, or of the average of S, with a leading axis S on weights and components.

    Args:
        covariance: Name of the covariance shape, a key of `COVARIANCES`.
        centre: (D,) float64, data units; what component locations are measured from.
        log_weights: (K,) or (S, K) float64.
        components: Parameters of the components by name, float64, leading axes as `log_weights`.
    """

    covariance: str
    centre: Tensor
    log_weights: Tensor
    components: Parameters

    @property
    def form(self) -> ParameterForm:
        """Form that the components are written in."""
        return form_of(self.covariance)

    def part(self, index: int | slice) -> MixtureDensity:
        """Picks one, or some, of S mixtures."""
        components = {name: values[index] for name, values in self.components.items()}
        return self._replace(log_weights=self.log_weights[index], components=components)


class StandardForm(NamedTuple):
    """What scorers outside this package compute log joints from: constants_k - 1/2 |(row - locs_k) factors_k|^2.

    Args:
        locs: (K, D) float64, from the centre.
        factors: (K, 1, D), which multiply the differences element by element, or (K or 1, D, D), upper triangular,
            which multiply them from the right; float64.
        constants: Log weights + log determinants of the factors - D/2 log 2 pi, (K,), nats.
    """

    locs: np.ndarray
    factors: np.ndarray
    constants: np.ndarray


def standard_form(mixture: MixtureDensity) -> StandardForm:
    """Computes what log joints of one mixture (no leading axes) are computed from outside this package."""
    locs = np.asarray(mixture.components[LOCS], np.float64)
    factors, log_determinants = mixture.form.roots(mixture.components)
    constants = mixture.log_weights + log_determinants - 0.5 * locs.shape[1] * math.log(2.0 * math.pi)
    return StandardForm(locs, factors, constants)


def parameter_shapes(covariance: str, num_components: int, num_features: int) -> dict[str, tuple[int, ...]]:
    """Lists the shape of every array that describes the components, by name.

    Example:

    >>> parameter_shapes("tied", 3, 2)
    {'locs': (3, 2), 'whiteners': (1, 2, 2)}
    """
    return form_of(covariance).shapes(COVARIANCES[covariance], num_components, num_features)


def num_parameters(covariance: str, num_components: int, num_features: int) -> int:
    """Counts the free numbers of a mixture, as AIC and BIC do: weights, locations and precisions.

    Example:

    >>> num_parameters("full", 2, 2), num_parameters("tied_spherical", 2, 2)
    (11, 6)
    """
    precisions = form_of(covariance).num_free(COVARIANCES[covariance], num_components, num_features)
    return num_components - 1 + num_components * num_features + precisions


def coefficients_of(mixture: MixtureDensity) -> tuple[np.ndarray, np.ndarray]:
    """Computes (..., D + P, K) and (..., K) float64: log joints = features of rows @ the first + the second, nats.

    Leading axes stay. `scoring.graph.densities.coefficients` gives the same as TensorFlow operations.
    """
    return coefficients_from(mixture.form.name, np.asarray(mixture.log_weights), mixture.components)


def coefficients_from(form: FormName, log_weights: np.ndarray, components: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Computes the same from the logarithms of weights (..., K), and the components in the form of this name."""
    linear, quadratic, log_determinants, squares = FORMS[form].terms(components)
    normaliser = linear.shape[-1] * math.log(2.0 * math.pi)
    constants = log_weights + 0.5 * (log_determinants - normaliser - squares)
    quadratic, of_each = -0.5 * quadratic, (*linear.shape[:-1], quadratic.shape[-1])
    if quadratic.shape != of_each:  # tied ones stand once
        quadratic = np.broadcast_to(quadratic, of_each)
    return np.concatenate([linear, quadratic], axis=-1).swapaxes(-1, -2), constants
