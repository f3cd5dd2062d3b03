"""Keras's own machinery around training: validation, callbacks, checkpoints, evaluation, single batches."""

from __future__ import annotations

import csv

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfgmm
from tfgmm import GaussianMixtureModel

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0]] * 30 + [[3.0, 1.0]] * 20, 0.7)
OTHER = np.random.default_rng(1).normal([[-3.0, 0.0]] * 6 + [[3.0, 1.0]] * 4, 0.7)


def compiled(learning_rate=0.05, **settings):
    model = GaussianMixtureModel(2, 2, seed=1)
    model.compile(keras.optimizers.Adam(learning_rate), **settings)
    return model


@pytest.fixture(scope="module")
def fitted():
    model = compiled()
    model.fit(ROWS, epochs=30, verbose=0)
    return model


# --- Epochs --------------------------------------------------------------------------------------------------


def test_epochs_and_initial_epoch_number_the_epochs_as_in_keras():
    model = compiled()
    assert model.fit(ROWS, epochs=2, verbose=0).epoch == [0, 1]
    assert model.fit(ROWS, epochs=5, initial_epoch=3, verbose=0).epoch == [3, 4]
    assert int(model.optimizer.iterations) == 4


def test_a_run_in_two_parts_ends_where_one_run_ends():
    whole, parts = compiled(run_eagerly=True), compiled(run_eagerly=True)
    whole.fit(ROWS, epochs=4, batch_size=20, verbose=0)
    parts.fit(ROWS, epochs=2, batch_size=20, verbose=0)
    parts.fit(ROWS, epochs=4, initial_epoch=2, batch_size=20, verbose=0)
    for value, expected in zip(parts.trainable_variables, whole.trainable_variables):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


# --- Validation ----------------------------------------------------------------------------------------------


def test_validation_rows_of_every_kind_give_what_evaluate_gives():
    model = compiled(learning_rate=1e-30, run_eagerly=True)
    model.fit(ROWS, verbose=0)
    expected = model.evaluate(OTHER, verbose=0, return_dict=True)
    kinds = {
        "array": OTHER,
        "1-tuple": (OTHER,),
        "dataset": tf.data.Dataset.from_tensor_slices(OTHER).batch(10),
        "DataFrame": pd.DataFrame(OTHER, columns=["a", "b"]),
    }
    for kind, validation_data in kinds.items():
        history = model.fit(ROWS, validation_data=validation_data, verbose=0).history
        found = {name: history[f"val_{name}"][0] for name in expected}
        assert found == pytest.approx(expected, rel=1e-6), kind
    rows = np.concatenate([ROWS, OTHER])
    split = compiled(learning_rate=1e-30, run_eagerly=True)
    history = split.fit(rows, validation_split=10 / 60, verbose=0).history
    assert split.num_data == 50
    assert history["val_loss"][0] == pytest.approx(expected["loss"], rel=1e-6)


def test_validation_is_scaled_by_the_training_rows_and_does_not_disturb_training():
    plain, watched = compiled(run_eagerly=True), compiled(run_eagerly=True)
    plain.fit(ROWS, epochs=3, verbose=0)
    history = watched.fit(ROWS, epochs=3, validation_data=OTHER, validation_batch_size=4, verbose=0).history
    np.testing.assert_array_equal(plain.locs, watched.locs)
    assert history["val_loss"] == pytest.approx([-value / 50 for value in history["val_elbo"]])


# --- evaluate ------------------------------------------------------------------------------------------------


def test_evaluate_gives_a_list_or_a_dict_and_the_same_numbers_every_time(fitted):
    as_list = fitted.evaluate(OTHER, verbose=0)
    as_dict = fitted.evaluate(OTHER, verbose=0, return_dict=True)
    assert as_list == [as_dict[name] for name in ("loss", "elbo", "log_likelihood", "kl")]
    assert fitted.evaluate(OTHER, verbose=0) == as_list
    assert fitted.test_on_batch(OTHER) == pytest.approx(as_list, rel=1e-6)


def test_evaluate_on_other_rows_keeps_the_n_of_training(fitted):
    few, many = (fitted.evaluate(rows, verbose=0, return_dict=True) for rows in (OTHER, np.tile(OTHER, (30, 1))))
    assert few["kl"] == many["kl"]
    for logs in (few, many):
        assert logs["loss"] == pytest.approx(-logs["elbo"] / 50, rel=1e-12)
        assert logs["elbo"] == pytest.approx(logs["log_likelihood"] - logs["kl"], rel=1e-12)
    # The same rows thirty times: another estimate of the same figure, with 300 draws instead of 10.
    draws = np.array([fitted(np.tile(OTHER, (30, 1)))[0].numpy().mean() for _ in range(30)])
    error = draws.std() * (1 + 30**0.5)
    assert abs(few["log_likelihood"] / 50 - draws.mean()) < 4 * error
    assert fitted.num_data == 50


def test_evaluate_sees_every_row_whatever_the_batch_size(fitted):
    rows = np.concatenate([OTHER, OTHER + 100.0])  # a row left out would show
    whole, batched = (fitted.evaluate(rows, batch_size=size, verbose=0)[0] for size in (20, 7))
    assert batched == pytest.approx(whole, rel=0.2)
    assert fitted.evaluate(OTHER, verbose=0)[0] < 0.1 * whole


