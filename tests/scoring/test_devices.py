"""With and without a GPU: the same log likelihoods, and the same fit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from random_posteriors import random_components
from scipy import special

import tfgmm
from tfgmm.common import threads as cores
from tfgmm.data.blocks import RowBlock
from tfgmm.families.variational import VariationalPosterior
from tfgmm.model import natural_gradient
from tfgmm.scoring import devices
from tfgmm.scoring.graph.densities import GRAPH_FORMS


@pytest.mark.parametrize("has_gpu", [False, True])
@pytest.mark.parametrize("num_cores", [1, 3])
def test_log_likelihoods_of_several_mixtures_are_those_of_plain_numpy(has_gpu, num_cores, monkeypatch):
    monkeypatch.setattr(devices, "has_gpu", lambda: has_gpu)
    monkeypatch.setattr(cores, "num_cores", lambda: num_cores)
    monkeypatch.setattr(cores, "_LEAST_NUMBERS", 1)
    components, _ = random_components("full")
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(157, 4)).astype(np.float32)
    of_rows = np.concatenate(GRAPH_FORMS[components.form].features(tf.constant(rows, tf.float64)), axis=1)
    linear, constants = generator.normal(size=(2, of_rows.shape[1], 3)), generator.normal(size=(2, 3))
    steps = natural_gradient.NaturalGradient(VariationalPosterior(None, components), run_eagerly=True)
    found = steps.log_likelihoods((linear, constants), RowBlock(tf.constant(rows)))
    for number in range(2):
        joints = of_rows @ linear[number] + constants[number]
        expected = special.logsumexp(joints, axis=1).sum(), joints.max(axis=1).sum()
        np.testing.assert_allclose(found[:, number], expected, rtol=0, atol=len(rows) * (1e-7 if has_gpu else 1e-12))


def test_a_fit_through_the_graph_is_the_fit_without_a_gpu(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(300, 2)) + np.repeat([[0.0], [4.0]], 150, axis=0)
    found = []
    for has_gpu in (False, True):
        monkeypatch.setattr(devices, "has_gpu", lambda has_gpu=has_gpu: has_gpu)
        model = tfgmm.GaussianMixtureModel(2, 2, covariance="full", seed=0)
        model.compile()
        history = model.fit(rows, epochs=5, batch_size=100, verbose=0, validation_data=rows[::3])
        found.append((history.history["elbo"], history.history["val_loss"], model.locs))
    for value, wanted in zip(*found):
        np.testing.assert_allclose(value, wanted, rtol=1e-6)
