"""ONNX and LiteRT files give the numbers of the model, of SciPy, and nothing where they would not."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from assigned import assign_components, assign_weights
from exports import NAMES
from random_posteriors import random_components, random_weights
from scipy import special, stats

import tfgmm
from tfgmm.export import portable
from tfgmm.export.portable_density import PortableDensity
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.parameters import FORMS
from tfgmm.scoring import scores
from tfgmm.scoring.graph import sampling

K, D = 3, 4
CENTRE = np.array([0.3, -70.0, 1e3, 1e-3])
EXPORTS: dict[str, Callable[..., pathlib.Path]] = {".onnx": tfgmm.export_onnx, ".tflite": tfgmm.export_litert}
SUFFIXES = sorted(EXPORTS)

Scores = tuple[np.ndarray, np.ndarray]


def model_of(covariance: str, centre: np.ndarray = CENTRE) -> tfgmm.GaussianMixtureModel:
    """Returns a model with a random posterior whose rows are measured from `centre`."""
    model = tfgmm.GaussianMixtureModel(K, D, covariance=covariance, seed=0)
    assign_components(model, random_components(covariance)[1])
    assign_weights(model, random_weights("dirichlet")[1])
    model.stored_centre.assign(centre)
    return model


def scores_of(file: pathlib.Path, rows: np.ndarray) -> Scores:
    """Returns what the runtime of a file makes of rows (B, D) float32: log densities and responsibilities."""
    if file.suffix == ".onnx":
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        log_prob, responsibilities = session.run(["log_prob", "responsibilities"], {"x": rows})
        return log_prob, responsibilities
    interpreter = Interpreter(model_path=str(file))
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, rows.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, rows)
    interpreter.invoke()
    found = [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
    return tuple(sorted(found, key=np.ndim))


def scores_of_scipy(mixture: scores.MixtureDensity, rows: np.ndarray) -> Scores:
    """Returns the same in float64, one SciPy distribution per component."""
    sds, covariances = FORMS[COMPONENTS[mixture.covariance].form].covariances(mixture.components)
    covariances = np.stack([np.diag(line**2) for line in sds]) if covariances is None else covariances
    joints = np.stack(
        [
            log_weight + stats.multivariate_normal(loc + mixture.centre, covariance).logpdf(rows.astype(np.float64))
            for log_weight, loc, covariance in zip(mixture.log_weights, mixture.components["locs"], covariances)
        ],
        axis=1,
    )
    return special.logsumexp(joints, axis=1), special.softmax(joints, axis=1)


def rows_of(model: tfgmm.GaussianMixtureModel) -> np.ndarray:
    """Returns 100 rows that the model draws, zeros, and rows 1e4 standard deviations away, float32."""
    sds = FORMS[COMPONENTS[model.covariance].form].covariances(model.plug_in().components)[0]
    away = 1e4 * sds[0] * np.array([[1, 1, 1, 1], [-1, 1, 0, 0], [0, 0, 0, -1]])
    drawn = model.sample(100, seed=1)
    return np.concatenate([drawn, np.zeros((2, D)), model.centre + away]).astype(np.float32)


# What reaches the exporters has one form for the four shapes without matrices; LiteRT takes a second for each
OF_ONE_FORM = ("spherical", "tied_spherical", "tied_diag")
FILES = [
    pytest.param(
        (covariance, suffix),
        id=f"{covariance}{suffix}",
        marks=[pytest.mark.slow] if suffix == ".tflite" and covariance in OF_ONE_FORM else [],
    )
    for covariance in COMPONENTS
    for suffix in SUFFIXES
]


@pytest.fixture(scope="module", params=FILES)
def exported(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pathlib.Path]:
    """A model of every covariance shape, and its file of either kind."""
    covariance, suffix = request.param
    model = model_of(covariance)
    return model, EXPORTS[suffix](model, tmp_path_factory.mktemp("portable") / f"m{suffix}")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, pathlib.Path]]:
    """A scorer with column names, and its two files by suffix."""
    from exports import model_of

    folder = tmp_path_factory.mktemp("one")
    scorer = tfgmm.load_scorer(tfgmm.export_model(model_of(0), folder / "export"))
    return scorer, {suffix: export(scorer, folder / f"m{suffix}") for suffix, export in EXPORTS.items()}


# --- The same numbers


def test_random_zero_and_extreme_rows_get_the_numbers_of_the_model_and_of_scipy(exported: Any) -> None:
    model, file = exported
    rows = rows_of(model)
    log_prob, responsibilities = scores_of(file, rows)
    assert log_prob.dtype == responsibilities.dtype == np.float32
    for wanted in ((model.log_prob(rows), model.responsibilities(rows)), scores_of_scipy(model.plug_in(), rows)):
        np.testing.assert_allclose(log_prob[:100], wanted[0][:100], rtol=0, atol=1e-4)
        np.testing.assert_allclose(log_prob[100:], wanted[0][100:], rtol=1e-4)  # down to -2e8: float32 has 7 digits
        np.testing.assert_allclose(responsibilities, wanted[1], rtol=0, atol=1e-4)
    assert log_prob[100:].max() < -1e3 and log_prob[:100].min() > -40


def test_any_number_of_rows(exported: Any) -> None:
    model, file = exported
    rows = model.sample(1000, seed=2).astype(np.float32)
    expected = model.log_prob(rows)
    for num_rows in (1, 7, 1000):
        found = scores_of(file, rows[:num_rows])
        assert found[1].shape == (num_rows, K)
        np.testing.assert_allclose(found[0], expected[:num_rows], rtol=0, atol=1e-4)
    if file.suffix == ".onnx":
        none = scores_of(file, rows[:0])
        assert none[0].shape == (0,) and none[1].shape == (0, K)


@pytest.mark.parametrize("shape", [(2, 1), (2, 4), (3,), (1, 2, 3), (6, 1)])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_of_another_shape_are_refused(one: Any, suffix: str, shape: tuple[int, ...]) -> None:
    """One column would stand in for all three."""
    rows = np.ones(shape, np.float32)
    with pytest.raises((RuntimeError, onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument)):
        scores_of(one[1][suffix], rows)
    if suffix == ".tflite":
        with pytest.raises(RuntimeError):
            Interpreter(model_path=str(one[1][suffix])).get_signature_runner("serving_default")(x=rows)


def test_rows_of_many_columns_are_refused_where_one_is_wanted(tmp_path: pathlib.Path) -> None:
    file = tfgmm.export_litert(tfgmm.GaussianMixtureModel(2, 1, seed=0), tmp_path / "m.tflite")
    assert scores_of(file, np.ones((5, 1), np.float32))[0].shape == (5,)
    with pytest.raises(RuntimeError):
        scores_of(file, np.ones((1, 5), np.float32))


def test_a_row_that_is_not_finite_is_marked_and_its_neighbours_are_not(exported: Any) -> None:
    model, file = exported
    rows = model.sample(6, seed=3).astype(np.float32)
    before = scores_of(file, rows)
    rows[1, 0], rows[3, 3], rows[4, 2] = np.nan, np.inf, -np.inf
    after = scores_of(file, rows)
    good = [0, 2, 5]
    for was, found in zip(before, after):
        np.testing.assert_array_equal(found[good], was[good])
        assert np.isnan(found[[1, 3, 4]]).all()


def test_rows_beyond_the_squares_of_float32_are_finite(exported: Any) -> None:
    model, file = exported
    rows = np.array([[1e17, 0, 0, 0], [0, 1e30, 0, -1e30], [3e38, -3e38, 3e38, 0]], np.float32)
    log_prob, responsibilities = scores_of(file, rows)
    np.testing.assert_allclose(log_prob, model.log_prob(rows), rtol=1e-4)
    assert (log_prob[1:] == np.finfo(np.float32).min).all()  # held there, as the model holds it
    np.testing.assert_allclose(responsibilities.sum(axis=1), 1.0, rtol=1e-6)
    if not model.covariance.startswith("tied"):  # tied components differ in a digit that float32 has not
        np.testing.assert_allclose(responsibilities, model.responsibilities(rows), rtol=0, atol=1e-4)


class Mixture:
    """What the exporters ask of a model, at parameters of choice."""

    column_names = None

    def __init__(self, mixture: scores.MixtureDensity) -> None:
        self.plug_in = lambda: mixture


def tight(covariance: str) -> scores.MixtureDensity:
    """Returns components of 1e-4 of the range, at an offset of 33 ranges."""
    generator = np.random.default_rng(7)
    locs = generator.uniform(-0.5, 0.5, (K, D))
    roots = 1e-4 * (np.eye(D) + 0.3 * np.tril(generator.normal(size=(K, D, D)), -1))
    shape = {"whiteners": np.linalg.inv(roots)} if covariance == "full" else {"precisions": np.full((K, D), 1e8)}
    return scores.MixtureDensity(covariance, np.full(D, 100 / 3), np.log([0.2, 0.3, 0.5]), {"locs": locs, **shape})


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_tight_components_far_from_zero(tmp_path: pathlib.Path, covariance: str, suffix: str) -> None:
    mixture = tight(covariance)
    file = EXPORTS[suffix](Mixture(mixture), tmp_path / f"m{suffix}")
    rows = sampling.sample_rows(mixture, tf.constant(300), tf.constant([3, 0], tf.int64)).numpy().astype(np.float32)
    found = scores_of(file, rows)
    for score, values in zip(("log_prob", "responsibilities"), found):
        np.testing.assert_allclose(values, scores.score_data(mixture, rows, score), rtol=0, atol=1e-4)
    one_rounding = (rows.astype(np.float64) - mixture.centre).astype(np.float32)
    around_zero = mixture._replace(centre=np.zeros(D))
    np.testing.assert_allclose(found[0], scores_of_scipy(around_zero, one_rounding)[0], rtol=0, atol=1e-4)


# --- The files


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_scorer_gives_the_file_of_its_model(one: Any, suffix: str) -> None:
    scorer, files = one
    rows = scorer.sample(20, seed=0).astype(np.float32)
    np.testing.assert_allclose(scores_of(files[suffix], rows)[0], scorer.log_prob(rows), rtol=0, atol=1e-4)


def test_names_shapes_and_notes_of_the_onnx_file(one: Any) -> None:
    file = onnx.load(one[1][".onnx"])
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*file.graph.input, *file.graph.output)
    }
    assert shapes == {"x": ["rows", 3], "log_prob": ["rows"], "responsibilities": ["rows", 2]}
    notes = {note.key: note.value for note in file.metadata_props}
    assert notes.pop("column_names") == json.dumps(list(NAMES))
    assert notes == {"tfgmm_version": tfgmm.__version__, "covariance": "diag"}
    assert {node.domain for node in file.graph.node} <= {"", "ai.onnx"}


def test_names_of_the_litert_file(one: Any) -> None:
    interpreter = Interpreter(model_path=str(one[1][".tflite"]))
    names = {"inputs": ["x"], "outputs": ["log_prob", "responsibilities"]}
    assert interpreter.get_signature_list() == {"serving_default": names}
    runner = interpreter.get_signature_runner("serving_default")
    assert runner(x=np.zeros((5, 3), np.float32))["responsibilities"].shape == (5, 2)  # resizes by itself


# --- What is refused


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_there_is_replaced_only_when_asked_and_without_a_word(
    one: Any, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str], suffix: str
) -> None:
    target, export = tmp_path / f"m{suffix}", EXPORTS[suffix]
    (tmp_path / f".m{suffix}.999999999.abc.writing").mkdir()  # left by an export that was killed
    target.write_text("mine")
    with pytest.raises(FileExistsError, match="`path` must be a new file unless overwrite=True.*Received"):
        export(one[0], target)
    assert target.read_text() == "mine"
    assert export(one[0], str(target), overwrite=True) == target
    rows = np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(scores_of(target, rows)[0], scores_of(one[1][suffix], rows)[0])
    assert os.listdir(tmp_path) == [f"m{suffix}"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_suffixes_models_and_paths_are_refused(one: Any, tmp_path: pathlib.Path, suffix: str) -> None:
    export = EXPORTS[suffix]
    with pytest.raises(ValueError, match=f"`path` must be a file name that ends in {suffix}. Received: '.*m.pb'"):
        export(one[0], tmp_path / "m.pb")
    with pytest.raises(TypeError, match="`path` must be a path. Received: int"):
        export(one[0], 3)
    with pytest.raises(TypeError, match="`model` must be .*Received: dict"):
        export({}, tmp_path / f"m{suffix}")
    broken = tight("diag")
    broken.components["locs"][0, 0] = np.nan
    with pytest.raises(ValueError, match="finite parameters. Received: locs with NaN"):
        export(Mixture(broken), tmp_path / f"m{suffix}")
    (tmp_path / "file").touch()
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(FileExistsError, match="`path` must be a file. Received: .*, a folder"):
        export(one[0], tmp_path / f"folder{suffix}", overwrite=True)
    with pytest.raises(OSError, match="`path` must be a file that can be written. Received: "):
        export(one[0], tmp_path / "file" / f"m{suffix}")
    assert sorted(os.listdir(tmp_path)) == ["file", f"folder{suffix}"]


def test_correlations_that_float32_cannot_hold_leave_no_file(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "m.onnx"
    target.write_text("mine")
    whiteners = np.linalg.inv(np.linalg.cholesky(np.ones((D, D)) + 1e-8 * np.eye(D)))[None]
    components = {"locs": tight("diag").components["locs"], "whiteners": whiteners}
    mixture = tight("diag")._replace(covariance="tied", components=components)
    with pytest.raises(RuntimeError, match="float32 can hold. Received: .*log densities that differ by .*export_model"):
        tfgmm.export_onnx(Mixture(mixture), target, overwrite=True)
    assert os.listdir(tmp_path) == [target.name] and target.read_text() == "mine"


def test_a_file_that_gives_other_memberships_is_not_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nearly(self: PortableDensity, x: Any) -> dict[str, Any]:
        right = call(self, x)
        return right | {"responsibilities": right["responsibilities"] * 0.999}

    call = PortableDensity.call
    monkeypatch.setattr(PortableDensity, "call", nearly)
    with pytest.raises(RuntimeError, match="responsibilities that differ by 0.001"):
        tfgmm.export_litert(Mixture(tight("diag")), tmp_path / "m.tflite")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("suffix", "words"), [(".onnx", r"onnxruntime.*tfgmm\[onnx\]"), (".tflite", r"ai_edge_litert.*tfgmm\[litert\]")]
)
def test_an_operation_that_the_runtime_has_not_is_found_before_the_file_is_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, suffix: str, words: str
) -> None:
    def with_cholesky(self: PortableDensity, x: Any) -> dict[str, Any]:
        right = call(self, x)
        root = tf.linalg.cholesky(tf.matmul(x, x, transpose_a=True) + 1e6 * tf.eye(D))
        return right | {"log_prob": right["log_prob"] + 1e-30 * root[0, 0]}

    call = PortableDensity.call
    monkeypatch.setattr(PortableDensity, "call", with_cholesky)
    with pytest.raises(RuntimeError, match=f"`model` must be a mixture that {words}"):
        EXPORTS[suffix](Mixture(tight("diag")), tmp_path / f"m{suffix}")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("suffix", "missing", "words"),
    [
        (".onnx", "tf2onnx", r"`export_onnx` needs the packages onnx, tf2onnx, onnxruntime. .*\"tfgmm\[onnx\]\""),
        (".tflite", "ai_edge_litert", r"`export_litert` needs the packages ai_edge_litert. .*\"tfgmm\[litert\]\""),
    ],
)
def test_missing_extras_are_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, suffix: str, missing: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # as if it were not installed
    with pytest.raises(ImportError, match=words) as caught:
        EXPORTS[suffix](Mixture(tight("diag")), tmp_path / f"m{suffix}")
    assert f"Received: import of {missing} halted" in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_the_trial_has_the_rows_that_break_files() -> None:
    mixture = model_of("full").plug_in()
    rows = portable._trial_rows(mixture)
    assert rows.dtype == np.float32 and np.isnan(rows[-1]).all() and np.isfinite(rows[:-1]).all()
    log_prob, _ = scores_of_scipy(mixture, rows[:-1])
    assert log_prob[-1] < -1e6 and log_prob[:-2].min() > -50


@pytest.mark.slow
def test_the_saved_model_is_converted_only_as_the_page_says(tmp_path: pathlib.Path) -> None:
    folder = str(tfgmm.export_model(model_of("full"), tmp_path / "mixture"))

    def convert(name: str, sets: list[Any]) -> bytes:
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[name])
        converter.target_spec.supported_ops = sets
        return converter.convert()

    own, linked = tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS
    for name in ("log_prob", "interval", "outlier"):
        with pytest.raises(Exception, match=r"TensorList|flex op|static|FlatBuffer"):
            convert(name, [own])
        if name != "outlier":
            assert convert(name, [own, linked])
    with pytest.raises(Exception, match="LowerBound"):
        convert("outlier", [own, linked])
