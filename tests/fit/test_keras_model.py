"""The Keras model of a fit: made when it is asked for, the same posterior, and words where there is no TensorFlow."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest

import tfgmm
from tfgmm.scoring import devices

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0]] * 60 + [[3.0, 1.0]] * 40, 0.5)


@pytest.fixture(scope="module")
def result():
    return tfgmm.fit_mixture(ROWS, 2, covariance="full", seed=1)


def test_the_model_is_made_once_and_stands_where_the_fit_does(result):
    assert result.model is result.model and isinstance(result.model, tfgmm.GaussianMixtureModel)
    for name, part in result.variational.public().items():
        np.testing.assert_allclose(getattr(result.model, name), part, rtol=1e-12)
    np.testing.assert_array_equal(result.model.log_prob(ROWS), result.log_prob(ROWS))
    assert (result.model.elbo, result.model.num_data, result.model.seed) == (result.elbo, 100, 1)
    assert result.model.evaluate(ROWS, verbose=0, return_dict=True)["elbo"] == pytest.approx(result.elbo, rel=1e-9)


def test_training_the_model_goes_on_from_there_and_leaves_the_result(result):
    fitted = tfgmm.fit_mixture(ROWS, 2, restarts=1)
    before = np.array(fitted.locs)
    fitted.model.compile(keras.optimizers.Adam(0.05))
    fitted.model.fit(ROWS, epochs=5, verbose=0)
    assert np.abs(fitted.model.locs - before).max() > 1e-3
    np.testing.assert_array_equal(fitted.locs, before)


def test_the_model_that_callbacks_of_keras_watched_is_the_one_that_comes_back():
    class Watcher(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.watched = self.model

    watcher = Watcher()
    fitted = tfgmm.fit_mixture(ROWS, 2, restarts=1, callbacks=[watcher])
    assert fitted.model is watcher.watched
    np.testing.assert_allclose(fitted.model.locs, fitted.locs, rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"callbacks": [keras.callbacks.TerminateOnNaN()]}, {"polish_steps": 5}])
def test_the_model_has_the_bound_of_the_result(options):
    """Keras logs the bound that a sweep began with; Adam's last one is noisy."""
    fitted = tfgmm.fit_mixture(ROWS, 2, restarts=1, **options)
    assert fitted.model.elbo == fitted.elbo and (fitted.sums is None) == bool(options)


@pytest.mark.parametrize("asked", ["the model", "a callback of Keras's", "polishing"])
def test_without_tensorflow_the_error_says_what_to_install_and_the_fit_stays(asked, monkeypatch):
    fitted, callback = tfgmm.fit_mixture(ROWS, 2, restarts=1), keras.callbacks.TerminateOnNaN()
    steps = []
    watcher = tfgmm.callbacks.FitWatcher()
    watcher.on_step = steps.append
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as where it is not installed
    with pytest.raises(ImportError) as caught:
        if asked == "the model":
            fitted.model  # noqa: B018
        elif asked == "polishing":
            tfgmm.fit_mixture(ROWS, 2, restarts=1, polish_steps=3, callbacks=[watcher])
        else:
            tfgmm.fit_mixture(ROWS, 2, restarts=1, callbacks=[watcher, callback])
    for word in ("TensorFlow must", "Received", "pip install"):
        assert word in str(caught.value)
    assert fitted.log_prob(ROWS).shape == (100,)
    assert steps == []  # before a start was made


@pytest.mark.parametrize("question", ["interval", "conditional", "impute", "marginal_log_prob"])
def test_questions_that_need_tensorflow_say_so(question, monkeypatch):
    fitted = tfgmm.fit_mixture(ROWS, 2, restarts=1)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match="TensorFlow must be installed for the question"):
        getattr(fitted, question)(ROWS, *([] if question == "interval" else [[0]]))


def test_a_driver_without_tensorflow_leaves_all_to_numpy(monkeypatch):
    monkeypatch.setattr(devices, "_has_driver", lambda: True)
    monkeypatch.setattr(devices, "_tensorflow_has_gpu", devices._tensorflow_has_gpu.__wrapped__)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert tfgmm.fit_mixture(ROWS, 2, restarts=1).log_prob(ROWS).shape == (100,)
