"""Inputs that used to give numbers that look right, or no end: refused or said aloud."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgmm

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0]] * 50 + [[3.0, 1.0]] * 50, 0.5)


def model(num_features=2, num_components=2, **compiled):
    made = tfgmm.GaussianMixtureModel(num_components, num_features, seed=0)
    made.compile(keras.optimizers.Adam(0.05), **compiled)
    return made


def fitted():
    made = model()
    made.fit(ROWS, epochs=1, verbose=0)
    return made


def stream(rows, size=10):
    """Returns the rows as a dataset of batches whose length nobody knows."""
    return tf.data.Dataset.from_tensor_slices(rows).filter(lambda _: True).batch(size)


@pytest.mark.parametrize(("num_features", "shape"), [(2, (3, 1)), (1, (3, 5)), (2, (3, 5)), (2, (2,)), (2, (1, 3, 2))])
def test_call_refuses_columns_that_would_broadcast(num_features, shape):
    with pytest.raises(ValueError, match=rf"`x` must have shape \(B, {num_features}\).*Received"):
        model(num_features)(np.zeros(shape, np.float32))


def test_another_model_that_holds_a_mixture_is_not_compiled_by_xla(monkeypatch):
    """Keras chooses XLA for itself where there is a GPU and every layer says that it can."""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda: [tf.config.PhysicalDevice("one", "GPU")])
    plain = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2)])
    plain.compile("sgd", "mse", jit_compile="auto")
    assert plain.jit_compile

    class Holder(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder, self.mixture = keras.layers.Dense(2), tfgmm.GaussianMixtureModel(2, 2, seed=0)

        def call(self, x):
            log_likelihoods, kl = self.mixture(self.encoder(x))
            self.add_loss(kl)
            return log_likelihoods

    holder = Holder()
    holder.compile("sgd", "mse", jit_compile="auto")
    assert not holder.jit_compile and not holder.mixture.supports_jit
    monkeypatch.undo()
    assert np.isfinite(holder.fit(ROWS, np.zeros(len(ROWS)), epochs=1, verbose=0).history["loss"]).all()


ENDLESS = {
    "fit": (lambda made, rows: made.fit(rows, verbose=0), "steps_per_epoch"),
    "evaluate": (lambda made, rows: made.evaluate(rows, verbose=0), "steps="),
    "validation_data": (lambda made, rows: made.fit(ROWS, validation_data=rows, verbose=0), "validation_steps"),
    "log_prob": (lambda made, rows: made.log_prob(rows), "take"),
    "assign": (lambda made, rows: made.assign(rows), "take"),
}


@pytest.mark.parametrize("method", ENDLESS)
def test_endless_datasets_are_refused_with_the_argument_that_ends_them(method):
    call, fix = ENDLESS[method]
    with pytest.raises(ValueError, match=f"endless.*{fix}"):
        call(fitted(), tf.data.Dataset.from_tensor_slices(ROWS).batch(10).repeat())


def test_endless_datasets_are_evaluated_and_scored_by_steps():
    made, endless = fitted(), tf.data.Dataset.from_tensor_slices(ROWS).batch(10).repeat()
    np.testing.assert_array_equal(made.predict(endless, steps=3), made.log_prob(ROWS[:30]))
    assert np.isfinite(made.evaluate(endless, steps=3, verbose=0)).all()


def test_the_summary_of_a_stream_is_not_that_of_its_first_batch():
    made = model(num_data=100)
    made.fit(stream(ROWS), verbose=0, steps_per_epoch=10)
    np.testing.assert_allclose(made.data_summary.mean, ROWS.mean(axis=0))
    np.testing.assert_allclose(made.data_summary.scale, ROWS.std(axis=0))


def test_nan_in_a_stream_is_named_by_its_row_in_the_stream():
    rows = ROWS.copy()
    rows[70, 1] = np.nan
    with pytest.raises(ValueError, match="row 70, column 1"):
        model(num_data=100).fit(stream(rows), steps_per_epoch=10, verbose=0)


def test_predict_takes_steps_for_datasets_only():
    with pytest.raises(ValueError, match="`steps`.*Received: 2"):
        fitted().predict(ROWS, steps=2)


def test_predict_on_batch_is_predict():
    made = fitted()
    np.testing.assert_array_equal(made.predict_on_batch(ROWS), made.predict(ROWS))


@pytest.mark.parametrize("size", [0, -3, 2.5])
def test_validation_batch_size_is_checked(size):
    with pytest.raises(ValueError, match="`validation_batch_size`"):
        model().fit(ROWS, validation_data=ROWS, validation_batch_size=size, verbose=0)


def test_initialize_knows_the_num_data_given_to_compile_or_to_itself():
    assert model(num_data=5000).initialize(ROWS).num_data == 5000
    assert model(num_data=100).initialize(stream(ROWS)).num_data == 100
    assert model().initialize(stream(ROWS), num_data=70).num_data == 70


def test_a_clone_that_is_not_fitted_has_no_column_names():
    import pandas as pd

    made = model()
    made.fit(pd.DataFrame(ROWS, columns=["a", "b"]), verbose=0)
    clone = keras.models.clone_model(made)
    assert made.column_names == ("a", "b") and clone.column_names is None
    assert clone.log_prob(pd.DataFrame(ROWS, columns=["c", "d"])).shape == (100,)


def test_a_loss_beyond_float32_counts_as_diverged():
    made = tfgmm.GaussianMixtureModel(2, 2, seed=0)
    made.compile(keras.optimizers.SGD(1e9))
    with pytest.raises(FloatingPointError, match="at step"):
        made.fit(ROWS, epochs=5, verbose=0)
    assert np.isfinite(made.locs.numpy()).all()


ODD = {
    "constant": (np.column_stack([ROWS[:, 0], np.full(100, 7.0)]), 2, "column 1 has one value only"),
    "few rows": (ROWS[:3], 5, "3 distinct rows for 5 components"),
    "copies": (np.repeat([[-3.0, -2.0], [3.0, 2.0]], 50, axis=0), 3, "2 distinct rows for 3 components|few"),
    "far": (ROWS + 1e8, 2, "priors do not suit the data: column 0 has mean 1e"),
    "wide": (ROWS * 1e6, 2, "priors do not suit the data"),
    "narrow": (ROWS * 1e-6, 2, "priors do not suit the data"),
}


@pytest.mark.parametrize("case", ODD)
def test_data_that_says_little_is_fitted_with_a_warning(case):
    rows, num_components, words = ODD[case]
    made = model(num_components=num_components)
    with pytest.warns(UserWarning, match=words):
        made.fit(rows, epochs=1, verbose=0)
    assert all(np.isfinite(value).all() for value in made.get_weights())


def test_a_small_group_that_the_priors_hold_back_is_named_after_the_fit():
    rows = np.random.default_rng(0).normal([[0.0]] * 1000 + [[30.0]] * 20, 1.0)
    made = tfgmm.GaussianMixtureModel(2, 1, seed=0)
    made.compile()
    with pytest.warns(UserWarning, match="the priors decide where component .* towards 0,") as caught:
        made.fit(rows, epochs=60, verbose=0)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert made.locs.numpy().max() < 29.0
    made.trainable = False
    made.compile()
    with pytest.warns(UserWarning, match="nothing to train") as caught:  # it was said when it was fitted
        made.fit(rows, epochs=1, verbose=0)
    assert len(caught) == 1


LOADS = {
    "none": (lambda path: None, TypeError, "`path`"),
    "missing": (lambda path: path / "no.keras", FileNotFoundError, "does not exist"),
    "folder": (lambda path: path, ValueError, "load_scorer"),
    "cut": (lambda path: write(path / "m.keras", b"PK\x03\x04 cut"), ValueError, "cut short"),
}


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("case", LOADS)
def test_load_model_says_what_is_wrong_with_the_path(case, tmp_path):
    make, kind, words = LOADS[case]
    with pytest.raises(kind, match=words):
        tfgmm.load_model(make(tmp_path))


@pytest.mark.parametrize("optimizer", ["adamm", 3])
def test_unknown_optimizers_are_named(optimizer):
    with pytest.raises(ValueError, match="`optimizer`.*Received"):
        tfgmm.GaussianMixtureModel(2, 2).compile(optimizer)


@pytest.mark.parametrize("epochs", [1.5, -1, "two"])
def test_epochs_are_checked(epochs):
    with pytest.raises(ValueError, match="`epochs`"):
        model().fit(ROWS, epochs=epochs, verbose=0)


def test_start_must_hold_numbers():
    with pytest.raises(TypeError, match="`start`"):
        model().initialize(ROWS, start=[["a", "b"], ["c", "d"]])
