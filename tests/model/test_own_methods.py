"""Subclasses: their metrics and logs survive, their steps are checked, and what nothing would call is refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgmm

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0]] * 60 + [[3.0, 1.0]] * 40, 0.7)
WEIGHTS = np.arange(50) % 3 + 1.0
PRIORS = tfgmm.Priors.from_data(ROWS)
FOUR = ["loss", "elbo", "log_likelihood", "kl"]


def model_of(kind, optimizer=None, **compiled):
    model = kind(2, 2, priors=PRIORS, seed=0)
    model.compile(keras.optimizers.SGD(1e-3) if optimizer == "sgd" else optimizer, **compiled)
    return model


def num_rows(data):
    rows = keras.utils.unpack_x_y_sample_weight(data)[0]
    return tf.cast(tf.shape(rows["values"] if isinstance(rows, dict) else rows)[0], tf.float32)


class Counting(tfgmm.GaussianMixtureModel):
    """A metric as an attribute, which Keras finds by itself."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.rows_seen = keras.metrics.Sum(name="rows_seen")

    def train_step(self, data):
        self.rows_seen.update_state(num_rows(data))
        return super().train_step(data)

    def test_step(self, data):
        self.rows_seen.update_state(num_rows(data))
        return super().test_step(data)


class OnlyItsOwn(Counting):
    """Its own metrics alone, as Keras's guides list them."""

    @property
    def metrics(self):
        return [self.rows_seen]


class ByName(Counting):
    """Logs as Keras's guides return them."""

    def train_step(self, data):
        super().train_step(data)
        return {metric.name: metric.result() for metric in self.metrics}


@pytest.mark.parametrize(
    ("kind", "compiled"),
    [(Counting, {"steps_per_execution": 5}), (OnlyItsOwn, {"run_eagerly": True}), (ByName, {"run_eagerly": True})],
)
def test_own_metrics_begin_anew_with_each_epoch_and_with_each_validation(kind, compiled):
    model, plain = model_of(kind, "sgd", **compiled), model_of(tfgmm.GaussianMixtureModel, "sgd", **compiled)
    options = {"validation_data": (ROWS[:50], None, WEIGHTS), "epochs": 2, "batch_size": 20, "verbose": 0}
    history, expected = (one.fit(ROWS, **options).history for one in (model, plain))
    assert history.pop("rows_seen") == [100.0, 100.0]
    assert history.pop("val_rows_seen") == [50.0, 50.0]
    assert history.keys() == expected.keys()
    for name, values in expected.items():  # and the bound is as it is without them
        np.testing.assert_allclose(history[name], values, rtol=1e-6)
    assert model.elbo == pytest.approx(plain.elbo, rel=1e-6)
    assert model.metrics_names == [*FOUR, "rows_seen"]
    logs = model.evaluate(ROWS, batch_size=30, verbose=0, return_dict=True)
    assert logs["rows_seen"] == 100.0
    assert model.evaluate(ROWS, batch_size=30, verbose=0) == [logs[name] for name in model.metrics_names]


def test_closed_form_logs_the_bound_alone_and_tells_which_steps_it_does_not_call():
    with pytest.warns(UserWarning) as found:
        model = model_of(OnlyItsOwn)
    assert [str(one.message).split(" is not")[0] for one in found] == ["OnlyItsOwn.train_step", "OnlyItsOwn.test_step"]
    history = model.fit(ROWS, validation_data=ROWS[:50], epochs=2, verbose=0).history
    assert set(history) == {*FOUR, *(f"val_{name}" for name in FOUR)}
    swept = model_of(tfgmm.GaussianMixtureModel).fit(ROWS, epochs=2, verbose=0).history
    np.testing.assert_allclose(history["elbo"], swept["elbo"], rtol=1e-9)


