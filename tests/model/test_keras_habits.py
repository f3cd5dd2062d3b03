"""What people do with any Keras model: it works here too, or is refused in words that say what to do."""

from __future__ import annotations

import importlib
import time

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfgmm

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0]] * 60 + [[3.0, 1.0]] * 40, 0.7)
PRIORS = tfgmm.Priors.from_data(ROWS)


def model_of(optimizer=None, kind=tfgmm.GaussianMixtureModel, **compiled):
    model = kind(2, 2, priors=PRIORS, seed=0)
    model.compile(optimizer, **compiled)
    return model


@pytest.fixture(scope="module")
def fitted():
    model = model_of()
    model.fit(pd.DataFrame(ROWS, columns=["a", "b"]), epochs=5, verbose=0)
    return model


# --- Arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", "mse"),
        ("loss_weights", [1.0]),
        ("metrics", ["accuracy"]),
        ("weighted_metrics", [keras.metrics.Mean()]),
        ("jit_compile", True),
        ("nonsense", 1),
    ],
)
def test_arguments_of_compile_that_a_mixture_has_no_use_for_are_refused(name, value):
    with pytest.raises(TypeError, match=rf"`{name}` must be .*Received: .*\. (Leave it out|Pass optimizer).*\.$"):
        model_of(**{name: value})


@pytest.mark.parametrize("loss", ["mse", keras.losses.MeanSquaredError(), keras.losses.mean_squared_error])
def test_a_loss_in_the_second_place_is_refused_as_a_loss(loss):
    with pytest.raises(TypeError, match=r"`loss` must be left out"):
        tfgmm.GaussianMixtureModel(2, 2, seed=0).compile("adam", loss)


def test_what_keras_has_where_nothing_is_asked_for_is_taken():
    nothing = {"loss": None, "loss_weights": None, "metrics": [], "weighted_metrics": None, "auto_scale_loss": True}
    for jit_compile in (None, False, "auto"):
        model_of(jit_compile=jit_compile, **nothing)


def test_the_arguments_of_keras_export_are_taken_or_refused(fitted, tmp_path):
    folder = fitted.export(tmp_path / "folder", "tf_saved_model", verbose=False, saved_model=False)
    assert (folder / "model_card.json").exists()
    for name, fix in (
        ("onnx", "export_onnx"),
        ("litert", "export_litert"),
        ("torch", "export_onnx.* or .*litert"),
    ):
        with pytest.raises(ValueError, match=rf"`format` must be .*Received: '{name}'\. Use tfgmm\.{fix}"):
            fitted.export(tmp_path / "other", format=name)
    with pytest.raises(ValueError, match=r"`input_signature` must be left out.*Received: .*\. Leave"):
        fitted.export(tmp_path / "other", input_signature=[tf.TensorSpec((None, 2))])


class Labelled(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return ROWS, ROWS


@pytest.mark.parametrize(
    "make",
    [lambda: (rows for rows in [ROWS]), lambda: iter([ROWS]), lambda: map(abs, [ROWS]), lambda: lambda: iter([ROWS])],
)
def test_rows_that_can_be_read_once_are_refused_with_the_line_that_mends_it(make, fitted):
    for call in (
        lambda: fitted.fit(make(), verbose=0),
        lambda: fitted.evaluate(make(), verbose=0),
        lambda: fitted.fit(ROWS, validation_data=make(), verbose=0),
    ):
        with pytest.raises(TypeError, match=r"must be rows.*Received: a .*from_generator\(function, .*\(None, 2\)"):
            call()


def of_torch(kind):
    data = importlib.import_module("torch.utils.data")
    return data.DataLoader(ROWS, 20) if kind == "DataLoader" else type("Rows", (data.Dataset,), {})()


@pytest.mark.parametrize(
    "make", [Labelled, lambda: of_torch("DataLoader"), lambda: of_torch("Dataset"), lambda: (Labelled(), None)]
)
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "predict_on_batch", "initialize", "validation"])
def test_datasets_of_keras_and_of_torch_are_refused_too(make, method, fitted):
    call = getattr(fitted, method, lambda data: fitted.fit(ROWS, validation_data=data, verbose=0))
    with pytest.raises(
        TypeError, match=r"`\w+` must be rows.*Received: a (Labelled|DataLoader|Rows).*from_generator\("
    ):
        call(make())


def test_scores_of_them_are_refused_with_what_to_do(fitted):
    for data in (Labelled(), of_torch("DataLoader")):
        for ask in (fitted.log_prob, lambda data: tfgmm.fit_mixture(data, 2)):
            with pytest.raises(
                TypeError, match=r"Received: \w+\.\w+\. Pass its rows as one array, or .*from_generator"
            ):
                ask(data)


