"""Every covariance shape with every weight prior does what diag with Dirichlet weights does, from fit to export."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfgmm
from tfgmm import plot
from tfgmm.families.variational import COMPONENTS

tfd = tfp.distributions

# All six shapes, and each weight prior with a matrix and without
SHAPES = [(covariance, "dirichlet") for covariance in COMPONENTS]
SHAPES += [("diag", "stick_breaking"), ("tied", "stick_breaking")]
ROWS = np.random.default_rng(5).multivariate_normal([0, 0, 0], [[1, 0.8, 0], [0.8, 1, 0], [0, 0, 0.1]], 400)
ROWS[:150] += [4, -4, 1]
ROWS += [1e5, -20, 3]


# All shapes are asked; each but two waits for `make test-all` where files of Keras's are written
FEW = [
    pytest.param(shape, marks=[] if shape in (("full", "dirichlet"), ("diag", "stick_breaking")) else pytest.mark.slow)
    for shape in SHAPES
]


@pytest.fixture(scope="module", params=SHAPES, ids="-".join)
def result(request):
    covariance, weights = request.param
    return tfgmm.fit_mixture(ROWS, 3, covariance=covariance, weights=weights, restarts=2, max_sweeps=30, tolerance=1e-4)


def as_tfp(model):
    """Returns the plug-in mixture as TensorFlow Probability's, float64, from the public parts of the posterior."""
    if model.covariance in ("full", "tied"):
        precisions = model.degrees[:, None, None] * tf.linalg.inv(model.inverse_scales)
        covariances = tf.broadcast_to(tf.linalg.inv(precisions), (3, 3, 3))
    else:
        covariances = tf.linalg.diag(tf.broadcast_to(model.beta / model.alpha, (3, 3)))
    if model.weight_prior == "dirichlet":
        weights = model.counts / tf.reduce_sum(model.counts)
    else:
        taken = model.sticks[:, 0] / tf.reduce_sum(model.sticks, axis=1)
        weights = [taken[0], (1 - taken[0]) * taken[1], (1 - taken[0]) * (1 - taken[1])]
    components = tfd.MultivariateNormalTriL(model.locs, tf.linalg.cholesky(covariances))
    return tfd.MixtureSameFamily(tfd.Categorical(probs=tf.stack(weights)), components)


def test_log_prob_and_responsibilities_equal_those_of_tensorflow_probability(result):
    mixture = as_tfp(result.model)
    rows = np.concatenate([ROWS[:50], ROWS[:5] + 30])
    np.testing.assert_allclose(result.model.log_prob(rows), mixture.log_prob(rows), rtol=2e-5, atol=2e-5)
    posterior = mixture.posterior_marginal(rows).probs_parameter()
    np.testing.assert_allclose(result.model.responsibilities(rows), posterior, atol=2e-5)
    np.testing.assert_array_equal(result.model.assign(rows), np.argmax(posterior, axis=1))


def test_samples_have_the_moments_of_the_mixture(result):
    mixture, num_rows = as_tfp(result.model), 40_000
    rows = result.model.sample(num_rows, seed=3)
    covariance = mixture.components_distribution.covariance()
    weights = mixture.mixture_distribution.probs_parameter()
    away = mixture.components_distribution.mean() - mixture.mean()
    expected = tf.einsum("k,kij->ij", weights, covariance + away[:, :, None] * away[:, None, :])
    sds = np.sqrt(np.diag(expected))
    assert (np.abs(rows.mean(axis=0) - mixture.mean()) < 5 * sds / np.sqrt(num_rows)).all()
    centred = rows - rows.mean(axis=0)
    for i, j in ((0, 0), (0, 1), (1, 2), (2, 2)):
        products = centred[:, i] * centred[:, j]
        assert abs(products.mean() - expected[i, j]) < 5 * products.std() / np.sqrt(num_rows)


def test_draws_centre_on_the_posterior_means(result):
    model, num_draws = result.model, 4000
    draws = model.draws(num_draws, seed=1)
    assert draws.weights.shape == (1, num_draws, 3) and draws.locs.shape == draws.scales.shape == (1, num_draws, 3, 3)
    errors = draws.locs[0].std(axis=0) / np.sqrt(num_draws)
    assert (np.abs(draws.locs[0].mean(axis=0) - model.locs) < 5 * errors + 1e-9).all()
    np.testing.assert_allclose(draws.locs[0].std(axis=0), model.scales, rtol=0.1)
    means = np.exp(model.plug_in().log_weights)
    assert (np.abs(draws.weights[0].mean(axis=0) - means) < 5 * draws.weights[0].std(axis=0) / np.sqrt(num_draws)).all()
    if model.covariance in ("full", "tied"):
        np.testing.assert_allclose(
            np.sqrt(np.diagonal(draws.covariances, axis1=-2, axis2=-1)), draws.scales, rtol=1e-12
        )
    else:
        assert draws.covariances is None


