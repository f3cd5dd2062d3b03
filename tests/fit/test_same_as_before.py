"""Closed-form posteriors are those that steps of TensorFlow gave; see tests/written_before/README.md.

Tolerance. When its priors were changed by 3e-15 of themselves, as much as other orders of sums do, the package that
wrote them moved by up to 5e-14 in `fit`, and by up to 3e-11 in `fit_mixture`, which may stop a sweep earlier or later.
"""

from __future__ import annotations

import functools
import json
import pathlib
from typing import Any

import numpy as np
import pytest

import tfgmm
from tfgmm.families.variational import Factors
from tfgmm.mixture.registry import COVARIANCES, WEIGHT_PRIORS

FILE = pathlib.Path(__file__).parents[1] / "written_before" / "closed_form_posteriors.npz"
MOST = 1e-10  # of the unit that `unit_of` says
FIGURES = ("elbo", "log_likelihood", "complete_log_likelihood")
# Covariance, prior of the weights, columns
CASES = [(covariance, weights, 2) for covariance in COVARIANCES for weights in WEIGHT_PRIORS]
CASES += [("diag", "dirichlet", 5), ("full", "stick_breaking", 5)]
every_case = pytest.mark.parametrize(("covariance", "weights", "num_features"), CASES)


@functools.cache
def written() -> dict[str, np.ndarray]:
    with np.load(FILE) as numbers:
        return dict(numbers)


def under(prefix: str) -> dict[str, np.ndarray]:
    """Returns the entries of a folder of the file, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in written().items() if name.startswith(prefix)}


def priors_of(case: str) -> tfgmm.Priors:
    return tfgmm.Priors.from_dict(json.loads(str(written()[f"{case}/priors"])))


def unit_of(part: str, expected: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns what a part is compared in: locations, which have an offset of 1,000, in standard deviations of the data,
    entries of matrices in those of their diagonals, all else in itself."""
    if part == "locs":
        return rows.std(axis=0)
    if expected.ndim == 3:
        roots = np.sqrt(np.einsum("kdd->kd", expected))
        return roots[:, :, None] * roots[:, None, :]
    return np.abs(expected)


def assert_same(found: dict[str, Any], expected: dict[str, np.ndarray], rows: np.ndarray) -> None:
    assert found.keys() == expected.keys()
    for part, value in expected.items():
        assert np.shape(found[part]) == value.shape, part
        differences = np.abs(np.asarray(found[part]) - value) / unit_of(part, value, rows)
        assert differences.max() < MOST, f"{part} differs by {differences.max():.1e}"


@every_case
def test_fit_mixture(covariance: str, weights: str, num_features: int) -> None:
    case, table = f"{covariance}/{weights}/{num_features}", under(f"apart/{num_features}/")
    rows, start = table["rows"], table["start"]
    fit = functools.partial(tfgmm.fit_mixture, covariance=covariance, weights=weights, tolerance=1e-14)
    result = fit(rows, len(start), priors=priors_of(case), start=start)
    assert result.converged
    found = {**result.variational.public(), **{name: getattr(result, name) for name in FIGURES}}
    assert_same(found, under(f"{case}/fit_mixture/"), rows)


def start_as_before(model: tfgmm.GaussianMixtureModel, start: np.ndarray) -> None:
    """Puts q where training began then: a third of the spread wide (10^-1/2), correlated as W0^-1 says; a tenth of that
    is in doubt of a location. Now a component starts as wide as the rows nearest to it."""
    q, priors, summary = model.variational, model.priors, model.data_summary
    assert summary is not None
    width, locs = 10.0**-0.5 * np.array(summary.spread), start - q.centre
    weights, components = q.factors()
    if q.form == "correlated":
        _, degrees, inverse_scale = priors.matrices(q.num_features)
        root = np.linalg.cholesky(inverse_scale) * (width / np.sqrt(np.diag(inverse_scale)))[:, None]
        begun = type(components)(
            locs,
            np.broadcast_to(0.1 * root, np.shape(components.loc_cholesky)),
            np.full(np.shape(components.degrees), degrees),
            np.broadcast_to(degrees**0.5 * root, np.shape(components.scale_cholesky)),
        )
    else:
        is_spherical = COVARIANCES[q.components.name].is_spherical
        squares = np.square(width / np.array(priors.column_scale)).mean() if is_spherical else np.square(width)
        alpha = np.broadcast_to(priors.precision_shape, np.shape(components.alpha))
        scales = np.broadcast_to(np.minimum(0.1 * width, priors.loc_scale), locs.shape)
        begun = type(components)(locs, scales, alpha, alpha * squares)
    q.assign(q.values_of(Factors(weights, begun)))


@every_case
def test_fit_of_a_compiled_model(covariance: str, weights: str, num_features: int) -> None:
    case, table = f"{covariance}/{weights}/{num_features}", under(f"overlapping/{num_features}/")
    rows, start = table["rows"], table["start"]
    model = tfgmm.GaussianMixtureModel(*start.shape, covariance, weights, priors_of(case), seed=0)
    model.compile()
    model.initialize(rows, start=start)
    start_as_before(model, start)
    elbos = np.array(model.fit(rows, epochs=100, verbose=0).history["elbo"])
    expected = under(f"{case}/fit/")
    figures = {"elbos": elbos[:20], "elbo": elbos[-1]}
    found = {name: figures[name] if name in figures else getattr(model, name) for name in expected}
    assert_same(found, expected, rows)


def test_the_file_has_these_cases_and_no_others() -> None:
    parts = [name.split("/") for name in written() if name.endswith("/priors")]
    assert sorted((*names, int(columns)) for *names, columns, _ in parts) == sorted(CASES)
