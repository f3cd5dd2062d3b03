"""Closed-form training: independently computed bounds and posteriors, monotone sweeps, Keras's machinery."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from assigned import assign_components, assign_weights
from local_steps import local_step

import tfgmm
from tfgmm.families.independent import IndependentPosterior
from tfgmm.families.weights import DirichletPosterior

# Three rows whose log evidence is known from quadrature: -5.66422552; best augmented bound -7.38046367.
FEW = np.array([[-0.9], [0.2], [1.6]])
FEW_PRIORS = tfgmm.Priors(
    loc_mean=0.1, loc_scale=np.sqrt(1.5), precision_shape=1.5, precision_rate=0.4, weight_concentration=1.5
)
# Nine rows in the plane; the bounds below come from a float64 program written apart from this one.
NINE = np.array([(0, 0), (1, 0.5), (-0.5, 1), (0.5, -1), (4, 4), (5, 4.5), (4.5, 3), (3.5, 5), (2, 2.5)], float)
NINE_PRIORS = tfgmm.Priors(
    loc_mean=(0.5, 1.0), loc_scale=2.0, precision_shape=1.5, precision_rate=0.8, weight_concentration=1.2
)
AT_START, AFTER_ONE, AT_END = -42.85119831, -40.42649801, -40.23551311


def nine_at_start():
    model = tfgmm.GaussianMixtureModel(2, 2, priors=NINE_PRIORS, seed=0)
    model.compile()
    model.initialize(NINE)
    half, two = np.full((2, 2), 0.5), np.full((2, 2), 2.0)
    locs = np.array([(0.0, 0.0), (4.0, 4.0)]) - model.centre
    assign_components(model, IndependentPosterior(locs, half, two, two))
    assign_weights(model, DirichletPosterior(np.array([3.0, 5.0])))
    return model


def elbo(model, rows):
    return model.evaluate(rows, verbose=0, return_dict=True)["elbo"]


def clusters(num_data=600, num_features=3, num_components=3, seed=0):
    generator = np.random.default_rng(seed)
    locs = generator.normal(0, 3, (num_components, num_features))
    return locs[generator.integers(0, num_components, num_data)] + generator.normal(0, 1, (num_data, num_features))


@pytest.fixture(scope="module")
def swept():
    """The nine rows' model after 250 sweeps, with its bound per sweep."""
    model = nine_at_start()
    return model, model.fit(NINE, epochs=250, verbose=0).history["elbo"]


def test_sweeps_pass_through_the_reference_bounds(swept):
    model, history = swept
    assert history[0] == pytest.approx(AT_START, rel=1e-6)
    assert history[1] == pytest.approx(AFTER_ONE, rel=1e-6)
    assert elbo(model, NINE) == pytest.approx(AT_END, rel=1e-6)


def test_the_end_is_the_reference_posterior(swept):
    model, _ = swept
    assert float(model.locs[0, 0]) == pytest.approx(0.25988521, abs=1e-5)
    np.testing.assert_allclose(model.counts[0] - 1.2, 4.00624738, atol=1e-5)
    np.testing.assert_allclose(model.beta, [[1.66569217, 2.21846216], [3.97510985, 3.3837295]], atol=1e-5)
    assert float(np.sum(model.log_prob(NINE), dtype=np.float64)) == pytest.approx(-28.23625751, abs=1e-4)


def test_the_best_bound_of_three_rows_is_the_reference():
    best = -np.inf
    for seed in range(4):
        model = tfgmm.GaussianMixtureModel(2, 1, priors=FEW_PRIORS, seed=seed)
        model.compile()
        model.initialize(FEW, start="random")
        model.fit(FEW, epochs=150, verbose=0)
        best = max(best, elbo(model, FEW))
    assert best == pytest.approx(-7.38046367, abs=1e-5)
    assert best < -5.66422552  # the log evidence


def test_the_augmented_bound_is_below_the_marginal_bound():
    model = nine_at_start()
    augmented = elbo(model, NINE)
    model.compile("sgd")
    model.num_draws = 4000
    marginal = [float(np.sum(log_likelihoods)) - float(kl) for log_likelihoods, kl in (model(NINE) for _ in range(5))]
    assert augmented < np.mean(marginal) - 4 * np.std(marginal, ddof=1) / np.sqrt(5)


def test_the_bound_never_falls():
    rows = clusters(seed=3)
    model = tfgmm.GaussianMixtureModel(5, 3, seed=1)
    model.compile()
    history = np.array(model.fit(rows, epochs=80, verbose=0).history["elbo"])
    # sums of 600 float32 terms near 6: rounding of 600 x 6 x 6e-8
    assert np.diff(history).min() > -3e-4
    assert history[-1] > history[0] + 100


def test_batches_of_a_sweep_change_nothing():
    rows = clusters()
    fitted = []
    for size in (None, 64, 599):
        model = tfgmm.GaussianMixtureModel(3, 3, seed=2)
        model.compile()
        model.fit(rows, batch_size=size, epochs=15, verbose=0)
        fitted.append(model)
    for other in fitted[1:]:
        np.testing.assert_allclose(other.locs, fitted[0].locs, atol=1e-5)
        np.testing.assert_allclose(other.alpha, fitted[0].alpha, rtol=1e-5)


