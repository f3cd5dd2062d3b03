"""With and without a GPU: the same log likelihoods, and the same fit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from log_densities import features_of
from rows_one_by_one import plain_sums, random_posterior
from scipy import special

import tfgmm
from tfgmm.common import threads as cores
from tfgmm.data.blocks import RowBlock
from tfgmm.scoring import devices
from tfgmm.scoring.graph import chunks


@pytest.mark.parametrize("has_gpu", [False, True])
@pytest.mark.parametrize("num_cores", [1, 3])
def test_log_likelihoods_of_several_mixtures_are_those_of_plain_numpy(has_gpu, num_cores, monkeypatch):
    monkeypatch.setattr(devices, "has_gpu", lambda: has_gpu)
    monkeypatch.setattr(cores, "num_cores", lambda: num_cores)
    monkeypatch.setattr(cores, "_LEAST_NUMBERS", 1)
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(157, 4)).astype(np.float32)
    of_rows = features_of("correlated", rows)
    linear, constants = generator.normal(size=(2, of_rows.shape[1], 3)), generator.normal(size=(2, 3))
    for values in (rows, tf.constant(rows)):
        found = devices.log_likelihoods("correlated", (linear, constants), RowBlock(values))
        for number in range(2):
            joints = of_rows @ linear[number] + constants[number]
            expected = special.logsumexp(joints, axis=1).sum(), joints.max(axis=1).sum()
            atol = len(rows) * (1e-7 if has_gpu else 1e-12)
            np.testing.assert_allclose(found[:, number], expected, rtol=0, atol=atol)


@pytest.mark.parametrize("form", ["independent", "correlated"])
@pytest.mark.parametrize("has_gpu", [False, True])
def test_sums_are_those_of_plain_numpy(has_gpu, form, monkeypatch):
    monkeypatch.setattr(devices, "has_gpu", lambda: has_gpu)
    generator = np.random.default_rng(2)
    rows = generator.normal(size=(157, 4)).astype(np.float32)
    of_rows = features_of(form, rows)
    linear, constants = generator.normal(size=(of_rows.shape[1], 3)), generator.normal(size=3)
    joints = of_rows @ linear + constants
    shares = special.softmax(joints, axis=1)
    expected = [shares.sum(axis=0), *np.split(shares.T @ of_rows, [4], axis=1)]
    expected += [special.logsumexp(joints, axis=1).sum(), joints.max(axis=1).sum()]
    for values in (rows, tf.constant(rows)):
        statistics, *totals = devices.sums(form, (linear, constants), RowBlock(values))
        for value, wanted in zip([*statistics, *totals], expected, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-6 if has_gpu else 1e-11, atol=1e-5 if has_gpu else 1e-10)


@pytest.mark.parametrize("has_gpu", [False, True])
@pytest.mark.parametrize("form", ["independent", "correlated"])
def test_rows_with_weights_gaps_and_noise_are_summed_by_numpy(has_gpu, form, monkeypatch):
    monkeypatch.setattr(devices, "has_gpu", lambda: has_gpu)
    generator = np.random.default_rng(3)
    rows = generator.normal(size=(60, 4)).astype(np.float32)
    q = random_posterior("diag" if form == "independent" else "full")
    coefficients = q.expected_coefficients(q.factors())
    with_gaps = np.where(generator.random(rows.shape) < 0.2, np.float32(np.nan), rows)
    for block in (
        RowBlock(rows, generator.uniform(1.0, 2.0, 60)),
        RowBlock(with_gaps),
        RowBlock(rows, None, generator.uniform(0.1, 1.0, rows.shape)),
    ):
        expected = plain_sums(q, block)
        found = devices.sums(form, coefficients, block)
        for value, wanted in zip([*found.statistics, *found[1:]], [*expected.statistics, *expected[1:]], strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-9)
        totals = devices.log_likelihoods(form, [np.asarray(values)[None] for values in coefficients], block)
        np.testing.assert_allclose(totals[:, 0], expected[1:], rtol=1e-9)


@pytest.mark.parametrize("has_gpu", [False, True])
def test_columns_with_gaps_have_masks_also_where_rows_are_complete(has_gpu, monkeypatch):
    monkeypatch.setattr(devices, "has_gpu", lambda: has_gpu)
    rows = np.random.default_rng(3).normal(size=(60, 4)).astype(np.float32)
    q = random_posterior("diag")
    q.observe_gaps((1, 2))
    expected = plain_sums(q, RowBlock(rows))
    coefficients = q.expected_coefficients(q.factors())
    calls = _count_of_graphs(monkeypatch)
    rtol = 1e-6 if has_gpu else 1e-10
    for block in (RowBlock(rows), RowBlock(rows, None, np.zeros(rows.shape))):
        found = devices.sums("independent", coefficients, block, (1, 2))
        for value, wanted in zip([*found.statistics, *found[1:]], [*expected.statistics, *expected[1:]], strict=True):
            np.testing.assert_allclose(value, wanted, rtol=rtol)
        with_axis = [np.asarray(values)[None] for values in coefficients]
        totals = devices.log_likelihoods("independent", with_axis, block, (1, 2))
        np.testing.assert_allclose(totals[:, 0], expected[1:], rtol=rtol)
    assert len(calls) == (4 if has_gpu else 0)


def _count_of_graphs(monkeypatch):
    """Returns a list that gets an entry whenever a graph for rows is asked for."""
    calls, compiled_sums = [], chunks.compiled_sums
    monkeypatch.setattr(chunks, "compiled_sums", lambda *args: calls.append(args) or compiled_sums(*args))
    return calls


def test_validation_data_leave_a_fit_through_the_graph_what_it_is(monkeypatch):
    found = []
    for has_gpu in (False, True):
        monkeypatch.setattr(devices, "has_gpu", lambda has_gpu=has_gpu: has_gpu)
        calls = _count_of_graphs(monkeypatch)
        dataset = tf.data.Dataset.from_tensor_slices(ROWS[::3]).batch(50)
        result = tfgmm.fit_mixture(ROWS, 2, seed=0, restarts=1, batch_size=100, validation_data=dataset)
        assert bool(calls) == has_gpu
        found.append((result.history["elbo"][-1], result.history["val_elbo"][-1], result.locs))
    for value, wanted in zip(*found):
        np.testing.assert_allclose(value, wanted, rtol=1e-6)


ROWS = np.random.default_rng(0).normal(size=(300, 2)) + np.repeat([[0.0], [4.0]], 150, axis=0)


def test_training_through_the_graph_is_training_without_a_gpu(monkeypatch):
    found = []
    for has_gpu in (False, True):
        monkeypatch.setattr(devices, "has_gpu", lambda has_gpu=has_gpu: has_gpu)
        model = tfgmm.GaussianMixtureModel(2, 2, covariance="full", seed=0)
        model.compile()
        history = model.fit(ROWS, epochs=5, batch_size=100, verbose=0, validation_data=ROWS[::3])
        found.append((history.history["elbo"], history.history["val_loss"], model.locs))
    for value, wanted in zip(*found):
        np.testing.assert_allclose(value, wanted, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:the bound was still rising")
def test_a_fit_through_the_graph_is_the_fit_without_a_gpu(monkeypatch):
    found = []
    for has_gpu in (False, True):
        monkeypatch.setattr(devices, "has_gpu", lambda has_gpu=has_gpu: has_gpu)
        options = {"covariance": "full", "seed": 0, "restarts": 1, "batch_size": 100, "max_sweeps": 5}
        result = tfgmm.fit_mixture(ROWS, 2, validation_data=ROWS[::3], **options)
        found.append((result.history["elbo"], result.history["val_loss"], result.locs, result.log_likelihood))
    for value, wanted in zip(*found):
        np.testing.assert_allclose(value, wanted, rtol=1e-6)
