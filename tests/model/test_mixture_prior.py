"""A mixture as the prior of other models: of an autoencoder, which must gain by it, and inside compiled functions."""

from __future__ import annotations

import importlib
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfgmm
from tfgmm.model.distributions import mixture_distribution

tfd = tfp.distributions
BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


def prior_of_two_columns():
    rows = np.random.default_rng(1).normal([[-2.0, 0.0]] * 100 + [[2.0, 1.0]] * 100, 0.4)
    return mixture_distribution(tfgmm.fit_mixture(rows, 2, seed=0, restarts=1).model.plug_in()), rows


class Autoencoder(keras.Model):
    """A variational autoencoder of two latent columns whose prior is a distribution."""

    def __init__(self, prior, num_features):
        super().__init__()
        self.prior = prior
        self.encoder = keras.Sequential([keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(4)])
        self.decoder = keras.layers.Dense(num_features)

    def call(self, x):
        mean, log_scale = tf.split(self.encoder(x), 2, axis=-1)
        q = tfd.MultivariateNormalDiag(mean, tf.exp(log_scale))
        latent = q.sample()
        self.add_loss(0.1 * tf.reduce_mean(q.log_prob(latent) - self.prior.log_prob(latent)))
        return self.decoder(latent)


@pytest.mark.slow
def test_a_variational_autoencoder_learns_with_a_mixture_as_its_prior():
    keras.utils.set_random_seed(0)
    prior, latent = prior_of_two_columns()
    seen = (latent @ np.random.default_rng(2).normal(size=(2, 5))).astype(np.float32)
    model = Autoencoder(prior, 5)
    model.compile(keras.optimizers.Adam(0.02), loss="mse")
    losses = model.fit(seen, seen, epochs=15, batch_size=50, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0] and np.isfinite(losses).all()
    with tf.GradientTape() as tape:
        model(seen[:50])
        [divergence] = model.losses
    slopes = tape.gradient(divergence, model.encoder.trainable_variables)
    assert all(np.abs(slope).max() > 0.0 for slope in slopes)
    assert len(model.trainable_variables) == 6  # the autoencoder's: the prior has none


@pytest.mark.slow
def test_held_out_digits_are_better_under_a_mixture_than_under_a_standard_normal(monkeypatch):
    """The short version of benchmarks/bench_autoencoder.py, on images that no autoencoder has seen."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bench = importlib.import_module("bench_autoencoder")
    settings = bench.Settings(num_hidden=64, first_epochs=20, more_epochs=20, num_draws=20)
    normal, *mixtures = bench.compared(0, settings)
    assert [line["prior"] for line in (normal, *mixtures)] == list(bench.WAYS)
    for line in mixtures:
        assert line["bound"] > normal["bound"] + 1.0, line
        assert line["tighter bound"] > line["bound"]


def test_the_models_own_answers_say_what_to_use_inside_compiled_functions():
    model = tfgmm.GaussianMixtureModel(2, 2, seed=0)
    rows = tf.constant([[0.0, 1.0]])
    for inside in (
        lambda: tf.function(model.log_prob)(rows),
        lambda: tf.data.Dataset.from_tensors(rows).map(model.responsibilities),
    ):
        with pytest.raises(RuntimeError, match=r"outside of tf\.function.*Received: .*Inside, use model"):
            inside()
    with tf.GradientTape() as tape:  # what the message names
        tape.watch(rows)
        log_likelihoods, _ = tf.function(lambda rows: model(rows, sampling=False))(rows)
    np.testing.assert_allclose(log_likelihoods, model.log_prob(rows), rtol=1e-6)
    [slopes] = tape.gradient(log_likelihoods, rows)
    density = model.distribution()
    with tf.GradientTape() as tape:
        tape.watch(rows)
        log_probs = density.log_prob(rows)
    np.testing.assert_allclose(slopes, tape.gradient(log_probs, rows)[0], rtol=1e-5)