class OwnGradients(tfgmm.GaussianMixtureModel):
    """A step from scratch, with a loss and a metric of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.tracked = [keras.metrics.Mean(name="loss"), keras.metrics.Mean(name="slope")]

    def train_step(self, data):
        with tf.GradientTape() as tape:
            log_likelihoods, kl = self.bound_terms(data, self.next_seed())
            loss = tf.cast(kl, tf.float32) / 100.0 - tf.reduce_mean(log_likelihoods)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            elif metric.name == "slope":
                metric.update_state(tf.linalg.global_norm(gradients))
        return {metric.name: metric.result() for metric in self.tracked}


def test_a_step_from_scratch_logs_what_it_returns_and_moves_as_ours_does():
    own = model_of(OwnGradients, "sgd", steps_per_execution=5)
    plain = model_of(tfgmm.GaussianMixtureModel, "sgd", run_eagerly=True)
    history, expected = (one.fit(ROWS, batch_size=20, epochs=2, verbose=0).history for one in (own, plain))
    assert list(history) == ["loss", "slope"] and min(history["slope"]) > 0
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)
    np.testing.assert_allclose(own.locs, plain.locs, rtol=1e-6)
    assert own.elbo is None  # which nothing has worked out


class ReturnsNothing(tfgmm.GaussianMixtureModel):
    def train_step(self, data):
        super().train_step(data)

    def test_step(self, data):
        super().test_step(data)


def test_a_step_without_logs_is_refused():
    model = model_of(ReturnsNothing, "sgd", num_data=100, steps_per_execution=5)
    with pytest.raises(TypeError, match=r"`ReturnsNothing\.train_step` must return .*Received: NoneType\. Return"):
        model.fit(ROWS, batch_size=20, verbose=0)
    with pytest.raises(TypeError, match=r"`ReturnsNothing\.test_step` must return"):
        model.evaluate(ROWS, verbose=0)


class CallsItself(tfgmm.GaussianMixtureModel):
    def train_step(self, data):
        log_likelihoods, _ = self(data)
        return {"loss": -tf.reduce_mean(log_likelihoods)}


def test_a_step_does_not_measure_its_rows_from_the_centre_twice():
    model = model_of(CallsItself, "sgd", run_eagerly=True)
    with pytest.raises(TypeError, match=r"`x` must be rows in the units of.*Received: a call .*Use .*bound_terms"):
        model.fit(ROWS, verbose=0)
    assert np.isfinite(model(ROWS)[0]).all()  # outside of a step it may be called as ever


def subclass_with(name, **others):
    return type("Mine", (tfgmm.GaussianMixtureModel,), {name: lambda self, *args, **kwargs: None, **others})


@pytest.mark.parametrize("name", ["call", "compute_loss", "compute_metrics", "predict_step"])
def test_methods_that_nothing_would_call_are_refused_by_their_name(name):
    for optimizer in (None, "sgd"):
        with pytest.raises(TypeError, match=rf"`Mine\.{name}` must be left out: .*Received: a class that has it\. \w+"):
            model_of(subclass_with(name), optimizer)


def test_a_step_of_ones_own_may_call_them():
    class Scaled(tfgmm.GaussianMixtureModel):
        def call(self, x, sampling=True):
            return super().call(2.0 * x, sampling)

        def train_step(self, data):
            return super().train_step(data)

    model = Scaled(2, 2, priors=PRIORS, seed=0)  # as a layer it needs no compile
    plain = tfgmm.GaussianMixtureModel(2, 2, priors=PRIORS, seed=0)
    np.testing.assert_allclose(model(ROWS, sampling=False)[0], plain(2.0 * ROWS, sampling=False)[0], rtol=1e-6)
    model.compile("sgd")
    with pytest.raises(TypeError, match=r"`Scaled\.call` must be left out"):
        model.compile()


# --- Optimizers that scale losses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaled", ["wrapped", "by a factor"])
def test_an_optimizer_that_scales_losses_moves_as_the_plain_one(scaled):
    """It divides the gradients by the scale that it expects the loss to have."""
    plain = model_of(tfgmm.GaussianMixtureModel, keras.optimizers.SGD(0.01), run_eagerly=True)
    if scaled == "wrapped":
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01))
    else:
        optimizer = keras.optimizers.SGD(0.01, loss_scale_factor=128.0)
    model = model_of(tfgmm.GaussianMixtureModel, optimizer, run_eagerly=True)
    for one in (plain, model):
        one.initialize(ROWS)
    start = plain.locs.numpy()
    for one in (plain, model):
        one.fit(ROWS, epochs=2, verbose=0)
    assert np.abs(plain.locs - start).max() > 1e-4
    np.testing.assert_allclose(model.locs.numpy() - start, plain.locs.numpy() - start, rtol=1e-5)