def test_the_gradient_of_the_bound_is_zero_where_sweeps_end(swept):
    model, _ = swept
    rows = tf.constant(NINE - model.centre, tf.float32)
    with tf.GradientTape() as tape:
        log_likelihoods, _ = local_step(model.variational, rows)
        bound = tf.cast(tf.reduce_sum(log_likelihoods), tf.float64) - model.kl()
    for gradient in tape.gradient(bound, model.trainable_variables):
        np.testing.assert_allclose(gradient, 0.0, atol=1e-4)


def test_one_component_with_a_known_mean_has_the_textbook_gamma():
    rows = np.random.default_rng(0).normal(3.0, 2.0, (50, 1))
    priors = tfgmm.Priors(loc_mean=3.0, loc_scale=1e-8, precision_shape=2.0, precision_rate=5.0)
    model = tfgmm.GaussianMixtureModel(1, 1, priors=priors, seed=0)
    model.compile()
    with pytest.warns(UserWarning, match="priors do not suit"):  # a location known to 1e-8 is a strange prior
        model.fit(rows, epochs=10, verbose=0)
    assert float(model.alpha[0, 0]) == pytest.approx(2.0 + 25)
    assert float(model.beta[0, 0]) == pytest.approx(5.0 + 0.5 * np.sum((rows - 3.0) ** 2), rel=1e-5)


def test_one_component_with_a_known_precision_has_the_textbook_normal():
    rows = np.random.default_rng(0).normal(3.0, 2.0, (50, 1))
    priors = tfgmm.Priors(loc_mean=0.0, loc_scale=2.0, precision_shape=1e12, precision_rate=4e12)
    model = tfgmm.GaussianMixtureModel(1, 1, priors=priors, seed=0)
    model.compile()
    model.fit(rows, epochs=10, verbose=0)
    precision = 1 / 4 + 50 / 4
    assert float(model.scales[0, 0]) == pytest.approx(precision**-0.5, rel=1e-6)
    assert float(model.locs[0, 0]) == pytest.approx(rows.sum() / 4 / precision, rel=1e-5)


def test_worked_example_reaches_its_optimum_in_30_sweeps():
    generator = np.random.RandomState(12345)
    rows = generator.randn(3000, 2).astype("float32")
    rows += np.repeat(np.array([(2, 0), (-2, -4), (-2, 4)], "float32"), 1000, axis=0)
    model = tfgmm.GaussianMixtureModel(3, 2, seed=0)
    model.compile()
    model.fit(rows, epochs=30, verbose=0)
    assert model.evaluate(rows, verbose=0)[0] <= 3.937  # the published script stops at 4.115
    np.testing.assert_allclose(model.alpha, 505, atol=3)


def test_a_tight_cluster_keeps_its_variance():
    # 1e-3 of the range wide: sums of squares about the centre would be 3 % wrong in float32
    generator = np.random.default_rng(0)
    rows = np.concatenate([generator.normal(-500, 1.0, (4000, 1)), generator.normal(500, 1.0, (4000, 1))])
    priors = tfgmm.Priors(loc_scale=500.0, precision_shape=1.0, precision_rate=0.02)
    model = tfgmm.GaussianMixtureModel(2, 1, priors=priors, seed=0)
    model.compile()
    model.fit(rows, epochs=30, verbose=0)
    order = np.argsort(model.locs.numpy()[:, 0])
    variances = (model.beta / (model.alpha - 1)).numpy()[order, 0]
    exact = [part.var() for part in (rows[:4000], rows[4000:])]
    np.testing.assert_allclose(variances, exact, rtol=2e-3)  # the prior's share is 1e-3


def test_keras_machinery_runs_in_closed_form(tmp_path):
    rows = clusters()
    model = tfgmm.GaussianMixtureModel(3, 3, seed=0)
    model.compile()
    path = str(tmp_path / "best.keras")
    callbacks = [
        keras.callbacks.EarlyStopping("val_loss", patience=5, min_delta=1e-6),
        keras.callbacks.ModelCheckpoint(path, monitor="val_loss", save_best_only=True),
    ]
    # 300 rows in the one step that the 600 take: their loss has its best value after some 30 sweeps
    history = model.fit(rows, epochs=300, validation_data=rows[:300], callbacks=callbacks, verbose=0).history
    best = int(np.argmin(history["val_loss"]))
    assert 0 < best < len(history["loss"]) - 1 < 299
    loaded = tfgmm.load_model(path)
    assert loaded.optimizer is None
    # the bound of a sweep is that of the posterior it began with
    after = loaded.fit(rows, epochs=1, verbose=0).history
    assert after["elbo"][0] == pytest.approx(history["elbo"][best + 1], rel=1e-9)
    validated = tfgmm.load_model(path).evaluate(rows[:300], verbose=0)[0]
    assert history["val_loss"][best] == pytest.approx(validated, rel=1e-9)


