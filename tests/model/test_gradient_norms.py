"""Gradient norms: taken from the training step while a block runs, and from no step before or after it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfgmm
from tfgmm.model.gradient_norms import GradientNorms, watched_gradients
from tfgmm.model.keras3 import keras

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0]] * 20 + [[3.0, 1.0]] * 20, 0.5)


def trained():
    model = tfgmm.GaussianMixtureModel(2, 2, seed=3)
    model.compile("sgd", run_eagerly=True)
    return model


def test_means_of_norms_by_name_until_they_are_forgotten():
    norms = GradientNorms([keras.Variable([0.0, 0.0], name="locs"), keras.Variable(0.0, name="scale")])
    assert all(np.isnan(value) for value in norms.result().values())
    norms.update([tf.constant([3.0, 4.0]), tf.constant(-2.0)])
    norms.update([tf.constant([0.0, 1.0]), tf.constant(0.0)])
    assert norms.result() == {"locs": 3.0, "scale": 1.0}
    norms.reset()
    norms.update([tf.constant([0.0, 2.0]), tf.constant(5.0)])
    assert norms.result() == {"locs": 2.0, "scale": 5.0}


def test_norms_are_taken_from_the_steps_inside_the_block_alone(monkeypatch):
    num_steps, update = 0, GradientNorms.update

    def counted(self, gradients):
        nonlocal num_steps
        num_steps += 1
        update(self, gradients)

    monkeypatch.setattr(GradientNorms, "update", counted)
    model = trained()
    with pytest.raises(RuntimeError, match="stopped"), block_in_a_fit(model):
        assert model.gradient_norms is not None and model.train_function is model.watched_step.watched
        model.train_step(tf.constant(ROWS - model.centre, tf.float32))
        assert num_steps == 1
        raise RuntimeError("stopped")
    assert model.gradient_norms is None and model.train_function is model.watched_step.bare
    model.train_step(tf.constant(ROWS - model.centre, tf.float32))
    assert num_steps == 1


def block_in_a_fit(model):
    model.fit(ROWS, epochs=1, verbose=0)
    return watched_gradients(model)


def test_the_watched_step_is_used_again_until_the_model_is_compiled_anew():
    model = trained()
    with block_in_a_fit(model) as first:
        step = model.watched_step
    with block_in_a_fit(model) as second:
        assert second is first and model.watched_step is step
    model.compile("sgd", run_eagerly=True)
    with block_in_a_fit(model) as third:
        assert third is not first and model.watched_step is not step
