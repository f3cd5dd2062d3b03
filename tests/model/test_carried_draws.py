"""Draws from the exact posterior that a Keras model has from its fit: what uses them, and what drops them."""

from __future__ import annotations

import pickle

import keras
import numpy as np
import pytest

import tfgmm

GENERATOR = np.random.default_rng(0)
ROWS = np.concatenate([GENERATOR.normal(size=(300, 2)), GENERATOR.normal(size=(300, 2)) + [3.0, 0.0]])
RESULT = tfgmm.fit_mixture(ROWS, 2, restarts=2, seed=1, posterior="auto")


@pytest.fixture
def result():
    """The fit, whose model is made anew."""
    return pickle.loads(pickle.dumps(RESULT))


def wider(draws):
    """Standard deviations of the locations beside those of q."""
    return draws.locs.std(axis=(0, 1)) / RESULT.draws(2_000, seed=0, posterior="mean_field").locs.std(axis=(0, 1))


def test_the_model_of_a_fit_has_its_draws(result):
    model = result.model
    assert model.exact.record == result.exact.record and model.stored_record() == result.exact.record
    np.testing.assert_array_equal(model.draws(50, seed=3).locs, result.draws(50, seed=3).locs)
    np.testing.assert_array_equal(model.draws(9, seed=3, posterior="auto").locs, result.draws(9, seed=3).locs)
    assert (wider(model.draws(900, seed=0))[:, 0] > 1.2).all()
    assert model.draws(9).posterior == result.exact.record


def test_bands_and_the_predictive_density_of_the_model_use_them(result):
    expected, found, narrow = (
        one.interval(ROWS[:5]) for one in (result, result.model, result.with_posterior(ROWS, "mean_field").model)
    )
    np.testing.assert_array_equal(found.log_prob_high, expected.log_prob_high)
    assert not np.array_equal(found.log_prob_high, narrow.log_prob_high)
    far = [[9.0, 0.0]]
    np.testing.assert_array_equal(result.model.log_prob(far, "predictive"), result.log_prob(far, "predictive"))


def test_exports_of_the_model_hold_them(result, tmp_path):
    for name, one in (("result", result), ("model", result.model)):
        one.export(tmp_path / name, saved_model=False)
    of_result, of_model = (tfgmm.load_scorer(tmp_path / name) for name in ("result", "model"))
    np.testing.assert_array_equal(of_model.interval(ROWS).log_prob_high, of_result.interval(ROWS).log_prob_high)
    np.testing.assert_array_equal(of_model.log_prob(ROWS, "predictive"), of_result.log_prob(ROWS, "predictive"))


def test_compiling_and_asking_keeps_them(result):
    model = result.model
    model.evaluate(ROWS, verbose=0)
    model.predict(ROWS[:9])
    model.compile(keras.optimizers.Adam(1e-2))
    model.set_weights(model.get_weights())
    assert model.exact is not None
    model.compile()
    model.trainable = False
    with pytest.warns(UserWarning, match="there is nothing to train"):
        model.fit(ROWS, epochs=1, verbose=0)
    assert model.exact is not None


def fit(model):
    model.fit(ROWS + 0.5, epochs=1, verbose=0)


def fit_no_epochs(model):
    """The centre moves alone, from which draws are measured."""
    model.fit(ROWS + 0.5, epochs=0, verbose=0)


def train_on_batch(model):
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    model.train_on_batch(ROWS)


def initialize(model):
    model.initialize(ROWS)


def set_weights(model):
    model.set_weights([1.01 * weight for weight in model.get_weights()])


def load_weights(model):
    other = tfgmm.GaussianMixtureModel(2, 2, seed=3)
    other.save_weights("other.weights.h5")
    model.load_weights("other.weights.h5")


def assign(model):
    """As a training loop of one's own does it."""
    model.trainable_variables[0].assign_add(np.full(model.trainable_variables[0].shape, 1e-9))


MOVES = [fit, fit_no_epochs, train_on_batch, initialize, set_weights, load_weights, assign]


@pytest.mark.parametrize("move", MOVES)
def test_whatever_moves_the_posterior_drops_them(move, result, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = result.model
    move(model)
    assert model.exact is None and model.draws(9).posterior.method == "mean_field"
    assert model.stored_record().method == "mean_field"
    with pytest.raises(ValueError, match="`data` must be the rows that the model was fitted to"):
        model.draws(9, posterior="auto")
    assert result.exact is not None


def test_a_pickled_fit_gives_its_model_the_draws_again(result):
    assert pickle.loads(pickle.dumps(result.model)).exact is None
    copy = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(vars(copy)["model"].draws(9, seed=3).locs, result.draws(9, seed=3).locs)
    result.model.fit(ROWS + 0.5, epochs=1, verbose=0)
    moved = pickle.loads(pickle.dumps(result))
    assert moved.exact is not None and moved.model.exact is None


def test_a_saved_model_comes_back_without_them(result, tmp_path):
    result.model.save(tmp_path / "model.keras")
    loaded = tfgmm.load_model(tmp_path / "model.keras")
    assert loaded.exact is None and loaded.draws(9).posterior.method == "mean_field"
    with pytest.raises(ValueError, match="Received: none. Pass them, or use posterior="):
        loaded.draws(9, posterior="auto")
    assert (wider(loaded.draws(2_000, seed=0, data=ROWS, posterior="auto"))[:, 0] > 1.2).all()


@pytest.mark.parametrize(
    "options",
    [
        {"callbacks": [keras.callbacks.TerminateOnNaN()]},
        pytest.param({"polish_steps": 5}, marks=pytest.mark.slow),
    ],
)
def test_a_model_that_was_trained_has_them_too(options):
    fitted = tfgmm.fit_mixture(ROWS, 2, restarts=1, posterior="auto", **options)
    assert fitted.model is fitted.trained_model
    np.testing.assert_array_equal(fitted.model.draws(9, seed=3).locs, fitted.draws(9, seed=3).locs)


def test_fits_with_and_without_them_have_models_of_their_own():
    plain = tfgmm.fit_mixture(ROWS, 2, restarts=1, callbacks=[keras.callbacks.TerminateOnNaN()])
    exact = plain.with_posterior(ROWS, "auto")
    assert plain.model is plain.trained_model and exact.model is not plain.model
    assert (plain.model.exact, exact.model.exact) == (None, exact.exact)
    assert exact.with_posterior(ROWS, "mean_field").model.exact is None
