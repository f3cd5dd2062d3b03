"""Fits to rows in parts, against fits to the same rows in memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from array_engine import rows_in_parts

import tfgmm

NAMES = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def small_parts() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* partitions of ")
        yield


def three_clusters(num_rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    means = np.array([[0.0, 5.0, 0.0], [4.0, 0.0, 2.0], [-4.0, 0.0, 0.0]])
    return rng.normal(means[rng.integers(0, 3, num_rows)], [1.0, 0.5, 2.0])


def test_a_single_part_is_the_fit_in_memory() -> None:
    rows = three_clusters(25_000)
    options: dict[str, Any] = {"covariance": "full", "restarts": 2, "seed": 3}
    found = tfgmm.fit_mixture(rows_in_parts([rows], NAMES)[0], 3, **options)
    known = tfgmm.fit_mixture(rows, 3, **options)
    np.testing.assert_allclose(found.elbo, known.elbo, rtol=1e-12)
    np.testing.assert_allclose(found.locs, known.locs, rtol=1e-9)


@pytest.mark.parametrize("covariance", ["diag", "full", "tied_diag"])
def test_fit_from_the_same_start_is_the_fit_in_memory(covariance: str) -> None:
    rows = three_clusters(25_000)
    start = np.array([[1.0, 4.0, 0.0], [4.0, 1.0, 2.0], [-3.0, 0.0, 0.0]])
    options: dict[str, Any] = {"covariance": covariance, "start": start, "tolerance": 1e-9}
    shards, engine = rows_in_parts(np.split(rows, [3, 3, 9000, 20_000]), NAMES)
    found = tfgmm.fit_mixture(shards, 3, **options)
    known = tfgmm.fit_mixture(rows, 3, **options)
    np.testing.assert_allclose(found.elbo, known.elbo, rtol=1e-9)
    np.testing.assert_allclose(found.locs, known.locs, rtol=1e-6, atol=1e-7)
    assert engine.held is None and engine.calls[-1] == "release"