def test_what_the_messages_say_works(fitted):
    spec = tf.TensorSpec((None, 2), tf.float64)
    loader = of_torch("DataLoader")
    batches = tf.data.Dataset.from_generator(lambda: map(np.asarray, loader), output_signature=spec)
    model = model_of(num_data=100)
    with pytest.warns(UserWarning, match="ran out of data"):  # Keras learns how long it is
        model.fit(batches, epochs=5, verbose=0)
    np.testing.assert_allclose(model.locs, fitted.locs, rtol=1e-6)


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "validation"])
def test_weights_of_another_shape_are_named(method, fitted):
    call = getattr(fitted, method, lambda data: fitted.fit(ROWS, validation_data=data, verbose=0))
    column = np.ones((100, 1))
    with pytest.raises(ValueError, match=r"weights.*Received: .*\(100, 1\).* Pass .*\[:, 0\]"):
        call((ROWS, None, column))
    batches = tf.data.Dataset.from_tensor_slices((ROWS, column)).batch(20).map(lambda rows, one: (rows, None, one))
    with pytest.raises(TypeError, match=r"must be a dataset of .*\(rows, None, weights\).*Received: weights .* Apply"):
        call(batches)
    with pytest.raises(TypeError, match=r"`sample_weight` must be left out for a tf\.data dataset\. .*Zip the rows"):
        call((tf.data.Dataset.from_tensor_slices(ROWS).batch(20), None, column[:, 0]))


def test_arguments_of_predict_and_of_steps_on_a_batch_are_those_of_keras(fitted):
    np.testing.assert_array_equal(fitted.predict(ROWS, 10, 0, None, []), fitted.log_prob(ROWS))
    with pytest.raises(TypeError, match=r"`callbacks` must be left out of predict.*Received: .*\. Leave"):
        fitted.predict(ROWS, callbacks=[keras.callbacks.Callback()])
    model = model_of(keras.optimizers.SGD(1e-3), num_data=100, run_eagerly=True)
    logs = model.train_on_batch(ROWS, None, None, None, True)
    assert sorted(logs) == sorted(model.metrics_names)
    with pytest.raises(TypeError, match="`class_weight` must be left out"):
        model.train_on_batch(ROWS, class_weight={0: 1.0})
    assert model.test_on_batch(ROWS, None, None, True)["kl"] == pytest.approx(float(model.kl()), rel=1e-6)


@pytest.mark.parametrize("kind", ["OneDeviceStrategy", "MirroredStrategy"])
def test_distribution_strategies_are_refused_by_their_name(kind, tmp_path):
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    strategy = strategy if kind == "OneDeviceStrategy" else tf.distribute.MirroredStrategy(["CPU:0"])
    plain = model_of(num_data=100)
    plain.save(tmp_path / "model.keras")
    with strategy.scope():
        inside = tfgmm.GaussianMixtureModel(2, 2, seed=0)
        assert "not fitted" in repr(inside)
        for method, call in (
            ("compile", inside.compile),
            ("fit", lambda: plain.fit(ROWS, verbose=0)),
            ("evaluate", lambda: plain.evaluate(ROWS, verbose=0)),
            ("load_model", lambda: tfgmm.load_model(tmp_path / "model.keras")),
        ):
            with pytest.raises(ValueError, match=rf"`{method}` must be called without .*Received: a .*{kind}\. Leave"):
                call()
    with pytest.raises(ValueError, match=kind):
        inside.compile()
    plain.fit(ROWS, verbose=0)  # outside it goes on as ever


# --- Logs, steps and callbacks -------------------------------------------------------------------------------------


def test_metrics_names_are_those_of_evaluate(fitted):
    by_name = dict(zip(fitted.metrics_names, fitted.evaluate(ROWS, verbose=0), strict=True))
    assert by_name == fitted.evaluate(ROWS, verbose=0, return_dict=True)
    assert list(by_name) == ["loss", "elbo", "log_likelihood", "kl"]


class MoreLogs(tfgmm.GaussianMixtureModel):
    def train_step(self, data):
        return {**super().train_step(data), "mine": tf.cast(self.step, tf.float32)}


class MoreLayers(tfgmm.GaussianMixtureModel):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.head = keras.layers.Dense(1)
        self.head.build((None, 2))


def test_further_logs_of_a_train_step_survive_the_grouping_of_steps():
    model = model_of(keras.optimizers.SGD(1e-3), MoreLogs)
    history = model.fit(ROWS, epochs=2, batch_size=20, verbose=0).history
    assert model.steps_per_execution == 5
    assert history["mine"] == [5.0, 10.0]  # of the last step
    assert set(history) == {"loss", "elbo", "log_likelihood", "kl", "mine"}


