"""Bad input to the model and its training: the argument, what was received and what to do are named."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfgmm import GaussianMixtureModel, Priors

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0]] * 30 + [[3.0, 1.0]] * 20, 0.7)
METHODS = ("fit", "evaluate", "train_on_batch", "test_on_batch")


def compiled(optimizer=None, **settings):
    model = GaussianMixtureModel(2, 2, seed=1)
    model.compile(optimizer or keras.optimizers.Adam(0.05), **settings)
    return model


def with_value(value, row, column):
    rows = ROWS.copy()
    rows[row, column] = value
    return rows


def batches(rows=ROWS):
    return tf.data.Dataset.from_tensor_slices(rows).batch(20)


def refusal(call, *arguments, **options):
    """Returns the message of the ValueError or TypeError that the call raises."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call(*arguments, **options)
    return str(caught.value)


def assert_says(message, *words):
    for part in ("Received", *words):
        assert part in message, message
    assert message.rstrip().endswith("."), message


# --- The constructor -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["num_components", "num_features"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", None])
def test_a_size_that_is_no_positive_whole_number_is_refused(name, value):
    sizes = {"num_components": 2, "num_features": 2, name: value}
    assert_says(refusal(GaussianMixtureModel, **sizes), f"`{name}`", repr(value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("covariance", "diagonal"),
        ("weights", "uniform"),
        ("seed", -1),
        ("seed", 1.5),
        ("seed", 2**63),
        ("num_draws", 0),
        ("num_draws", 2.5),
        ("priors", {"loc_mean": 0.0}),
    ],
)
def test_a_bad_option_of_the_constructor_is_refused(name, value):
    shown = "dict" if name == "priors" else repr(value)
    assert_says(refusal(GaussianMixtureModel, 2, 2, **{name: value}), f"`{name}`", shown)


def test_priors_that_are_negative_or_do_not_fit_are_refused():
    for name in ("loc_scale", "precision_shape", "precision_rate", "weight_concentration"):
        assert_says(refusal(Priors, **{name: -1.0}), name, "-1.0")
    assert_says(refusal(GaussianMixtureModel, 2, 2, priors=Priors(loc_mean=(1.0, 2.0, 3.0))), "loc_mean", "3 numbers")
    assert_says(refusal(GaussianMixtureModel, 2, 2, priors=Priors(weight_concentration=(1.0,))), "weight_concentration")


@pytest.mark.parametrize("start", ["best", np.zeros((3, 2)), [[np.nan, 0.0], [1.0, 1.0]]])
def test_a_start_that_is_unknown_of_the_wrong_shape_or_not_finite_is_refused(start):
    assert_says(refusal(GaussianMixtureModel(2, 2).initialize, ROWS, start=start), "`start`")


# --- compile and fit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("learning_rate", [0.0, -1e-3, float("nan")])
def test_a_learning_rate_that_is_not_positive_is_refused(learning_rate):
    assert_says(refusal(compiled, keras.optimizers.Adam(learning_rate)), "learning_rate", str(learning_rate))


@pytest.mark.parametrize("method", METHODS)
def test_training_or_evaluating_before_compile_is_refused(method):
    assert_says(refusal(getattr(GaussianMixtureModel(2, 2), method), ROWS), f"`{method}`", "compile")


@pytest.mark.parametrize("method", METHODS[1:])
def test_evaluating_before_fit_asks_for_num_data(method):
    assert_says(refusal(getattr(compiled(), method), ROWS), "`num_data`", "fit", "compile(..., num_data=...)")


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True, "all", float("nan")])
def test_a_batch_size_that_is_no_positive_whole_number_is_refused(batch_size):
    assert_says(refusal(compiled().fit, ROWS, batch_size=batch_size), "`batch_size`", str(batch_size))


def test_batch_size_and_validation_split_are_refused_for_a_dataset():
    for options in ({"batch_size": 5}, {"validation_split": 0.1}):
        assert_says(refusal(compiled().fit, batches(), **options), "`batch_size`", "`validation_split`")


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, 0.999])
def test_a_validation_split_that_leaves_nothing_is_refused(share):
    assert_says(refusal(compiled().fit, ROWS, validation_split=share), "`validation_split`", str(share))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["y", "class_weight"])
def test_labels_and_weights_of_classes_are_refused(method, name):
    if name == "class_weight" and method != "fit":
        return
    message = refusal(getattr(compiled(num_data=50), method), ROWS, **{name: ROWS[:, 0]})
    assert_says(message, f"`{name}`", "left out")


def test_validation_data_with_labels_is_refused():
    message = refusal(compiled().fit, ROWS, validation_data=(ROWS, ROWS[:, :1]))
    assert_says(message, "`validation_data`", "label")


# --- Rows ----------------------------------------------------------------------------------------------------

