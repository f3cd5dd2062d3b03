"""Work shared out to cores, and log joints by NumPy: the same figures for any number of cores and chunks."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tensorflow as tf
from random_posteriors import random_components
from scipy import special
from threadpoolctl import threadpool_limits

import tfgmm
from tfgmm import cores, density, features, log_joints, natural_gradient
from tfgmm.components import COMPONENTS
from tfgmm.row_sums import sums_over_rows

MANY = cores._LEAST_NUMBERS


def blas_threads():
    return [library.num_threads for library in cores._matrix_libraries().lib_controllers]


@pytest.fixture
def three_cores(monkeypatch):
    monkeypatch.setattr(cores, "num_cores", lambda: 3)
    monkeypatch.setattr(cores, "_LEAST_NUMBERS", 1)


# --- Shares -----------------------------------------------------------------------------------------------------


def test_shares_are_in_order_and_cover_the_rows_once(three_cores):
    for num_rows in (0, 1, 2, 3, 100):
        shares = cores.shared_out(lambda start, stop: (start, stop), num_rows, 10)
        assert [row for share in shares for row in range(*share)] == list(range(num_rows))
        assert len(shares) == max(1, min(3, num_rows))


def test_shares_are_worked_on_in_threads_of_their_own_with_one_thread_of_the_matrix_library_each(three_cores):
    before, meeting = blas_threads(), threading.Barrier(3, timeout=60)

    def of_share(start, stop):
        meeting.wait()  # all three are at work at once
        return threading.get_ident(), blas_threads()

    found = cores.shared_out(of_share, 30, 1)
    assert len({thread for thread, _ in found}) == 3 and found[0][0] == threading.get_ident()
    assert {number for _, numbers in found for number in numbers} == {1}
    assert blas_threads() == before


def test_few_rows_stay_with_the_thread_that_asks():
    assert cores.shared_out(lambda start, stop: threading.get_ident(), 2, MANY // 2 - 1) == [threading.get_ident()]


@pytest.mark.parametrize("failing", [0, 50])
def test_what_fails_in_a_share_is_raised_and_the_limit_is_taken_back(three_cores, failing):
    before = blas_threads()

    def of_share(start, stop):
        if start <= failing < stop:
            raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        cores.shared_out(of_share, 100, 1)
    assert blas_threads() == before


def test_a_limit_on_the_matrix_library_is_one_on_the_cores():
    with threadpool_limits(1, user_api="blas"):
        assert cores.num_cores() == 1
        assert len(cores.shared_out(lambda start, stop: stop, 1000, MANY)) == 1


def test_callers_that_overlap_leave_the_matrix_library_as_it_was():
    """The first that comes goes first: what it found must not be lost with it."""
    before, entered, may_leave = blas_threads(), threading.Event(), threading.Event()

    def first():
        with cores.one_thread_each():
            entered.set()
            may_leave.wait(60)

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(60)
    with cores.one_thread_each():
        may_leave.set()
        thread.join()
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def test_slices_cover_the_rows():
    assert [(part.start, part.stop) for part in cores.slices(3, 10, 4)] == [(3, 7), (7, 10)]
    assert list(cores.slices(3, 3, 4)) == []


# --- Features and log joints ------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_features", [1, 4, 19])
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_features_are_those_of_the_graph_and_a_one(covariance, num_features):
    components = COMPONENTS[covariance]
    for num_rows in (7, 0):
        rows = np.random.default_rng(num_features).normal(size=(num_rows, num_features))
        expected = np.concatenate(components.features(tf.constant(rows)), axis=1)
        found = np.full((expected.shape[1] + 1, num_rows), np.nan)
        log_joints.write_features(components.write_products, rows.T, found)
        np.testing.assert_allclose(found[:-1].T, expected, rtol=1e-15)
        np.testing.assert_array_equal(found[-1], 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_joints_are_features_times_coefficients(dtype):
    generator = np.random.default_rng(0)
    linear, constants, of_rows = (generator.normal(size=shape) for shape in ((2, 5, 3), (2, 3), (6, 11)))
    of_rows[-1] = 1.0
    factors = log_joints.factors_of((tf.constant(linear), constants), dtype)
    found = log_joints.ChunkProducts(factors, 11).log_joints(of_rows.astype(dtype))
    expected = np.einsum("rpk,pn->rkn", linear, of_rows[:-1]) + constants[..., None]
    np.testing.assert_allclose(found, expected.reshape(6, 11), rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6)
    assert found.dtype == dtype


# --- The same figures for any number of cores -------------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["tied_diag", "full"])
def test_sums_are_the_same_for_any_number_of_cores_and_chunks(covariance, monkeypatch):
    components, _ = random_components(covariance)
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(157, 4)).astype(np.float32)
    num_columns = 4 + features.num_products(components.write_products, 4)
    coefficients = generator.normal(size=(2, num_columns, 3)), generator.normal(size=(2, 3))
    expected = sums_over_rows(components, rows, coefficients)
    monkeypatch.setattr(cores, "_LEAST_NUMBERS", 1)
    monkeypatch.setattr(cores, "chunk_size", lambda numbers_per_row: 10)
    for number in (2, 5, 200):
        monkeypatch.setattr(cores, "num_cores", lambda number=number: number)
        found = sums_over_rows(components, rows, coefficients)
        for value, wanted in zip(tf.nest.flatten(found), tf.nest.flatten(expected)):
            np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("has_gpu", [False, True])
@pytest.mark.parametrize("num_cores", [1, 3])
def test_log_likelihoods_of_several_mixtures_are_those_of_plain_numpy(has_gpu, num_cores, monkeypatch):
    monkeypatch.setattr(natural_gradient, "has_gpu", lambda: has_gpu)
    monkeypatch.setattr(cores, "num_cores", lambda: num_cores)
    monkeypatch.setattr(cores, "_LEAST_NUMBERS", 1)
    components, _ = random_components("full")
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(157, 4)).astype(np.float32)
    of_rows = np.concatenate(components.features(tf.constant(rows, tf.float64)), axis=1)
    linear, constants = generator.normal(size=(2, of_rows.shape[1], 3)), generator.normal(size=(2, 3))
    steps = natural_gradient.NaturalGradient(None, components, run_eagerly=True)
    found = steps.log_likelihoods((linear, constants), tf.constant(rows))
    for number in range(2):
        joints = of_rows @ linear[number] + constants[number]
        expected = special.logsumexp(joints, axis=1).sum(), joints.max(axis=1).sum()
        np.testing.assert_allclose(found[:, number], expected, rtol=0, atol=len(rows) * (1e-7 if has_gpu else 1e-12))


def test_scores_are_the_same_for_any_number_of_cores(three_cores, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(101, 2))
    rows[50, 1] = np.nan
    model = tfgmm.fit_mixture(rows[:50], 2, restarts=1, seed=0).model
    scores = "log_prob", "log_density", "responsibilities", "assignment"
    found = [density.score_data(model.plug_in(), rows, score) for score in scores]
    monkeypatch.setattr(cores, "num_cores", lambda: 1)
    for values, score in zip(found, scores):
        np.testing.assert_allclose(values, density.score_data(model.plug_in(), rows, score), rtol=1e-6)


def test_a_fit_through_the_graph_is_the_fit_without_a_gpu(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(300, 2)) + np.repeat([[0.0], [4.0]], 150, axis=0)
    found = []
    for has_gpu in (False, True):
        monkeypatch.setattr(natural_gradient, "has_gpu", lambda has_gpu=has_gpu: has_gpu)
        model = tfgmm.GaussianMixtureModel(2, 2, covariance="full", seed=0)
        model.compile()
        history = model.fit(rows, epochs=5, batch_size=100, verbose=0, validation_data=rows[::3])
        found.append((history.history["elbo"], history.history["val_loss"], model.components.posterior().locs))
    for value, wanted in zip(*found):
        np.testing.assert_allclose(value, wanted, rtol=1e-6)