def test_a_train_step_that_closed_form_does_not_call_is_told():
    with pytest.warns(UserWarning, match=r"MoreLogs\.train_step is not called in closed form"):
        model_of(None, MoreLogs)
    model_of(None, MoreLayers)  # warnings are errors here


def test_a_mixture_takes_part_in_keras_functional_models(fitted):
    inputs = keras.Input((2,))
    log_probs, _ = fitted(inputs, sampling=False)
    rows = np.array([[0.0, 0.0], [1.0, -1.0]])
    found = keras.Model(inputs, log_probs).predict(rows, verbose=0)
    np.testing.assert_allclose(found, fitted(rows, sampling=False)[0], rtol=1e-6)
    with pytest.raises(ValueError, match=r"`x` must have shape \(B, 2\).* Received: shape \(None, 3\)"):
        fitted(keras.Input((3,)))


def test_a_layer_without_gradient_is_warned_of_by_keras_and_stays():
    model = model_of(keras.optimizers.SGD(1e-3), MoreLayers, run_eagerly=True)
    before, locs = model.head.kernel.numpy(), model.locs.numpy()
    with pytest.warns(UserWarning, match="Gradients do not exist for variables"):
        model.fit(ROWS, verbose=0)
    np.testing.assert_array_equal(model.head.kernel, before)
    assert np.abs(model.locs - locs).max() > 0


def test_keras_tensorboard_writes_steps_per_second_in_closed_form(tmp_path):
    board = keras.callbacks.TensorBoard(str(tmp_path), write_steps_per_second=True, write_graph=False)
    model = model_of()
    model.fit(ROWS, epochs=2, batch_size=20, verbose=0, callbacks=[board])
    [file] = (tmp_path / "train").glob("events*")
    tags = {value.tag for event in tf.compat.v1.train.summary_iterator(str(file)) for value in event.summary.value}
    assert "epoch_steps_per_second" in tags
    assert model.optimizer is None  # as before the fit


# --- Saving ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*HDF5")
def test_an_hdf5_file_keeps_the_posterior_and_the_names(fitted, tmp_path):
    for optimizer in (None, "adam"):
        model = model_of(optimizer, run_eagerly=True)
        model.fit(pd.DataFrame(ROWS, columns=["a", "b"]), verbose=0)
        path = tmp_path / "model.h5"
        model.save(str(path))
        loaded = tfgmm.load_model(path)
        assert (loaded.column_names, loaded.num_data, loaded.elbo) == (("a", "b"), 100, model.elbo)
        np.testing.assert_array_equal(loaded.log_prob(ROWS), model.log_prob(ROWS))
        assert not loaded.compiled
        with pytest.raises(ValueError, match=r"`filepath` must end in .*Received: .*model\.h5\. Use tfgmm\.load_model"):
            model_of().load_weights(path)


def test_tensorflow_saves_the_model_with_the_signature_of_an_export(fitted, tmp_path):
    tf.saved_model.save(fitted, str(tmp_path))
    answer = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](x=tf.constant(ROWS, tf.float32))
    np.testing.assert_allclose(answer["log_prob"], fitted.log_prob(ROWS), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(answer["responsibilities"], fitted.responsibilities(ROWS), atol=1e-6)
    np.testing.assert_array_equal(answer["assignment"], fitted.assign(ROWS))


# --- Debugging, speed ------------------------------------------------------------------------------------------------


def test_a_model_is_made_and_fitted_while_tensorflow_checks_numerics():
    tf.debugging.enable_check_numerics()
    try:
        for optimizer in (None, keras.optimizers.Adam(0.05)):
            model = model_of(optimizer, run_eagerly=True)
            assert model.elbo is None
            assert np.isfinite(model.fit(ROWS, epochs=2, verbose=0).history["loss"]).all()
            assert model.elbo is not None
    finally:
        tf.debugging.disable_check_numerics()


def test_outlier_scores_keep_their_table_until_the_posterior_changes(monkeypatch):
    model = model_of()
    model.fit(ROWS, epochs=3, verbose=0)
    asked = []
    of_mixture = tfgmm.scoring.scores.outlier_table
    monkeypatch.setattr("tfgmm.scoring.scores.outlier_table", lambda mixture: asked.append(1) or of_mixture(mixture))
    first = [float(model.outlier(row[None])[0]) for row in ROWS[:20]]
    assert len(asked) == 1
    np.testing.assert_array_equal(model.outlier(ROWS[:20]), np.float32(first))
    model.fit(ROWS, epochs=1, verbose=0)
    model.outlier(ROWS[:1])
    assert len(asked) == 2
    start = time.perf_counter()
    for _ in range(20):
        model.outlier(ROWS[:1])
    assert time.perf_counter() - start < 20 * 0.02  # 30 to 90 ms each before