# --- Callbacks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("monitor", "mode"), [("val_loss", "min"), ("elbo", "max")])
def test_early_stopping_watches_our_logs(monitor, mode):
    # From far away every epoch is better than the last; with steps of 1e-30 no epoch is much better.
    for learning_rate, min_delta, num_epochs in ((0.5, 0.0, 8), (1e-30, 1e9, 3)):
        model = compiled(learning_rate, run_eagerly=True).initialize(ROWS, start=[[-20.0, -20.0], [20.0, 20.0]])
        callback = keras.callbacks.EarlyStopping(monitor, mode=mode, min_delta=min_delta, patience=2)
        history = model.fit(ROWS, epochs=8, validation_data=OTHER, callbacks=[callback], verbose=0)
        assert len(history.epoch) == num_epochs


def test_checkpoints_logs_and_nan_watch_work_in_one_run(tmp_path):
    path = tmp_path / "best.keras"
    callbacks = [
        keras.callbacks.ModelCheckpoint(path, monitor="val_loss", mode="min", save_best_only=True),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TerminateOnNaN(),
    ]
    model = compiled(learning_rate=0.5)
    history = model.fit(ROWS, epochs=12, validation_data=OTHER, callbacks=callbacks, verbose=0).history
    best = tfgmm.load_model(path)
    assert best.evaluate(OTHER, verbose=0)[0] == pytest.approx(min(history["val_loss"]), rel=1e-5)
    with open(tmp_path / "log.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["elbo"]) for line in lines] == pytest.approx(history["elbo"])
    assert set(lines[0]) == {"epoch", *history}


def test_learning_rates_follow_schedules_and_plateaus():
    model = compiled(run_eagerly=True)
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    model.fit(ROWS, epochs=3, callbacks=[halve], verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05 / 8)
    model = compiled(run_eagerly=True)
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=1e9)
    model.fit(ROWS, epochs=3, callbacks=[plateau], verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05 / 100)
    schedule = keras.optimizers.schedules.CosineDecay(0.05, 10)
    model.compile(keras.optimizers.Adam(schedule), run_eagerly=True)
    model.fit(ROWS, epochs=10, verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0, abs=1e-6)


# --- Single batches, checkpoints of TensorFlow ---------------------------------------------------------------


def test_train_on_batch_is_one_step_of_fit():
    single, fit = (compiled(num_data=50).initialize(ROWS) for _ in range(2))
    logs = single.train_on_batch(ROWS, return_dict=True)
    history = fit.fit(ROWS, verbose=0).history
    assert logs == pytest.approx({name: values[0] for name, values in history.items()}, rel=1e-6)
    np.testing.assert_allclose(single.locs, fit.locs, rtol=1e-6)
    assert int(single.optimizer.iterations) == 1
    assert isinstance(single.train_on_batch(ROWS), list)


def test_a_tensorflow_checkpoint_brings_back_every_variable(tmp_path):
    model = compiled()
    model.fit(ROWS, epochs=2, verbose=0)
    before = [value.numpy() for value in (*model.variables, *model.optimizer.variables)]
    path = tf.train.Checkpoint(model=model).save(tmp_path / "checkpoint")
    model.fit(ROWS, epochs=2, verbose=0)
    assert not np.array_equal(model.variational.values().flat[0], before[0])
    tf.train.Checkpoint(model=model).restore(path).assert_existing_objects_matched()
    for value, expected in zip((*model.variables, *model.optimizer.variables), before):
        np.testing.assert_array_equal(value, expected)


# --- Tuples ----------------------------------------------------------------------------------------------------

WEIGHTS = np.arange(len(ROWS)) % 3 + 1.0
BATCHES = tf.data.Dataset.from_tensor_slices((ROWS, WEIGHTS)).batch(20)
FORMS = {
    "(x,)": ((ROWS,), False),
    "(x, None)": ((ROWS, None), False),
    "(x, None, None)": ((ROWS, None, None), False),
    "(x, None, w)": ((ROWS, None, WEIGHTS), True),
    "dataset of (x,)": (BATCHES.map(lambda rows, _: (rows,)), False),
    "dataset of (x, None)": (BATCHES.map(lambda rows, _: (rows, None)), False),
    "dataset of (x, None, w)": (BATCHES.map(lambda rows, weights: (rows, None, weights)), True),
    "dataset of whole weights": (BATCHES.map(lambda rows, weights: (rows, None, tf.cast(weights, tf.int32))), True),
    "stream of (x, None, w)": (BATCHES.map(lambda rows, weights: (rows, None, weights)).filter(lambda *_: True), True),
}


@pytest.mark.filterwarnings("ignore:.*ran out of data")
@pytest.mark.parametrize("form", FORMS)
def test_what_keras_takes_in_tuples_is_taken_as_rows_and_weights(form):
    data, is_weighted = FORMS[form]
    weights = WEIGHTS if is_weighted else None
    num_data = float(np.sum(WEIGHTS)) if is_weighted else len(ROWS)
    model, expected = (tfgmm.GaussianMixtureModel(2, 2, priors=tfgmm.Priors.from_data(ROWS), seed=0) for _ in range(2))
    for one in (model, expected):
        one.compile(num_data=num_data)
        one.initialize(ROWS)
    found = model.fit(data, epochs=3, validation_data=data, verbose=0).history
    swept = expected.fit(
        ROWS, sample_weight=weights, epochs=3, validation_data=(ROWS, None, weights), verbose=0
    ).history
    for name, values in swept.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, err_msg=name)
    figures = expected.evaluate(ROWS, sample_weight=weights, verbose=0)
    assert found["val_loss"][-1] == pytest.approx(figures[0], rel=1e-6)
    assert model.evaluate(data, verbose=0) == pytest.approx(figures, rel=1e-6)
    np.testing.assert_allclose(model.predict(data), expected.log_prob(ROWS), rtol=1e-5)
