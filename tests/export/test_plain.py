"""The plain numbers of an export: what they are, and that rows are scored by them in plain loops."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from any_mixtures import any_mixture, scipy_scores

from tfgmm.export.plain import as_json, plain_numbers
from tfgmm.export.reading import ExportedMixture
from tfgmm.mixture.outliers import tail_probabilities
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.posterior.record import PosteriorRecord

CARD = {"model": {"column_names": ["a\x1b[2J", "ä", "c"], "column_units": None}, "seed": None}
TABLE = np.array([[0.0, 0.1, 0.5, 1.0], [-30.0, -8.0, -5.0, -1.0]])


def exported(mixture: MixtureDensity, table: np.ndarray | None = TABLE) -> ExportedMixture:
    names = tuple(CARD["model"]["column_names"])
    centre, record = np.asarray(mixture.centre), PosteriorRecord("mean_field")
    components = dict(mixture.components)
    return ExportedMixture(
        mixture.covariance, centre, mixture.log_weights, components, names, table, None, record, CARD
    )


def read_back(mixture: MixtureDensity, table: np.ndarray | None = TABLE) -> dict[str, Any]:
    return json.loads(as_json(plain_numbers(exported(mixture, table))))


def log_joints(numbers: dict[str, Any], row: list[float]) -> list[float]:
    """Computes log weight + log density of every component, as docs/parameters.md says it, number by number."""
    joints = []
    for k in range(numbers["num_components"]):
        away = [x - c - loc for x, c, loc in zip(row, numbers["centre"], numbers["locs"][k])]
        if numbers["whiteners"] is None:
            standardised = [value / sd for value, sd in zip(away, numbers["standard_deviations"][k])]
        else:
            standardised = [sum(u * value for u, value in zip(line, away)) for line in numbers["whiteners"][k]]
        joints.append(numbers["log_constants"][k] - 0.5 * sum(z * z for z in standardised))
    return joints


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("num_components", [1, 4])
def test_rows_are_scored_by_the_numbers_as_by_scipy(covariance: str, num_components: int) -> None:
    mixture = any_mixture(covariance, num_components, 3)
    rows = mixture.centre + np.random.default_rng(1).normal(scale=3.0, size=(10, 3))
    densities, shares = scipy_scores(mixture, rows)
    numbers = read_back(mixture)
    for row, density, share in zip(rows.tolist(), densities, shares):
        joints = log_joints(numbers, row)
        total = sum(math.exp(joint - max(joints)) for joint in joints)
        assert max(joints) + math.log(total) == pytest.approx(density, rel=1e-12)
        np.testing.assert_allclose([math.exp(joint - max(joints)) / total for joint in joints], share, atol=1e-12)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_numbers_are_those_of_the_mixture(covariance: str) -> None:
    mixture = any_mixture(covariance, 4, 3)
    numbers = read_back(mixture)
    assert (numbers["covariance"], numbers["num_components"], numbers["num_features"]) == (covariance, 4, 3)
    assert numbers["column_names"] == CARD["model"]["column_names"] and numbers["column_units"] is None
    np.testing.assert_allclose(numbers["weights"], np.exp(mixture.log_weights), rtol=1e-15)
    np.testing.assert_array_equal(numbers["means"], mixture.centre + mixture.components["locs"])
    np.testing.assert_array_equal(numbers["centre"], mixture.centre)
    np.testing.assert_array_equal(numbers["locs"], mixture.components["locs"])
    sds = np.array(numbers["standard_deviations"])
    if covariance in ("full", "tied"):
        whiteners, covariances = np.array(numbers["whiteners"]), np.array(numbers["covariances"])
        assert whiteners.shape == covariances.shape == (4, 3, 3)
        np.testing.assert_array_equal(whiteners, np.broadcast_to(mixture.components["whiteners"], (4, 3, 3)))
        for whitener, matrix, widths in zip(whiteners, covariances, sds):
            np.testing.assert_allclose(whitener @ matrix @ whitener.T, np.eye(3), atol=1e-12)
            np.testing.assert_allclose(np.sqrt(np.diag(matrix)), widths, rtol=1e-12)
    else:
        assert numbers["whiteners"] is None and numbers["covariances"] is None
        np.testing.assert_allclose(sds**-2, mixture.components["precisions"], rtol=1e-12)


def test_outlier_scores_are_read_between_the_levels_of_the_table() -> None:
    numbers = read_back(any_mixture("diag", 2, 3))
    densities = np.array([-40.0, -30.0, -19.0, -6.5, -5.0, -2.0, 0.0])
    found = np.interp(densities, numbers["outlier_log_densities"], numbers["outlier_levels"])
    np.testing.assert_allclose(found, tail_probabilities(TABLE, densities), rtol=1e-6)
    without = read_back(any_mixture("diag", 2, 3), None)
    assert without["outlier_levels"] is None and without["outlier_log_densities"] is None


def test_file_has_a_line_for_each_field_and_says_what_it_is() -> None:
    text = as_json(plain_numbers(exported(any_mixture("full", 2, 3))))
    numbers = json.loads(text)
    first, *lines, last = text.split("\n")
    assert (first, last) == ("{", "}") and [line.split('"')[1] for line in lines] == list(numbers)
    assert (numbers["format"], numbers["format_version"], numbers["card"]) == ("tfgmm.plain_numbers", 1, CARD)
    assert text.isascii() and "\x1b" not in text  # no name steers a terminal
