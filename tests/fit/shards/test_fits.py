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


@pytest.mark.parametrize(
    ("num_components", "options"),
    [
        (3, {"criteria_at": "mode", "covariance": "full"}),
        ([2, 3], {"covariance": ["diag", "tied"], "restarts": 2}),
        (2, {"weights": "stick_breaking", "tolerance": 1e-3}),
        (3, {"start": "k-means++", "restarts": 1, "max_sweeps": 2}),
    ],
)
def test_options_do_what_they_do_in_memory(num_components: Any, options: dict[str, Any]) -> None:
    rows = three_clusters(21_000)
    options = {"seed": 2, "restarts": 2, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two sweeps are few
        found = tfgmm.fit_mixture(rows_in_parts([rows], NAMES)[0], num_components, **options)
        known = tfgmm.fit_mixture(rows, num_components, **options)
    if isinstance(num_components, list):
        np.testing.assert_allclose(found.held_out, known.held_out, rtol=1e-9)
        found, known = found.best, known.best
    assert found.covariance == known.covariance
    for field in ("elbo", "log_likelihood", "complete_log_likelihood"):
        np.testing.assert_allclose(getattr(found, field), getattr(known, field), rtol=1e-9)
    # Centres differ by rounding, and so does where restarts end on the sample: a sweep earlier on some processors
    assert len(found.history["elbo"]) == len(known.history["elbo"])
    np.testing.assert_allclose(found.history["elbo"][-1], known.history["elbo"][-1], rtol=1e-9)


def test_callbacks_see_the_sweeps_and_may_end_them() -> None:
    class Ending(tfgmm.callbacks.FitWatcher):
        bounds: list[float] = []

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.bounds.append(logs["elbo"])
            self.model.stop_training = len(self.bounds) == 2

    result = tfgmm.fit_mixture(
        rows_in_parts([three_clusters(1000)] * 2, NAMES)[0], 3, start="random", restarts=1, callbacks=[Ending()]
    )
    assert Ending.bounds == result.history["elbo"] and len(Ending.bounds) == 2


def test_what_is_held_is_given_back_when_a_fit_fails() -> None:
    class Failing(tfgmm.callbacks.FitWatcher):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise OSError("no more")

    shards, engine = rows_in_parts([three_clusters(1000)] * 2, NAMES)
    others, beside = rows_in_parts([three_clusters(100)], NAMES)
    with pytest.raises(OSError, match="no more"):
        tfgmm.fit_mixture(shards, 2, restarts=1, callbacks=[Failing()], validation_data=others)
    assert engine.held is None and beside.held is None
    assert engine.calls[-1] == beside.calls[-1] == "release"


def test_small_parts_are_warned_of_where_the_fit_is_called() -> None:
    with pytest.warns(UserWarning, match="`data` has 2 partitions of .* MB on average: the work of arrays") as told:
        tfgmm.fit_mixture(rows_in_parts([three_clusters(100)] * 2, NAMES)[0], 2, restarts=1)
    assert [one.filename for one in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one part has no overhead to speak of, and large ones neither
        tfgmm.fit_mixture(rows_in_parts([three_clusters(100)], NAMES)[0], 2, restarts=1)
        rows_in_parts([three_clusters(90_000)] * 2, NAMES)[0].survey(0)
