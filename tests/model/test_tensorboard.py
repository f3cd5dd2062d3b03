"""A run written for TensorBoard, read back with TensorBoard's own reader."""

from __future__ import annotations

import io
import pathlib
import sys
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

import tfgmm
from tfgmm.callbacks import MixtureBoard
from tfgmm.model.gradient_norms import GradientNorms
from tfgmm.model.tensorboard import density_image, posterior_values, rows_to_show

pytestmark = pytest.mark.usefixtures("no_figures_left")

RNG = np.random.default_rng(7)
NAMES = ["length (m)", "mass (kg)"]
ROWS = RNG.normal([[-3.0, 0.0]] * 60 + [[3.0, 10.0]] * 60, [0.7, 2.0])
FRAME = pd.DataFrame(ROWS, columns=NAMES)
LOGS = ["loss", "elbo", "log_likelihood", "kl"]
Events = dict[str, list[tuple[int, Any]]]


def read(folder: pathlib.Path) -> Events:
    """Returns (epoch, value) by tag, from all event files of a folder."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return {
        tag: [(event.step, tensor_util.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }


def scalars(events: Events, tag: str) -> list[float]:
    """Returns the values of a tag, once its epochs are known to count from 0."""
    assert [step for step, _ in events[tag]] == list(range(len(events[tag])))
    return [float(value) for _, value in events[tag]]


def steps(events: Events, tag: str) -> list[int]:
    return [step for step, _ in events[tag]]


def picture(value: Any) -> Image.Image:
    """Returns the image in an event: width, height, then the PNG itself."""
    image = Image.open(io.BytesIO(value[2]))
    assert (b"%d" % image.width, b"%d" % image.height) == (value[0], value[1])
    return image


def compiled(optimizer: Any = None, run_eagerly: bool = True) -> tfgmm.GaussianMixtureModel:
    model = tfgmm.GaussianMixtureModel(2, 2, seed=4, priors=tfgmm.Priors.from_data(ROWS))
    model.compile(optimizer, run_eagerly=run_eagerly)  # eagerly: a few steps are not worth a trace
    return model


@pytest.fixture(scope="module")
def board_of_a_fit(tmp_path_factory: pytest.TempPathFactory) -> tuple[tfgmm.FitResult, pathlib.Path]:
    folder = tmp_path_factory.mktemp("board") / "deep" / "run"
    board = MixtureBoard(folder, FRAME, every=3)
    start = [[-3.0, 0.0], [3.0, 10.0], [90.0, 90.0]]  # the last one gets no rows
    options: Any = {"weights": "stick_breaking", "start": start, "validation_data": FRAME[:20]}
    return tfgmm.fit_mixture(FRAME, 3, callbacks=[board], **options), folder


def test_scalars_of_both_parts_are_the_history(board_of_a_fit: Any) -> None:
    result, folder = board_of_a_fit
    for part, prefix in (("train", ""), ("validation", "val_")):
        events = read(folder / part)
        for name in LOGS:
            np.testing.assert_allclose(scalars(events, f"bound/{name}"), result.history[prefix + name], rtol=1e-6)
    assert set(read(folder / "validation")) == {f"bound/{name}" for name in LOGS}
    occupied = scalars(read(folder / "train"), "components/occupied")
    assert occupied[-1] == result.num_occupied and len(occupied) == len(result.history["loss"])


def test_training_that_goes_on_is_shown_at_its_last_epoch(tmp_path: pathlib.Path) -> None:
    compiled().fit(ROWS, initial_epoch=4, epochs=6, verbose=0, callbacks=[MixtureBoard(tmp_path, every=10)])
    assert steps(read(tmp_path / "train"), "density") == [5]


def test_closed_form_has_no_gradient_and_no_learning_rate(board_of_a_fit: Any) -> None:
    tags = read(board_of_a_fit[1] / "train")
    assert "density" in tags and not [tag for tag in tags if tag.startswith(("gradient_norm", "learning_rate"))]


def test_histograms_hold_the_posterior_of_the_components_in_use(board_of_a_fit: Any) -> None:
    result, folder = board_of_a_fit
    events, model = read(folder / "train"), result.model
    used = np.flatnonzero(model.mean_parameters().weights[0, 0] >= 0.01)
    assert len(used) == 2 < model.num_components  # the third has no rows, and its means lie anywhere
    assert events["weights"][-1][1][:, 2].sum() == 500 * 3
    for column, name in enumerate(NAMES):
        bars = events[f"means/{name}"][-1][1]
        assert bars[:, 2].sum() == 500 * len(used)
        # q(mu) is normal: its draws lie within 5 standard deviations of its means, and average to them
        locs, sds = model.locs.numpy()[used, column], model.scales.numpy()[used, column]
        assert (locs - 5 * sds).min() < bars[0, 0] < locs.min() and locs.max() < bars[-1, 1] < (locs + 5 * sds).max()
        middle = np.average(bars[:, :2].mean(axis=1), weights=bars[:, 2])
        assert abs(middle - locs.mean()) < np.ptp(bars[0, :2]) / 2
        sds_of_rows = [ROWS[:60, column].std(), ROWS[60:, column].std()]
        bars = events[f"standard deviations/{name}"][-1][1]
        assert bars[:, 2].sum() == 0.99 * 500 * len(used)
        assert bars[0, 0] < min(sds_of_rows) and max(sds_of_rows) < bars[-1, 1] < 2 * max(sds_of_rows)


def test_pictures_come_every_so_often_and_at_the_last_epoch(board_of_a_fit: Any) -> None:
    result, folder = board_of_a_fit
    last = len(result.history["loss"]) - 1
    events = read(folder / "train")
    expected = sorted({*range(0, last, 3), last})
    assert len(expected) > 1 and last % 3 != 0
    assert steps(events, "density") == steps(events, "weights") == steps(events, f"means/{NAMES[0]}") == expected
    image = picture(events["density"][-1][1])
    assert (image.size, len(events["density"][-1][1][2]) < 80_000) == ((512, 384), True)
    np.testing.assert_array_equal(np.asarray(image), density_image(result.model, ROWS))


def numpy_locs_gradient(model: tfgmm.GaussianMixtureModel, rows: np.ndarray, step: int) -> np.ndarray:
    """Returns the gradient of the loss by the means of q(mu), (K, D), row by row, given the draws of a step."""
    seed = tf.constant([model.seed, step], tf.int64)
    drawn = model.variational.trained.draw([len(rows)], seed, tf.float32)
    locs = (drawn.components.base + drawn.components.offset).numpy().astype(np.float64)
    sds = np.exp(-0.5 * drawn.components.log_precisions.numpy().astype(np.float64))
    of_likelihood = np.zeros((2, 2))
    for row, log_weight, means, widths in zip(rows, drawn.log_weights.numpy(), locs, sds):
        log_joint = log_weight - np.log(widths).sum(axis=1) - 0.5 * (((row - means) / widths) ** 2).sum(axis=1)
        responsibilities = np.exp(log_joint - log_joint.max())
        responsibilities /= responsibilities.sum()
        of_likelihood += responsibilities[:, None] * (row - means) / widths**2 / len(rows)
    prior = model.priors
    away, variances = model.locs.numpy() - np.array(prior.loc_mean), np.array(prior.loc_scale) ** 2
    # How far apart locations are is learned: the logarithm of a sum over lambda has the slope of its mean
    squares = ((away**2 + model.scales.numpy() ** 2) / variances).sum()
    of_each = [
        (scale**-2.0, scale**-away.size * np.exp(-0.5 * squares * scale**-2.0)) for scale in prior.loc_scale_grid
    ]
    precision = sum(value * share for value, share in of_each) / sum(share for _, share in of_each)
    return precision * away / variances / model.num_data - of_likelihood


def test_gradient_norm_is_that_of_a_loop_in_numpy_averaged_over_steps(tmp_path: pathlib.Path) -> None:
    model = compiled(keras.optimizers.SGD(1e-30), run_eagerly=False)  # so slow that the posterior stands still
    model.initialize(ROWS)
    rows = ROWS - model.centre
    norms = [
        np.linalg.norm(numpy_locs_gradient(model, rows[60 * part : 60 * part + 60], step))
        for step, part in enumerate((0, 1, 0, 1))
    ]
    history = model.fit(ROWS, batch_size=60, epochs=2, shuffle=False, verbose=0, callbacks=[MixtureBoard(tmp_path)])
    events = read(tmp_path / "train")
    assert abs(norms[0] / norms[1] - 1) > 0.01 and model.steps_per_execution == 2
    found = scalars(events, "gradient_norm/locs")
    np.testing.assert_allclose(found, [np.mean(norms[:2]), np.mean(norms[2:])], rtol=1e-4)
    assert {tag for tag in events if tag.startswith("gradient_norm")} == {
        f"gradient_norm/{variable.name}" for variable in model.trainable_variables
    }
    np.testing.assert_allclose(scalars(events, "learning_rate"), 1e-30, rtol=1e-6)
    # The step is compiled without norms again, and trains as it would have without the callback
    assert model.gradient_norms is None and model.train_function is model.watched_step.bare
    other = compiled(keras.optimizers.SGD(1e-30)).initialize(ROWS)
    losses = other.fit(ROWS, batch_size=60, epochs=2, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-6)


def test_each_step_is_traced_once_however_often_a_model_is_fitted(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces, update = [], GradientNorms.update

    def counted(self: GradientNorms, gradients: Any) -> None:
        traces.append(tf.executing_eagerly())
        update(self, gradients)

    monkeypatch.setattr(GradientNorms, "update", counted)
    monkeypatch.setattr(MixtureBoard, "_show", lambda self: None)
    model = compiled("sgd", run_eagerly=False)
    for number in range(2):
        model.fit(ROWS, verbose=0, callbacks=[MixtureBoard(tmp_path / str(number))])
        assert len(read(tmp_path / str(number) / "train")["gradient_norm/locs"]) == 1
    assert traces == [False]
    model.fit(ROWS, verbose=0)  # without the board, so without norms
    assert traces == [False]
    model.compile("sgd")
    model.fit(ROWS, verbose=0, callbacks=[MixtureBoard(tmp_path / "2")])
    assert traces == [False, False]


class Failing(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            raise RuntimeError("no")


def test_a_fit_that_fails_closes_its_files_and_another_goes_on_in_them(tmp_path: pathlib.Path) -> None:
    model, board = compiled(), MixtureBoard(tmp_path, every=3)
    with pytest.raises(RuntimeError, match="no"):
        model.fit(FRAME, epochs=4, verbose=0, callbacks=[board, Failing()])
    assert board._writers == {}
    assert len(scalars(read(tmp_path / "train"), "bound/elbo")) == 2
    history = model.fit(FRAME, initial_epoch=2, epochs=5, verbose=0, callbacks=[board]).history
    events = read(tmp_path / "train")
    np.testing.assert_allclose(scalars(events, "bound/elbo")[2:], history["elbo"], rtol=1e-6)
    assert steps(events, "density") == [0, 3, 4]


def test_a_failed_gradient_step_leaves_no_norms_behind(tmp_path: pathlib.Path) -> None:
    model = compiled("sgd")
    with pytest.raises(RuntimeError, match="no"):
        model.fit(FRAME, epochs=4, verbose=0, callbacks=[MixtureBoard(tmp_path), Failing()])
    assert model.gradient_norms is None
    assert len(scalars(read(tmp_path / "train"), "gradient_norm/log_scales")) == 2


def test_each_model_has_a_folder_of_its_own(tmp_path: pathlib.Path) -> None:
    board = MixtureBoard(tmp_path)
    losses = [compiled().fit(ROWS[:size], verbose=0, callbacks=[board]).history["loss"] for size in (120, 90)]
    found = [scalars(read(folder / "train"), "bound/loss") for folder in (tmp_path, tmp_path / "fit_2")]
    np.testing.assert_allclose(found, losses, rtol=1e-6)


@pytest.mark.parametrize(
    ("num_features", "covariance"), [(1, "diag"), (2, "tied"), pytest.param(3, "full", marks=pytest.mark.slow)]
)
def test_rows_are_shown_where_there_are_any(num_features: int, covariance: str) -> None:
    rows = RNG.normal([[0.0] * num_features] * 40 + [[9.0] * num_features] * 40)
    model = tfgmm.GaussianMixtureModel(2, num_features, covariance, seed=4).initialize(rows)
    bare, shown = density_image(model, None), density_image(model, rows)
    assert bare.shape == shown.shape == ((480, 480, 3) if num_features == 3 else (384, 512, 3))
    assert (bare != shown).mean() > 0.005 and bare.std() > 10
    tags = [tag for tag, _ in posterior_values(model)]
    assert tags[:3] == ["weights", "means/column 0", "standard deviations/column 0"]
    assert len(tags) == 1 + 2 * num_features


def test_rows_to_show_are_a_sample_in_the_order_of_the_models_columns() -> None:
    model = compiled()
    model.fit(FRAME, verbose=0)
    assert rows_to_show(None, model) is None
    np.testing.assert_array_equal(rows_to_show(FRAME[NAMES[::-1]], model), ROWS)
    many = RNG.normal(size=(20_500, 2))
    sample = rows_to_show(many, model)
    assert sample is not None and sample.shape == (20_000, 2)
    assert len(np.intersect1d(sample[:, 0], many[20_000:, 0])) > 400  # not the first ones alone
    endless = tf.data.Dataset.from_tensor_slices(ROWS).batch(50).repeat()
    shown = rows_to_show(endless, model)
    assert shown is not None and len(shown) == 20_000 and np.array_equal(np.unique(shown[:, 0]), np.unique(ROWS[:, 0]))


def test_what_cannot_be_is_refused_by_name(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for log_dir in ("", 3, None):
        with pytest.raises(TypeError, match=r"`log_dir` must be the path of a folder. Received: "):
            MixtureBoard(log_dir)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`every` must be"):
        MixtureBoard(tmp_path, every=0)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="`log_dir` must be a folder that can be written to"):
        compiled().fit(ROWS, verbose=0, callbacks=[MixtureBoard(tmp_path / "file")])
    with pytest.raises(ValueError, match="`data`"):
        compiled().fit(ROWS, verbose=0, callbacks=[MixtureBoard(tmp_path / "run", ROWS[:, :1])])
    assert not (tmp_path / "run").exists()
    monkeypatch.setitem(sys.modules, "tensorboard.summary.v2", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "tfgmm\[tensorboard\]"'):
        MixtureBoard(tmp_path)
