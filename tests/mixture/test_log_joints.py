"""Features, log joints and their exponentials by NumPy, against the graph, plain sums and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture import features, log_joints
from tfgmm.mixture.parameters import FORMS, MixtureDensity, coefficients_of
from tfgmm.scoring.graph.densities import GRAPH_FORMS


@pytest.mark.parametrize("num_features", [1, 4, 19])
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_features_are_those_of_the_graph_and_a_one(covariance, num_features):
    components = COMPONENTS[covariance]
    for num_rows in (7, 0):
        rows = np.random.default_rng(num_features).normal(size=(num_rows, num_features))
        expected = np.concatenate(GRAPH_FORMS[components.form].features(tf.constant(rows)), axis=1)
        found = np.full((expected.shape[1] + 1, num_rows), np.nan)
        log_joints.write_features(FORMS[components.form].write_products, rows.T, found)
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponentials_end_above_the_least_normal_number(dtype):
    """Of a column that is not finite nothing is told, and its neighbours keep their figures."""
    joints = np.array([[[0.0, -5e3, 1.0, np.nan, 2.0], [-1.0, -6e3, -90.0, 0.0, np.inf], [-2.0, -7e5, -1e9, 0.0, 0.0]]])
    joints[0, 2, 0] = -np.inf
    found = joints.astype(dtype)
    with np.errstate(invalid="ignore"):
        largest, norms = log_joints.exponentials(found)
    assert found.dtype == dtype and (found[0, :, :3] >= np.finfo(dtype).tiny).all()
    np.testing.assert_array_equal(largest[0, :3], [0.0, -5e3, 1.0])
    expected = special.logsumexp(joints[0, :, :3], axis=0)
    np.testing.assert_allclose(largest[0, :3] + np.log(norms[0, :3]), expected, rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(found[0, :, :3], np.exp(joints[0, :, :3] - largest[0, :3]), rtol=1e-5, atol=1e-30)
    assert not np.isfinite(norms[0, 3:]).any()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["precisions", "whiteners"])
def test_coefficients_give_scipys_log_joints_of_every_mixture(kind, tied):
    generator = np.random.default_rng(3)
    num_mixtures, num_components, num_features = 2, 3, 9
    locs = generator.normal(size=(num_mixtures, num_components, num_features))
    weights = generator.dirichlet(np.ones(num_components), num_mixtures)
    shape = (num_mixtures, 1 if tied else num_components, num_features)
    if kind == "precisions":
        values = generator.gamma(3.0, size=shape)
        matrices = values[..., None] * np.eye(num_features)
    else:
        values = generator.normal(size=(*shape, num_features)) + 2.0 * np.eye(num_features)  # those of draws are any
        matrices = np.swapaxes(values, -1, -2) @ values
    covariances = np.broadcast_to(np.linalg.inv(matrices), (*locs.shape, num_features))
    rows = generator.normal(size=(5, num_features))
    write = features.write_squares if kind == "precisions" else features.write_products
    of_rows = np.empty((num_features + features.num_products(write, num_features) + 1, 5))
    log_joints.write_features(write, rows.T, of_rows)
    covariance = {"precisions": "diag", "whiteners": "full"}[kind]
    mixtures = MixtureDensity(covariance, np.zeros(num_features), np.log(weights), {"locs": locs, kind: values})
    found = log_joints.factors_of(coefficients_of(mixtures)) @ of_rows
    expected = [
        np.log(weights[s, k]) + stats.multivariate_normal(locs[s, k], covariances[s, k]).logpdf(rows)
        for s in range(num_mixtures)
        for k in range(num_components)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
