"""Sums over held parts, against plain sums over the same rows in float64."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pytest

from tfgmm.common.threads import num_cores, one_core, work_array
from tfgmm.data.blocks import RowBlock
from tfgmm.data.carried.asked import CarriedColumns
from tfgmm.data.shards.part import SEAL_ROWS, ShardRules, held_part
from tfgmm.mixture.features import columns_of_products, num_products
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.registry import FormName
from tfgmm.mixture.shard_sums import PartLogLikelihoods, PartSums

NUM_FEATURES, NUM_COMPONENTS = 3, 4


def random_coefficients(form: FormName, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws coefficients of log joints that fall away from the centre in every direction."""
    size = num_products(FORMS[form].write_products, NUM_FEATURES)
    one, other = columns_of_products(size, NUM_FEATURES)
    products = np.where(one == other, -0.5, 0.01)[:, None] * rng.uniform(0.5, 2.0, (size, NUM_COMPONENTS))
    linear = rng.normal(size=(NUM_FEATURES, NUM_COMPONENTS))
    return np.concatenate([linear, products]), rng.normal(size=NUM_COMPONENTS)


def plain_sums(rows: np.ndarray, weights: np.ndarray, linear: np.ndarray, constants: np.ndarray) -> dict[str, Any]:
    """Adds row after row."""
    one, other = columns_of_products(len(linear) - NUM_FEATURES, NUM_FEATURES)
    found: dict[str, Any] = dict.fromkeys(("counts", "first", "second", "log_likelihood", "largest"), 0.0)
    for row, weight in zip(rows, weights):
        products = row[one] * row[other]
        joints = np.concatenate([row, products]) @ linear + constants
        total = np.log(np.sum(np.exp(joints - joints.max()))) + joints.max()
        shares = weight * np.exp(joints - total)
        found["counts"] = found["counts"] + shares
        found["first"] = found["first"] + shares[:, None] * row
        found["second"] = found["second"] + shares[:, None] * products
        found["log_likelihood"] += weight * total
        found["largest"] += weight * joints.max()
    return found


@pytest.mark.parametrize("form", ["independent", "correlated"])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_sums_of_parts_are_plain_sums(form: FormName, is_weighted: bool) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, NUM_FEATURES)).astype(np.float32).astype(np.float64)
    weights = rng.uniform(0.5, 3.0, len(rows)) if is_weighted else np.ones(len(rows))
    rules = ShardRules("data", None, "integrate", CarriedColumns("n" if is_weighted else None))
    coefficients = random_coefficients(form, rng)
    function = PartSums(form, coefficients, (), NUM_FEATURES)
    of_likelihoods = PartLogLikelihoods(form, [np.stack([value, 0.5 * value]) for value in coefficients], ())
    totals, likelihoods = 0.0, 0.0
    for number, part in enumerate(np.split(np.arange(len(rows)), [0, 700, 701])):  # the first is empty
        block = RowBlock(rows[part], weights[part] if is_weighted else None)
        held = list(held_part(rules, np.zeros(NUM_FEATURES), number, [block] if len(part) else []))
        totals = totals + pickle.loads(pickle.dumps(function))(number, iter(held))[:-SEAL_ROWS]
        likelihoods = likelihoods + of_likelihoods(number, iter(held))[:-SEAL_ROWS]
    sums, weight = function.of_flat(np.asarray(totals))
    known = plain_sums(rows, weights, *coefficients)
    np.testing.assert_allclose(sums.statistics.counts, known["counts"], rtol=1e-12)
    np.testing.assert_allclose(sums.statistics.first, known["first"], rtol=1e-12, atol=1e-12 * len(rows))
    np.testing.assert_allclose(sums.statistics.second, known["second"], rtol=1e-12, atol=1e-12 * len(rows))
    np.testing.assert_allclose(
        [sums.log_likelihood, sums.largest], [known["log_likelihood"], known["largest"]], rtol=1e-12
    )
    np.testing.assert_allclose(weight, weights.sum(), rtol=1e-14)
    (both, largest), weight = of_likelihoods.of_flat(np.asarray(likelihoods))
    halves = plain_sums(rows, weights, *(0.5 * value for value in coefficients))
    np.testing.assert_allclose(both, [known["log_likelihood"], halves["log_likelihood"]], rtol=1e-12)
    np.testing.assert_allclose(largest, [known["largest"], halves["largest"]], rtol=1e-12)
    np.testing.assert_allclose(weight, weights.sum(), rtol=1e-14)


def test_a_task_keeps_to_one_core() -> None:
    beside: list[int] = []
    with one_core():
        with one_core():
            assert num_cores() == 1
        assert num_cores() == 1
        thread = threading.Thread(target=lambda: beside.append(num_cores()))
        thread.start()
        thread.join()
    assert beside == [num_cores()]  # other threads are not held


def test_a_task_works_in_memory_that_its_thread_has_had() -> None:
    def taken() -> list[int]:
        with one_core():
            arrays = [work_array((100, 3), np.dtype(np.float64)), work_array((50,), np.dtype(np.float32))]
            assert not np.shares_memory(*arrays)
            assert [(array.shape, array.dtype) for array in arrays] == [((100, 3), np.float64), ((50,), np.float32)]
            with one_core():  # inside another nothing is used again
                assert not any(np.shares_memory(work_array((100, 3), np.dtype(np.float64)), array) for array in arrays)
            return [array.__array_interface__["data"][0] for array in arrays]

    first = taken()
    assert taken() == first
    with one_core():  # one that is larger than before, and one beyond the limit, which is not kept
        large = work_array((20_000, 3), np.dtype(np.float64))
        assert large.shape == (20_000, 3)
        assert work_array((2**22,), np.dtype(np.float64)).base is None
    beside: list[list[int]] = []
    thread = threading.Thread(target=lambda: beside.append(taken()))
    thread.start()
    thread.join()
    assert not set(beside[0]) & set(taken())
    assert work_array((3,), np.dtype(np.float64)).base is None  # elsewhere each is new
