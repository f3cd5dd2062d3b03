"""`trainable = False`: nothing moves, in closed form as by gradients, and one warning says so."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

import tfgmm

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0]] * 60 + [[3.0, 1.0]] * 40, 0.7)
WORDS = "there is nothing to train: model.trainable is False"


@pytest.fixture(scope="module")
def fit():
    return tfgmm.fit_mixture(ROWS, 2, seed=0, restarts=1)


def frozen(fit, optimizer=None, **compiled):
    model = tfgmm.GaussianMixtureModel.of_fit(fit, fit.elbo)
    model.trainable = False
    model.compile(optimizer, run_eagerly=True, **compiled)
    return model


@pytest.mark.parametrize("compiled", [{}, {"step_sizes": tfgmm.StepSizes()}, {"optimizer": keras.optimizers.SGD(0.1)}])
def test_nothing_moves_and_one_warning_says_so(fit, compiled):
    model = frozen(fit, **compiled)
    before, elbo = model.get_weights(), model.elbo
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        history = model.fit(ROWS + 5.0, epochs=2, batch_size=100, verbose=0).history
    told = [str(one.message).split(",")[0] for one in found if one.category is UserWarning]
    assert told == [WORDS]
    for value, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert (model.elbo, model.num_data) == (elbo, 100)
    # What is logged is the model as it stands, epoch after epoch
    assert history["loss"][0] == history["loss"][1]
    assert history["loss"][0] == pytest.approx(model.evaluate(ROWS + 5.0, verbose=0)[0], rel=1e-6)


def test_a_step_on_a_batch_moves_nothing_either(fit):
    model = frozen(fit, keras.optimizers.SGD(0.1))
    before = model.get_weights()
    with pytest.warns(UserWarning, match=WORDS):
        model.train_on_batch(ROWS)
    for value, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("optimizer", [None, keras.optimizers.SGD(0.01)])
def test_it_is_trained_again_once_it_may(fit, optimizer):
    model = frozen(fit, optimizer)
    with pytest.warns(UserWarning, match=WORDS):
        model.fit(ROWS, verbose=0)
    locs = model.locs.numpy()
    model.trainable = True  # without compiling again, and with no warning: they are errors here
    model.fit(ROWS + 5.0, verbose=0)
    assert np.abs(model.locs - locs).max() > 1e-3
    model.trainable = False
    locs = model.locs.numpy()
    with pytest.warns(UserWarning, match=WORDS):
        model.fit(ROWS, verbose=0)
    np.testing.assert_array_equal(model.locs, locs)


def test_a_model_that_was_never_fitted_stays_as_it_was_made():
    model = tfgmm.GaussianMixtureModel(2, 2, priors=tfgmm.Priors.from_data(ROWS), seed=0)
    model.trainable = False
    model.compile()
    with pytest.warns(UserWarning, match=WORDS):
        history = model.fit(ROWS, verbose=0).history
    assert model.is_untouched and model.num_data == 100
    assert np.isfinite(history["loss"]).all()


def test_some_variables_alone_are_trained_by_an_optimizer_only(fit):
    model = tfgmm.GaussianMixtureModel.of_fit(fit)
    model.stored_locs.trainable = False
    with pytest.raises(ValueError, match=r"`trainable` must be the same.*Received: True for 4 of 5\. Set"):
        model.fit(ROWS, verbose=0)
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    before = model.get_weights()
    model.fit(ROWS, verbose=0)
    assert not np.array_equal(model.get_weights()[1], before[1])
    np.testing.assert_array_equal(model.stored_locs, before[[v.name for v in model.weights].index("locs")])