@pytest.mark.parametrize("result", FEW, indirect=True, ids="-".join)
def test_keras_files_and_exports_give_the_same_densities(result, tmp_path):
    model, rows = result.model, ROWS[:70]
    expected = model.log_prob(rows), model.responsibilities(rows)
    model.save(tmp_path / "model.keras")
    loaded = tfgmm.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.log_prob(rows), expected[0])
    scorer = tfgmm.load_scorer(tfgmm.export_model(model, tmp_path / "mixture"))
    np.testing.assert_allclose(scorer.log_prob(rows), expected[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scorer.responsibilities(rows), expected[1], atol=1e-6)
    loaded_graph = tf.saved_model.load(str(tmp_path / "mixture"))
    served = loaded_graph.signatures["serving_default"]
    floats = rows.astype(np.float32)
    by_scorer = scorer.log_prob(floats.astype(np.float64))
    np.testing.assert_allclose(served(x=tf.constant(floats))["log_prob"], by_scorer, rtol=1e-6, atol=1e-6)
    check_signatures(loaded_graph.signatures, scorer, floats)
    check_signatures(loaded_graph.signatures, model, floats)
    card = json.loads((tmp_path / "mixture" / "model_card.json").read_text())
    assert (card["model"]["covariance"], card["model"]["weights"]) == (model.covariance, model.weight_prior)


def check_signatures(signatures, mixture, rows):
    """Checks that the signatures give for float32 rows what the model or scorer gives for them."""
    x, given = tf.constant(rows), tf.constant([True, False, True])
    [outlier] = signatures["outlier"](x=x).values()
    np.testing.assert_allclose(outlier, mixture.outlier(rows), atol=1e-6)
    [predictive] = signatures["predictive_log_prob"](x=x).values()
    np.testing.assert_allclose(predictive, mixture.log_prob(rows, "predictive"), rtol=1e-6, atol=1e-6)
    [marginal] = signatures["marginal_log_prob"](x=x, given=given).values()
    np.testing.assert_allclose(marginal, mixture.marginal_log_prob(rows, [0, 2]), rtol=1e-6, atol=1e-6)
    for name, asked, told in (
        ("interval", {"level": tf.constant(0.8)}, mixture.interval(rows, 0.8)),
        ("conditional", {"given": given}, mixture.conditional(rows, [0, 2])),
    ):
        found = signatures[name](x=x, **asked)
        expected = {key: values for key, values in told._asdict().items() if values is not None}
        assert set(found) == set(expected)
        for key, values in expected.items():
            np.testing.assert_allclose(found[key], values, rtol=1e-6, atol=1e-6, err_msg=key)


def test_gradients_of_the_marginal_bound_train_it_further(result):
    copy = tfgmm.GaussianMixtureModel.from_config(result.model.get_config())
    copy.set_weights(result.model.get_weights())
    copy.compile(tf.keras.optimizers.Adam(1e-3))
    before = [variable.numpy() for variable in copy.trainable_variables]
    history = copy.fit(ROWS, epochs=2, verbose=0).history
    assert all(not np.array_equal(old, new) for old, new in zip(before, copy.trainable_variables))
    # L_M of the same posterior lies above L_A, by more than the noise of one draw per row
    assert history["elbo"][0] > result.elbo - 20


def test_posterior_predictive_is_wider_than_the_plug_in_density_far_away(result):
    far = ROWS[:1] + 40
    assert result.model.log_prob(far, kind="predictive") > result.model.log_prob(far)


def test_pictures_take_it(result):
    import matplotlib.pyplot as plt

    ax = plot.means(result.model.locs.numpy()[:, :2], result.model.scales.numpy()[:, :2])
    assert len(ax.collections) + len(ax.patches) + len(ax.lines) >= 3
    plt.close("all")


def test_parts_of_other_posteriors_are_named(result):
    model = result.model
    missing = "alpha" if model.covariance in ("full", "tied") else "degrees"
    with pytest.raises(AttributeError, match=f"`{missing}` is no part of the posterior.*Its parts are: locs, scales"):
        getattr(model, missing)
