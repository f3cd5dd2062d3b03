"""The model itself: five variables, positive whatever happens to them, draws that are a function of (seed, step)."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from kl_by_tfp import kl_by_tfp

from tfgmm import GaussianMixtureModel, Priors

tfd = tfp.distributions

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0]] * 30 + [[3.0, 1.0]] * 20, 0.7)
LOG_VARIABLES = ("log_scales", "log_alpha", "log_beta", "log_counts")


def compiled(rows=ROWS, num_components=2, *, learning_rate=0.05, epochs=0, **arguments):
    model = GaussianMixtureModel(num_components, rows.shape[1], **{"seed": 1, **arguments})
    model.compile(keras.optimizers.Adam(learning_rate))
    if epochs:
        model.fit(rows, epochs=epochs, verbose=0)
    return model


@pytest.fixture(scope="module")
def fitted():
    return compiled(epochs=60)


def variable(model, name):
    return next(found for found in model.trainable_variables if found.name == name)


# --- Variables -----------------------------------------------------------------------------------------------


def test_five_float64_variables_are_trained():
    model = GaussianMixtureModel(3, 2)
    assert {found.name for found in model.trainable_variables} == {"locs", *LOG_VARIABLES}
    assert len(model.trainable_variables) == 5
    assert {found.dtype for found in model.trainable_variables} == {"float64"}


def test_parameters_have_their_shapes_are_float64_and_suit_tfp_distributions():
    model = GaussianMixtureModel(3, 2)
    assert (model.num_components, model.num_features) == (3, 2)
    for name in ("locs", "scales", "alpha", "beta", "counts"):
        value = getattr(model, name)
        assert value.dtype == tf.float64
        assert value.numpy().shape == ((3,) if name == "counts" else (3, 2))
        assert name == "locs" or (value.numpy() > 0).all()
    for distribution in (
        tfd.Normal(model.locs, model.scales),
        tfd.Gamma(model.alpha, model.beta),
        tfd.Dirichlet(model.counts),
    ):
        assert np.isfinite(distribution.sample(2, seed=(1, 2))).all()


@pytest.mark.parametrize("name", ["locs", *LOG_VARIABLES, "all"])
@pytest.mark.parametrize("value", [-1e4, -50.0, 50.0, 1e4])
def test_parameters_stay_positive_and_the_gradient_finite_whatever_the_variables_hold(name, value):
    model = GaussianMixtureModel(2, 2, seed=0)
    for found in model.trainable_variables:
        if found.name == name or name == "all" and found.name != "locs":
            found.assign(tf.fill(found.shape, tf.constant(value, tf.float64)))
    for positive in (model.scales, model.alpha, model.beta, model.counts):
        assert np.isfinite(positive).all() and (positive.numpy() > 0).all()
    with tf.GradientTape() as tape:
        log_likelihoods, kl = model(tf.constant(ROWS[:4]))
        loss = kl / 50.0 - tf.reduce_mean(log_likelihoods)
    assert np.isfinite(loss)
    for gradient in tape.gradient(loss, model.trainable_variables):
        assert np.isfinite(gradient).all()


def test_every_variable_receives_a_gradient():
    model = GaussianMixtureModel(2, 2, seed=0)
    with tf.GradientTape() as tape:
        log_likelihoods, kl = model(tf.constant(ROWS))
        loss = kl / len(ROWS) - tf.reduce_mean(log_likelihoods)
    for gradient in tape.gradient(loss, model.trainable_variables):
        assert (np.abs(gradient) > 0).all()


# --- call ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_draws", [None, 5])
@pytest.mark.parametrize("sampling", [True, False])
def test_call_gives_a_log_likelihood_per_row_and_one_kl_for_any_number_of_rows(num_draws, sampling):
    model = GaussianMixtureModel(2, 2, seed=0, num_draws=num_draws)

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float64)])
    def in_graph(rows):
        return model(rows, sampling=sampling)

    for call in (in_graph, lambda rows: model(rows, sampling=sampling)):
        for num_rows in (0, 1, 7):
            log_likelihoods, kl = call(tf.constant(ROWS[:num_rows]))
            assert log_likelihoods.shape == (num_rows,) and kl.shape == ()
            assert log_likelihoods.dtype == kl.dtype == tf.float32
            assert np.isfinite(log_likelihoods).all()


def test_kl_equals_that_of_tensorflow_probability(fitted):
    for model in (fitted, GaussianMixtureModel(4, 3, seed=2)):
        _, kl = model(tf.zeros((1, model.num_features)))
        assert float(kl) == pytest.approx(kl_by_tfp(model), rel=1e-6)


def test_without_sampling_the_log_likelihoods_are_those_of_a_tfp_mixture_at_the_means(fitted):
    precisions = fitted.alpha / fitted.beta
    mixture = tfd.MixtureSameFamily(
        tfd.Categorical(probs=fitted.counts / tf.reduce_sum(fitted.counts)),
        tfd.MultivariateNormalDiag(fitted.locs, precisions**-0.5),
    )
    log_likelihoods, _ = fitted(ROWS, sampling=False)
    np.testing.assert_allclose(log_likelihoods, mixture.log_prob(ROWS), rtol=1e-5)
    np.testing.assert_array_equal(log_likelihoods, fitted(ROWS, sampling=False)[0])
    np.testing.assert_allclose(fitted.log_prob(ROWS), mixture.log_prob(ROWS), rtol=1e-5)


def test_every_call_draws_anew_and_step_and_seed_decide_what():
    model = GaussianMixtureModel(2, 2, seed=4)
    first, second = (model(ROWS)[0].numpy() for _ in range(2))
    assert int(model.step) == 2
    assert (first != second).all()
    model.step.assign(0)
    assert model(ROWS)[0].numpy().tobytes() == first.tobytes()
    assert GaussianMixtureModel(2, 2, seed=4)(ROWS)[0].numpy().tobytes() == first.tobytes()
    other = GaussianMixtureModel(2, 2, seed=5)
    other.set_weights([*model.get_weights()[:5], *other.get_weights()[5:]])
    np.testing.assert_array_equal(other.locs, model.locs)
    assert (other(ROWS)[0].numpy() != first).all()


def test_a_model_without_seed_chooses_one_and_two_of_them_differ():
    first, second = GaussianMixtureModel(2, 2), GaussianMixtureModel(2, 2)
    assert first.seed != second.seed
    assert (first.locs.numpy() != second.locs.numpy()).any()


def log_likelihoods_by_numpy(model, rows, num_draws, generator):
    """Returns num_draws means over the rows of log p(row | parameters drawn from q), by plain NumPy."""
    means = np.empty(num_draws)
    q = {name: getattr(model, name).numpy() for name in ("locs", "scales", "alpha", "beta", "counts")}
    for draw in range(num_draws):
        locs = generator.normal(q["locs"], q["scales"])
        precisions = generator.gamma(q["alpha"], 1.0 / q["beta"])
        weights = generator.dirichlet(q["counts"])
        squares = (rows[:, None] - locs) ** 2 * precisions
        log_normal = 0.5 * (np.log(precisions) - squares - np.log(2 * np.pi)).sum(-1)
        means[draw] = np.logaddexp.reduce(np.log(weights) + log_normal, axis=1).mean()
    return means


@pytest.mark.parametrize("num_draws", [None, 1, 8])
def test_log_likelihoods_have_the_same_mean_however_the_draws_are_shared(num_draws):
    rows = ROWS[::5]
    model = GaussianMixtureModel(2, 2, seed=3, num_draws=num_draws)
    variable(model, "log_scales").assign(np.full((2, 2), np.log(0.3)))
    call = tf.function(lambda: tf.reduce_mean(model(tf.constant(rows))[0]))
    means = np.array([call() for _ in range(600)])
    expected = log_likelihoods_by_numpy(model, rows, 4000, np.random.default_rng(1))
    error = np.hypot(means.std() / len(means) ** 0.5, expected.std() / len(expected) ** 0.5)
    assert abs(means.mean() - expected.mean()) < 4 * error
    assert error < 0.1 * abs(expected.mean())


# --- Starting ------------------------------------------------------------------------------------------------


def test_a_new_model_is_untouched_until_a_variable_moves():
    for name in ("locs", *LOG_VARIABLES):
        model = GaussianMixtureModel(2, 2, seed=0)
        assert model.is_untouched
        variable(model, name).assign_add(tf.ones_like(variable(model, name)))
        assert not model.is_untouched


@pytest.mark.filterwarnings("ignore:the priors do not suit the data")  # the start is all that counts here
def test_fit_starts_an_untouched_model_among_the_rows():
    rows = np.repeat([[-40.0], [70.0]], 20, axis=0) + np.linspace(-1, 1, 40)[:, None]
    model = compiled(rows, learning_rate=1e-6, epochs=1)
    assert sorted(model.locs.numpy().ravel()) == pytest.approx([-40, 70], abs=2)


def test_fit_goes_on_from_where_a_hand_started_model_stands():
    model = compiled(learning_rate=1e-6)
    model.initialize(ROWS, start=[[10.0, 10.0], [20.0, 20.0]])
    model.fit(ROWS, verbose=0)
    np.testing.assert_allclose(model.locs, [[10, 10], [20, 20]], atol=1e-4)
    clone = compiled(learning_rate=1e-6)
    clone.variational.trained.variables.components[0].assign([[5.0, 5.0], [6.0, 6.0]])
    clone.fit(ROWS, verbose=0)
    np.testing.assert_allclose(clone.locs, [[5, 5], [6, 6]], atol=1e-4)


def test_initialize_takes_locations_or_a_named_start_and_returns_the_model():
    model = GaussianMixtureModel(2, 2, seed=0)
    assert model.initialize(ROWS, start=[[-3.0, 0.0], [3.0, 1.0]]) is model
    np.testing.assert_allclose(model.locs, [[-3, 0], [3, 1]], atol=1e-12)
    assert model.num_data == len(ROWS)
    starts = {}
    for start in ("random", "k-means++", "auto"):
        starts[start] = GaussianMixtureModel(2, 2, seed=1).initialize(ROWS, start=start).locs.numpy()
        # Means of two groups of all rows: the mean of all lies between them, as far as the groups have rows
        first, second = starts[start]
        counts = len(ROWS) * (ROWS.mean(axis=0) - second) / (first - second)
        np.testing.assert_allclose(counts, counts[0].round(), rtol=1e-6)
        assert 0 < counts[0].round() < len(ROWS)
    for start in ("k-means++", "auto"):  # one in each cluster
        np.testing.assert_allclose(np.sort(starts[start][:, 0]), [-3, 3], atol=0.7)
    assert (starts["random"] != starts["k-means++"]).any()


def test_priors_change_the_start_and_the_kl():
    plain = GaussianMixtureModel(2, 2, seed=0)
    moved = GaussianMixtureModel(2, 2, seed=0, priors=Priors(loc_mean=100.0))
    assert (moved.locs.numpy() > 90).all() and (plain.locs.numpy() < 90).all()
    concentrated = GaussianMixtureModel(2, 2, seed=0, priors=Priors(weight_concentration=7.0))
    np.testing.assert_allclose(concentrated.counts, [7, 7])


# --- What a fitted mixture is for ----------------------------------------------------------------------------


def test_predict_is_log_prob(fitted):
    np.testing.assert_array_equal(fitted.predict(ROWS), fitted.log_prob(ROWS))
    np.testing.assert_array_equal(fitted.predict(ROWS, batch_size=7, verbose=0), fitted.log_prob(ROWS))


def test_sample_has_the_moments_of_the_mixture_and_follows_its_seed(fitted):
    rows = fitted.sample(20_000, seed=3)
    assert rows.shape == (20_000, 2)
    weights = fitted.counts / tf.reduce_sum(fitted.counts)
    expected = (weights[:, None] * fitted.locs).numpy().sum(0)
    assert (np.abs(rows.mean(0) - expected) < 4 * rows.std(0) / 20_000**0.5).all()
    np.testing.assert_array_equal(fitted.sample(5, seed=3), fitted.sample(5, seed=3))
    assert (fitted.sample(5, seed=3) != fitted.sample(5, seed=4)).all()
    assert (fitted.sample(5) != fitted.sample(5)).all()
    assert fitted.sample(0).shape == (0, 2)


def test_draws_have_the_moments_of_q(fitted):
    num_draws = 20_000
    draws = fitted.draws(num_draws, seed=5)
    assert draws.weights.shape == (1, num_draws, 2)
    assert draws.locs.shape == draws.scales.shape == (1, num_draws, 2, 2)
    q_weights = tfd.Dirichlet(fitted.counts)
    q_precisions = tfd.Gamma(fitted.alpha, fitted.beta)
    cases = [
        (draws.weights[0], q_weights.mean(), q_weights.variance()),
        (draws.locs[0], fitted.locs, fitted.scales**2),
        (draws.scales[0] ** -2, q_precisions.mean(), q_precisions.variance()),
    ]
    for values, mean, variance in cases:
        squares = (values - values.mean(0)) ** 2
        assert (np.abs(values.mean(0) - mean) < 4.5 * values.std(0) / num_draws**0.5).all()
        assert (np.abs(squares.mean(0) - variance) < 4.5 * squares.std(0) / num_draws**0.5).all()
    np.testing.assert_array_equal(fitted.draws(3, seed=5).locs, fitted.draws(3, seed=5).locs)
    assert (fitted.draws(3, seed=5).locs != fitted.draws(3, seed=6).locs).all()


# --- Showing -------------------------------------------------------------------------------------


def test_repr_and_summary_say_sizes_covariance_and_whether_it_was_fitted(fitted):
    lines = []
    for model, state in ((fitted, "fitted to 50 rows"), (GaussianMixtureModel(2, 2), "not fitted")):
        model.summary(print_fn=lines.append)
        for text in (repr(model), lines[-1]):
            for words in ("num_components=2", "num_features=2", "'diag'", "'dirichlet'", state):
                assert words in text