BAD_ROWS = {
    "NaN": (with_value(np.nan, 41, 1), ("1 value", "row 41", "column 1")),
    "infinity": (with_value(-np.inf, 7, 0), ("1 value", "row 7", "column 0")),
    "NaN in a named column": (
        pd.DataFrame(with_value([np.nan, np.nan], slice(3, 5), 1), columns=["a", "waiting"]),
        ("2 values", "row 3", "'waiting'"),
    ),
    "three columns": (np.zeros((5, 3)), ("(5, 3)", "num_features=2")),
    "one axis": (ROWS[:, 0], ("(50,)",)),
    "no rows": (ROWS[:0], ("(0, 2)",)),
    "text column": (pd.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0]}), ("'a'",)),
    "text array": (np.array([["1", "2"]]), ("dtype",)),
    "None": (None, ("None",)),
    "dict": ({"a": [1.0]}, ("dict", "DataFrame")),
    "dataset with labels": (batches((ROWS, ROWS[:, :1])), ("label", ".map(")),
    "dataset of labels below 0": (
        batches((ROWS, ROWS[:, 0])),
        ("must be weights of 0 or more", "[1]` was taken for weights", "row 0"),
    ),
    "dataset of dicts": (batches({"a": ROWS}), (".map(",)),
    "dataset of single rows": (tf.data.Dataset.from_tensor_slices(ROWS), ("(2,)", ".batch(")),
    "dataset of text": (batches(np.array([["a", "b"]] * 30)), ("string",)),
    "dataset of three columns": (batches(np.zeros((5, 3))), ("(B, 2)", "3")),
    "dataset without rows": (batches().take(0), ("without rows",)),
    "dataset with NaN": (batches(with_value(np.nan, 41, 1)), ("row 41", "column 1")),
}

SEEN_LATE = ("None", "dataset with NaN", "dataset of labels below 0")  # or never: None validates nothing


@pytest.mark.parametrize("kind", BAD_ROWS)
@pytest.mark.parametrize("method", ["fit", "initialize"])
def test_bad_rows_are_refused_and_leave_the_model_untouched(kind, method):
    rows, words = BAD_ROWS[kind]
    model = compiled()
    assert_says(refusal(getattr(model, method), rows), "`x", *words)
    assert model.is_untouched and model.num_data == 0


@pytest.mark.parametrize("kind", [kind for kind in BAD_ROWS if kind not in SEEN_LATE])
def test_bad_rows_are_refused_by_evaluate_and_for_validation_by_their_name(kind):
    rows, words = BAD_ROWS[kind]
    assert_says(refusal(compiled(num_data=50).evaluate, rows, verbose=0), "`x`", *words)
    # Said before a single step is made where that can be known.
    model = compiled(run_eagerly=True)
    assert_says(refusal(model.fit, ROWS, validation_data=rows, verbose=0), "`validation_data`", *words)


# --- Trouble in the middle of training -----------------------------------------------------------------------


def stream(rows):
    """A dataset whose length nobody knows, so that its rows are only met while training."""
    spec = tf.TensorSpec((None, 2), tf.float64)
    return tf.data.Dataset.from_generator(
        lambda: (rows[start : start + 10] for start in range(0, 50, 10)), output_signature=spec
    )


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_nan_in_the_middle_of_a_stream_stops_training_after_the_last_good_step(run_eagerly, monkeypatch):
    monkeypatch.setattr(
        "tfgmm.data.survey.SAMPLE_ROWS", 10
    )  # else the look at its first 20,000 rows would find it before
    broken, whole = (compiled(num_data=50, run_eagerly=run_eagerly).initialize(batches()) for _ in range(2))
    message = refusal(broken.fit, stream(with_value(np.nan, 34, 1)), verbose=0)
    for words in ("finite", "NaN", "Drop or fill", "last good step"):
        assert words in message
    whole.fit(stream(ROWS), steps_per_epoch=3, verbose=0)
    for value, expected in zip(broken.trainable_variables, whole.trainable_variables):
        np.testing.assert_array_equal(value, expected)
    assert int(broken.optimizer.iterations) == int(whole.optimizer.iterations) == 3


def test_nan_in_a_stream_is_refused_in_our_words_for_an_untouched_model_too():
    message = refusal(compiled(num_data=50).fit, stream(with_value(np.nan, 34, 1)), verbose=0)
    for words in ("must hold finite numbers", "NaN", "Drop or fill"):
        assert words in message


@pytest.mark.parametrize("num_draws", [None, 4])
def test_an_absurd_learning_rate_never_leaves_nan_in_the_parameters(num_draws):
    model = GaussianMixtureModel(2, 2, seed=1, num_draws=num_draws)
    model.compile(keras.optimizers.Adam(1e3))
    try:
        model.fit(ROWS, epochs=40, verbose=0)
    except FloatingPointError as error:
        assert "at step" in str(error)
    for value in model.trainable_variables:
        assert np.isfinite(value).all()


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_a_loss_that_is_not_finite_names_the_step_and_moves_nothing(run_eagerly):
    model = compiled(run_eagerly=run_eagerly)
    model.fit(ROWS, epochs=2, verbose=0)
    next(found for found in model.trainable_variables if found.name == "log_beta").assign(np.full((2, 2), np.nan))
    locs, iterations = model.locs.numpy(), int(model.optimizer.iterations)
    with pytest.raises(FloatingPointError, match=r"not finite at step 3\. .*learning rate"):
        model.fit(ROWS, verbose=0)
    np.testing.assert_allclose(model.locs, locs, atol=1e-12)
    assert int(model.optimizer.iterations) == iterations
