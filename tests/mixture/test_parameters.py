"""Parameters of every covariance shape: their sizes by hand, and what is computed from them against SciPy."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats

from tfgmm.mixture.features import num_products
from tfgmm.mixture.parameters import MixtureDensity, coefficients_of, form_of, num_parameters, parameter_shapes

K, D = 3, 4
WEIGHTS = np.array([0.2, 0.5, 0.3])
DIAGONALS, SQUARES, ONE_SQUARE = ("precisions", (K, D)), ("whiteners", (K, D, D)), ("whiteners", (1, D, D))

# name: the array beside the locations, and the free numbers: 2 of weights, 12 of locations, and those of precisions
BY_HAND = {
    "spherical": (DIAGONALS, 14 + 3),
    "diag": (DIAGONALS, 14 + 12),
    "tied_spherical": (DIAGONALS, 14 + 1),
    "tied_diag": (DIAGONALS, 14 + 4),
    "tied": (ONE_SQUARE, 14 + 10),
    "full": (SQUARES, 14 + 30),
}


class Known(NamedTuple):
    """A mixture, and the covariances (K, D, D) that it was made from."""

    mixture: MixtureDensity
    covariances: np.ndarray

    def log_densities(self, rows: np.ndarray) -> np.ndarray:
        """Returns (N, K) log densities of rows under each component, by SciPy."""
        each = zip(self.mixture.components["locs"], self.covariances)
        return np.stack([stats.multivariate_normal(loc, covariance).logpdf(rows) for loc, covariance in each], axis=1)


@pytest.fixture(params=BY_HAND)
def known(request: pytest.FixtureRequest) -> Known:
    covariance, generator = request.param, np.random.default_rng(4)
    num_own, locs = 1 if covariance.startswith("tied") else K, generator.normal(size=(K, D))
    if covariance in ("tied", "full"):
        parts = generator.normal(size=(num_own, D, D))
        covariances = parts @ np.swapaxes(parts, 1, 2) + np.eye(D)
        # the inverse U of the covariance's Cholesky factor L: (L L')^-1 = U' U
        second = {"whiteners": np.linalg.inv(np.linalg.cholesky(covariances))}
    else:
        variances = generator.uniform(0.5, 3.0, (num_own, 1 if covariance.endswith("spherical") else D))
        variances = np.array(np.broadcast_to(variances, (K, D)))
        covariances, second = variances[:, :, None] * np.eye(D), {"precisions": 1.0 / variances}
    mixture = MixtureDensity(covariance, np.zeros(D), np.log(WEIGHTS), {"locs": locs, **second})
    return Known(mixture, np.array(np.broadcast_to(covariances, (K, D, D))))


ROWS = np.random.default_rng(5).normal(size=(7, D)) * 2.0


@pytest.mark.parametrize("covariance", BY_HAND)
def test_sizes_are_those_counted_by_hand(covariance: str) -> None:
    (name, size), num_free = BY_HAND[covariance]
    assert parameter_shapes(covariance, K, D) == {"locs": (K, D), name: size}
    assert form_of(covariance).precision_name == name
    assert num_parameters(covariance, K, D) == num_free


def test_arrays_of_a_mixture_have_the_shapes_that_are_listed(known: Known) -> None:
    shapes = {name: values.shape for name, values in known.mixture.components.items()}
    assert shapes == parameter_shapes(known.mixture.covariance, K, D)
    assert known.mixture.form is form_of(known.mixture.covariance)


def test_covariances_are_those_that_the_mixture_was_made_from(known: Known) -> None:
    scales, covariances = known.mixture.form.covariances(known.mixture.components)
    np.testing.assert_allclose(scales, np.sqrt(np.diagonal(known.covariances, axis1=1, axis2=2)), rtol=1e-10)
    if covariances is None:
        assert "precisions" in known.mixture.components
    else:
        np.testing.assert_allclose(covariances, known.covariances, rtol=1e-10, atol=1e-12)


def test_roots_give_scipys_densities(known: Known) -> None:
    """A row away from its mean times the root is standard normal."""
    roots, log_determinants = known.mixture.form.roots(known.mixture.components)
    away = ROWS[:, None] - known.mixture.components["locs"]
    if roots.shape[1] == 1:
        whitened = away * roots[:, 0]
    else:
        whitened = (away[:, :, None] @ roots)[:, :, 0]
    found = stats.norm.logpdf(whitened).sum(axis=2) + log_determinants
    np.testing.assert_allclose(found, known.log_densities(ROWS), rtol=1e-10)


def test_coefficients_give_scipys_log_joints(known: Known) -> None:
    write = known.mixture.form.write_products
    products = np.empty((num_products(write, D), len(ROWS)))
    write(ROWS.T, products)
    linear, constants = coefficients_of(known.mixture)
    assert linear.shape == (D + len(products), K) and constants.shape == (K,)
    found = np.concatenate([ROWS, products.T], axis=1) @ linear + constants
    np.testing.assert_allclose(found, known.log_densities(ROWS) + np.log(WEIGHTS), rtol=1e-9)


def test_standard_normal_noise_is_as_far_from_its_mean_by_mahalanobis(known: Known) -> None:
    noise, owners = np.random.default_rng(6).normal(size=(6, D)), np.array([0, 1, 2, 2, 1, 0])
    away = known.mixture.form.standard_normal_rows(known.mixture.components, owners, noise)
    distances = [row @ np.linalg.solve(known.covariances[owner], row) for row, owner in zip(away, owners)]
    np.testing.assert_allclose(distances, np.square(noise).sum(axis=1), rtol=1e-9)


POSITIVE, DIAGONAL = "that are not positive", "with a diagonal that is not positive"
FAULTS = [
    ("diag", (1, 2), 0.0, POSITIVE),
    ("tied_spherical", (0, 0), -1e-30, POSITIVE),
    ("full", (2, 3, 3), 0.0, DIAGONAL),
    ("tied", (0, 0, 0), -1.0, DIAGONAL),
    ("full", (1, 0, 3), 1e-30, "that are not lower triangular"),
    ("tied", (0, 2, 3), math.pi, "that are not lower triangular"),
]


def test_good_parameters_have_no_fault(known: Known) -> None:
    assert known.mixture.form.fault_in(known.mixture.components[known.mixture.form.precision_name]) is None


@pytest.mark.parametrize(("covariance", "place", "value", "words"), FAULTS)
def test_one_useless_number_is_a_fault(covariance: str, place: tuple[int, ...], value: float, words: str) -> None:
    name, shape = BY_HAND[covariance][0]
    values = np.ones(shape) if name == "precisions" else np.tril(np.ones(shape))
    assert form_of(covariance).fault_in(values) is None
    values[place] = value
    assert form_of(covariance).fault_in(values) == words


@pytest.mark.parametrize("index", [1, slice(1, 3)])
def test_part_is_one_or_some_of_several_mixtures(known: Known, index: int | slice) -> None:
    one = known.mixture
    several = one._replace(
        log_weights=np.stack([one.log_weights + s for s in range(4)]),
        components={name: np.stack([values + s for s in range(4)]) for name, values in one.components.items()},
    )
    part = several.part(index)
    assert part.covariance == one.covariance and part.centre is one.centre
    shift = 1.0 if index == 1 else np.array([1.0, 2.0])
    for found, values in [
        (part.log_weights, one.log_weights),
        *((part.components[name], values) for name, values in one.components.items()),
    ]:
        np.testing.assert_array_equal(found, values + np.reshape(shift, np.shape(shift) + (1,) * values.ndim))
