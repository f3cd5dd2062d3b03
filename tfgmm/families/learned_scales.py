"""Priors of precisions and locations whose typical size is learned from the components themselves.

How wide a component is, Sigma0, how alike they are, e, and how far apart, lambda, are unknowns that the components
share: they are summed or integrated out. What remains is a prior of all precisions together, and one of all locations
together, in closed form, symmetric in the components. It is a function of S = sum_k Lambda_k and T = sum_k log det
Lambda_k, and of one sum of squares of the locations:

    Lambda_k | Sigma0, e ~ Wishart(nu0, (nu0 Sigma0)^-1), nu0 = e + D - 1
    Sigma0 ~ Wishart(n1, M / n1)   ("matrix")   or   diag(sigma0_d), sigma0_d ~ Gamma(g, rate g / M_dd)   ("columns")
    mu_k | lambda ~ Normal(m0, V / lambda)

times exp(-eps / 2 tr(M S)), which keeps repeated rows from infinite evidence. All functions keep leading axes (...).
Log densities of parameters take the functions of a library: NumPyro's sampler goes through the same formulas.

Source: Richardson and Green 1997; Stephens 2000; Huang and Wand 2013; Mulder and Pericchi 2018; the integrals by
Bishop 2006, B.78.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammaln, multigammaln

from tfgmm.common.shapes import Tensor
from tfgmm.families import triangular
from tfgmm.families.functions import NUMPY_ARITHMETIC, Arithmetic, logsumexp
from tfgmm.families.short_sums import sum_of_columns, sum_of_ratios
from tfgmm.mixture.priors import Priors

# Probabilities of the values of e, (..., E) -> E[Psi], (..., D, D), of one structure
Expected = Callable[[np.ndarray], np.ndarray]


class LearnedScale(NamedTuple):
    """What a learned prior of precisions says, given q.

    log_density: U, the logarithm of the mean over all values of what is learned, nats, (...).
    degrees: E[nu0], (...); for independent columns E[e].
    inverse_scale: E[Psi] with the floor, (..., D, D), or (..., P) for P precisions of independent columns.
    shares: Probabilities of what is summed out: (..., structures, values of e).
    """

    log_density: np.ndarray
    degrees: np.ndarray
    inverse_scale: np.ndarray
    shares: np.ndarray


class MatrixScales:
    """The learned prior of M precision matrices.

    Args:
        expected: M, (D, D): what a component's covariance is expected to be, squared data units.
        num_precisions: Number of precision matrices, Kp.
        structures: "matrix", "columns", or both, one half each.
        degree_grid: Values of e.
        hyper_degrees: n1 - D + 1 = 2 g.
        least_scale: eps, a share of `expected`: one number, or one per column.
    """

    def __init__(
        self,
        expected: np.ndarray,
        num_precisions: int,
        structures: tuple[str, ...],
        degree_grid: np.ndarray,
        hyper_degrees: float,
        least_scale: np.ndarray,
    ) -> None:
        self.num_features, self.num_precisions, self.structures = len(expected), num_precisions, structures
        self.expected, self.floor = expected, _floor_of(expected, least_scale)
        self._grid, self.degrees = degree_grid, degree_grid + self.num_features - 1.0
        self._root = np.linalg.cholesky(expected)
        self.hyper_degrees, self._half = hyper_degrees, 0.5 * hyper_degrees
        self._prior_degrees = hyper_degrees + self.num_features - 1.0
        self._rates, self._half_degrees = self._half / np.diag(expected), 0.5 * self.degrees[:, None]
        self._constants = np.stack([self._constant_of(structure) for structure in structures])

    def of_one(self) -> MatrixScales:
        """Makes the prior of one matrix by itself, without the floor, so that it integrates to 1."""
        return MatrixScales(self.expected, 1, self.structures, self._grid, self.hyper_degrees, np.zeros(1))

    def _constant_of(self, structure: str) -> np.ndarray:
        """Computes what does not depend on q, for each value of e, (E,)."""
        num_features, number, nu = self.num_features, self.num_precisions, self.degrees
        own = number * (0.5 * nu * num_features * np.log(0.5 * nu) - multigammaln(0.5 * nu, num_features))
        if structure == "columns":
            after = self._half + 0.5 * number * nu
            of_rates = self._half * np.log(self._rates).sum()
            return own + num_features * (gammaln(after) - math.lgamma(self._half)) + of_rates
        before, after = self._prior_degrees, self._prior_degrees + number * nu
        ratio = multigammaln(0.5 * after, num_features) - multigammaln(0.5 * before, num_features)
        log_determinant = 2.0 * float(triangular.log_determinants(self._root))
        scale = 0.5 * number * nu * (num_features * math.log(2.0) + log_determinant)
        return own + ratio + scale + 0.5 * before * num_features * math.log(before)

    def given(self, total: np.ndarray, log_determinants: np.ndarray) -> LearnedScale:
        """Computes what the prior says of precisions with these sums.

        Args:
            total: S, (..., D, D).
            log_determinants: T, (...).
        """
        values, expectations = self._log_densities(total, log_determinants, NUMPY_ARITHMETIC)
        flat = values.reshape(*values.shape[:-2], -1)
        total_log = logsumexp(flat, -1)
        shares = np.exp(values - total_log[..., None, None])
        matrices = sum(expected(shares[..., number, :]) for number, expected in enumerate(expectations))
        degrees = (shares * self.degrees).sum(axis=(-2, -1))
        return LearnedScale(total_log - math.log(flat.shape[-1]), degrees, matrices + self.floor, shares)

    def _log_densities(
        self, total: Tensor, log_determinants: Tensor, functions: Arithmetic
    ) -> tuple[Tensor, list[Expected]]:
        """Computes U for each structure and value of e by itself, (..., structures, E), and what gives E[Psi]."""
        parts = [getattr(self, f"_of_{structure}")(total, functions) for structure in self.structures]
        values = functions.stack([value for value, _ in parts], -2) + self._constants
        return values + 0.5 * self.degrees * log_determinants[..., None, None], [expected for _, expected in parts]

    def _of_matrix(self, total: Tensor, functions: Arithmetic) -> tuple[Tensor, Expected]:
        """Computes the part that depends on S where Sigma0 is a Wishart: one eigendecomposition serves all e."""
        root, before = self._root, self._prior_degrees
        omega, vectors = functions.eigh(root.T @ total @ root)
        positive = omega * (omega > 0.0)  # rounding alone makes one negative
        spread = before + self.degrees[:, None] * positive[..., None, :]  # (..., E, D)
        after = before + self.num_precisions * self.degrees

        def expected(shares: np.ndarray) -> np.ndarray:
            sizes = sum_of_ratios(shares * self.degrees * after, spread)
            turned = root @ vectors
            return (turned * sizes[..., None, :]) @ triangular.transposed(turned)

        return -0.5 * after * sum_of_columns(functions.log(spread)), expected

    def _of_columns(self, total: Tensor, functions: Arithmetic) -> tuple[Tensor, Expected]:
        """Computes the part that depends on S where Sigma0 is diagonal."""
        columns = np.arange(self.num_features)
        diagonal = total[..., columns, columns]
        rates = self._rates + self._half_degrees * diagonal[..., None, :]
        after = self._half + 0.5 * self.num_precisions * self.degrees

        def expected(shares: np.ndarray) -> np.ndarray:
            sizes = sum_of_ratios(shares * self.degrees * after, rates)
            return sizes[..., None] * np.eye(self.num_features)

        return -after * sum_of_columns(functions.log(rates)), expected

    def log_density_of(
        self, whiteners: Tensor, log_determinants: Tensor, functions: Arithmetic = NUMPY_ARITHMETIC
    ) -> Tensor:
        """Computes log p(Lambda_1, ..., Lambda_Kp), nats, (...), without the normaliser of the floor.

        Args:
            whiteners: U with Lambda = U' U, (..., Kp, D, D).
            log_determinants: log det U, (..., Kp).
            functions: Functions of the library that these belong to.
        """
        total = (triangular.transposed(whiteners) @ whiteners).sum(axis=-3)
        logarithms = 2.0 * log_determinants.sum(axis=-1)
        floor = 0.5 * (self.floor * total).sum(axis=(-2, -1))
        shapes = 0.5 * (self.num_features + 1.0) * logarithms
        values, _ = self._log_densities(total, logarithms, functions)
        flat = values.reshape(*values.shape[:-2], -1)
        return functions.logsumexp(flat, -1) - math.log(flat.shape[-1]) - shapes - floor


class ColumnScales:
    """The learned prior of precisions of independent columns, tau ~ Gamma(e / 2, rate e sigma0 / 2).

    Args:
        expected: M, (P,): what the variance of a component is expected to be, in the units of the precisions; P is D,
            or 1 where columns share one.
        num_precisions: Number of components with precisions of their own, Kp.
        degree_grid, hyper_degrees, least_scale: As in `MatrixScales`.
    """

    def __init__(
        self,
        expected: np.ndarray,
        num_precisions: int,
        degree_grid: np.ndarray,
        hyper_degrees: float,
        least_scale: np.ndarray,
    ) -> None:
        self.expected, self.floor, self.degrees = expected, least_scale * expected, degree_grid
        self.hyper_degrees = hyper_degrees
        shape, half = 0.5 * degree_grid, 0.5 * hyper_degrees
        self._shape, self._after, self._rates = shape, half + num_precisions * shape, half / expected
        own = num_precisions * len(expected) * (shape * np.log(shape) - gammaln(shape))
        self._constants = (
            own + len(expected) * (gammaln(self._after) - math.lgamma(half)) + half * np.log(self._rates).sum()
        )

    def of_one(self) -> ColumnScales:
        """Makes the prior of the precisions of one component by itself, without the floor."""
        return ColumnScales(self.expected, 1, self.degrees, self.hyper_degrees, np.zeros(len(self.expected)))

    def given(self, total: np.ndarray, logarithms: np.ndarray) -> LearnedScale:
        """Computes what the prior says of precisions with these sums.

        Args:
            total: S_d = sum_k E[tau_kd], (..., P).
            logarithms: T = sum E[log tau], (...).
        """
        values, rates = self._log_densities(total, logarithms, NUMPY_ARITHMETIC)
        log_sum = logsumexp(values, -1)
        shares = np.exp(values - log_sum[..., None])
        sizes = sum_of_ratios(shares * 2.0 * self._shape * self._after, rates)
        log_density = log_sum - math.log(len(self.degrees))
        return LearnedScale(log_density, (shares * self.degrees).sum(axis=-1), sizes + self.floor, shares[..., None, :])

    def _log_densities(self, total: Tensor, logarithms: Tensor, functions: Arithmetic) -> tuple[Tensor, Tensor]:
        """Computes U for each value of e by itself, (..., E), and rates of Sigma0 given the precisions, (..., E, P)."""
        rates = self._rates + self._shape[:, None] * total[..., None, :]
        values = self._constants - self._after * sum_of_columns(functions.log(rates))
        return values + self._shape * logarithms[..., None], rates

    def log_density_of(
        self, precisions: Tensor, logarithms: Tensor, functions: Arithmetic = NUMPY_ARITHMETIC
    ) -> Tensor:
        """Computes log p of all precisions (..., Kp, P), whose logarithms are given too, nats, (...); see above."""
        total, sum_of_logarithms = precisions.sum(axis=-2), logarithms.sum(axis=(-2, -1))
        floor = 0.5 * (self.floor * total).sum(axis=-1)
        values, _ = self._log_densities(total, sum_of_logarithms, functions)
        return functions.logsumexp(values, -1) - math.log(len(self.degrees)) - sum_of_logarithms - floor


class LocationScales:
    """The learned prior of locations, mu_k | lambda ~ Normal(m0, V / lambda).

    Args:
        log_determinant: log det V.
        num_components: K.
        num_features: D.
        precisions: Values of lambda.
    """

    def __init__(self, log_determinant: float, num_components: int, num_features: int, precisions: np.ndarray) -> None:
        size = num_components * num_features
        self.precisions = precisions
        self._of_precisions = 0.5 * size * np.log(precisions)
        self._constant = 0.5 * (size * math.log(2.0 * math.pi) + num_components * log_determinant)

    def log_density_of(self, squares: Tensor, functions: Arithmetic = NUMPY_ARITHMETIC) -> Tensor:
        """Computes log p(mu) with lambda summed out, nats, (...), from the sum of squares R; see `given`."""
        values = self._of_precisions - 0.5 * self.precisions * squares[..., None]
        return functions.logsumexp(values, -1) - math.log(len(self.precisions)) - self._constant

    def given(self, squares: Any) -> tuple[np.ndarray, np.ndarray]:
        """Computes E_q[log p(mu)] with lambda summed out, nats, and E[lambda], (...) each.

        Args:
            squares: R = sum_k E[(mu_k - m0)' V^-1 (mu_k - m0)], (...).
        """
        values = self._of_precisions - 0.5 * self.precisions * np.asarray(squares)[..., None]
        log_sum = logsumexp(values, -1)
        expected = (np.exp(values - log_sum[..., None]) * self.precisions).sum(axis=-1)
        return log_sum - math.log(len(self.precisions)) - self._constant, expected


def _floor_of(expected: np.ndarray, least_scale: np.ndarray) -> np.ndarray:
    """Computes eps times M, (D, D).

    What one column has more than another is rounding, which correlates with nothing.
    """
    smallest = np.min(least_scale)
    return smallest * expected + np.diag((least_scale - smallest) * np.diag(expected))


def location_scales(priors: Priors, log_determinant: float, shape: tuple[int, int]) -> LocationScales | None:
    """Makes the learned prior of K locations in D columns, `shape`; None where none is learned."""
    if priors.loc_scale_grid is None:
        return None
    return LocationScales(log_determinant, *shape, np.asarray(priors.loc_scale_grid) ** -2.0)


def fixed_priors(priors: Priors, form: str, loc_precision: np.ndarray, shape: np.ndarray, scale: np.ndarray) -> Priors:
    """Makes fixed priors of these expectations; see `VariationalPosterior.learned_priors`.

    Args:
        priors: Priors that learn their scale, or fixed ones, which stay.
        form: "independent" or "correlated".
        loc_precision: Precision of the locations: (1, D), or (1, D, D).
        shape: Gamma shapes, or degrees of freedom.
        scale: Gamma rates, or the inverse scale matrix.
    """
    fixed: dict[str, Any] = {"scale_structure": "fixed", "expected_scale": None, "loc_scale_grid": None}
    if form == "correlated":
        if priors.loc_scale_grid is not None:
            fixed["loc_covariance"] = np.linalg.inv(np.reshape(loc_precision, np.shape(loc_precision)[-2:]))
        if priors.is_learned:
            fixed |= {
                "degrees": float(np.ravel(shape)[0]),
                "inverse_scale": np.reshape(scale, np.shape(scale)[-2:]),
            }
        return dataclasses.replace(priors, **fixed)
    if priors.loc_scale_grid is not None:
        fixed["loc_scale"] = np.ravel(loc_precision) ** -0.5
    if priors.is_learned:
        rates = np.ravel(scale)
        fixed |= {"precision_shape": float(np.ravel(shape)[0])}
        fixed |= {"precision_rate": float(rates[0]) if len(rates) == 1 else rates}
    return dataclasses.replace(priors, **fixed)