def test_datasets_are_swept_too_whether_their_length_is_known_or_not():
    rows = clusters()
    batches = tf.data.Dataset.from_tensor_slices(rows).batch(100)
    found = []
    for data in (rows, batches, batches.filter(lambda rows: True)):
        model = tfgmm.GaussianMixtureModel(3, 3, seed=0)
        model.compile(num_data=600)
        model.initialize(rows)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Your input ran out of data")  # Keras's word at the end of a stream
            history = model.fit(data, epochs=5, verbose=0).history
        found.append((model.locs.numpy(), history["elbo"]))
    for locs, bounds in found[1:]:
        np.testing.assert_allclose(locs, found[0][0], atol=1e-5)
        np.testing.assert_allclose(bounds, found[0][1], rtol=1e-6)


def test_an_optimizer_afterwards_goes_on_from_there():
    rows = clusters()
    model = tfgmm.GaussianMixtureModel(3, 3, seed=0)
    model.compile()
    model.fit(rows, epochs=40, verbose=0)
    before = model.locs.numpy()
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(rows, epochs=5, verbose=0)
    assert 0 < np.abs(model.locs - before).max() < 0.05


def test_a_sweep_over_a_part_stands_for_the_whole():
    rows = clusters()
    model = tfgmm.GaussianMixtureModel(3, 3, seed=0)
    model.compile()
    model.fit(rows, batch_size=100, steps_per_epoch=2, epochs=5, verbose=0)  # 200 of 600 rows a sweep
    assert float(tf.reduce_sum(model.counts)) == pytest.approx(600 + 3 * 2.0)


def test_num_data_given_to_compile_is_what_the_rows_stand_for():
    model = tfgmm.GaussianMixtureModel(3, 3, seed=0)
    model.compile(num_data=6000)
    with pytest.warns(UserWarning, match="num_data=6000"):
        model.fit(clusters(), epochs=3, verbose=0)
    assert float(tf.reduce_sum(model.counts)) == pytest.approx(6000 + 3 * 2.0)


@pytest.mark.parametrize(
    "callback", [keras.callbacks.ReduceLROnPlateau(), keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)]
)
def test_callbacks_that_want_a_learning_rate_are_refused(callback):
    model = tfgmm.GaussianMixtureModel(3, 3, seed=0)
    model.compile()
    with pytest.raises(ValueError, match="learning rate.*has none"):
        model.fit(clusters(), callbacks=[callback], verbose=0)


def test_train_on_batch_needs_an_optimizer():
    model = tfgmm.GaussianMixtureModel(3, 3, seed=0)
    model.compile(num_data=600)
    with pytest.raises(ValueError, match="`train_on_batch` needs an optimizer"):
        model.train_on_batch(clusters()[:10])
    rows = clusters()[:10]
    np.testing.assert_allclose(model.test_on_batch(rows), model.evaluate(rows, verbose=0), rtol=1e-12)


def test_validation_rows_may_be_fewer_than_a_group_of_steps():
    """Steps are grouped by the batches of training; 3 batches of validation are no multiple of them."""
    rows, logs = clusters(), []
    for steps in (1, 12, "auto"):
        model = tfgmm.GaussianMixtureModel(3, 3, seed=0)
        model.compile(steps_per_execution=steps)
        history = model.fit(rows, batch_size=50, epochs=2, validation_data=rows[:130], verbose=0).history
        assert model.steps_per_execution == (1 if steps == 1 else 12)
        assert history["val_elbo"][-1] == pytest.approx(elbo(model, rows[:130]), rel=1e-9)
        logs.append([history[name] for name in sorted(history)])
    np.testing.assert_allclose(logs[1:], logs[:1] * 2, rtol=1e-12)


def test_closed_form_runs_eagerly_too():
    fitted = []
    for run_eagerly in (False, True):
        model = tfgmm.GaussianMixtureModel(3, 3, seed=0)
        model.compile(run_eagerly=run_eagerly)
        model.fit(clusters(), epochs=3, verbose=0)
        fitted.append(model.locs.numpy())
    np.testing.assert_allclose(fitted[1], fitted[0], atol=1e-6)


@pytest.mark.parametrize("optimizer", [None, "adam"])
def test_a_tensorflow_checkpoint_holds_the_posterior(optimizer, tmp_path):
    rows = clusters()
    model = tfgmm.GaussianMixtureModel(3, 3, seed=0)
    model.compile(optimizer)
    model.fit(rows, epochs=3, verbose=0)
    checkpoint, saved = tf.train.Checkpoint(model=model), model.get_weights()
    path = checkpoint.save(str(tmp_path / "state"))
    model.fit(rows[:300], epochs=3, verbose=0)
    assert not np.array_equal(model.get_weights()[0], saved[0])
    checkpoint.restore(path).assert_existing_objects_matched()
    for value, expected in zip(model.get_weights(), saved):
        np.testing.assert_array_equal(value, expected)
