"""An exported folder holds the model's numbers, and its card says what they are."""

from __future__ import annotations

import datetime
import hashlib
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from exports import PACKAGE_ROOT, D, Exported, card_of, fitted

import tfgmm

BATCH = np.random.default_rng(1).normal(size=(7, D)).astype(np.float32) * 3
SCORES = ("log_prob", "responsibilities", "assignment")
ONE_FIGURE = ("outlier", "predictive_log_prob")
GIVEN = {"given": tf.TensorSpec((D,), tf.bool, "given")}
# Signature -> its inputs beside x, and the shapes of its outputs
MORE_INPUTS = {
    "interval": (
        {"level": tf.TensorSpec((), tf.float32, "level")},
        {
            "log_prob_low": [None],
            "log_prob_high": [None],
            "responsibilities_low": [None, 2],
            "responsibilities_high": [None, 2],
        },
    ),
    "marginal_log_prob": (GIVEN, {"marginal_log_prob": [None]}),
    "conditional": (
        GIVEN,
        {
            "log_prob": [None],
            "weights": [None, 2],
            "means": [None, 2, D],
            "expectation": [None, D],
            "scales": [2, D],
        },
    ),
    "impute": ({}, {"imputed": [None, D]}),
}


def density_in_float64(folder: pathlib.Path, rows: np.ndarray) -> np.ndarray:
    """Returns the log density (N,) by a plain loop over parameters.npz: independent of the package."""
    with np.load(folder / "parameters.npz", allow_pickle=False) as numbers:
        weights, locs, precisions = numbers["weights"], numbers["locs"] + numbers["centre"], numbers["precisions"]
    joint = np.stack(
        [
            np.log(weight) + 0.5 * (np.log(tau) - np.log(2 * np.pi) - tau * (rows - mu) ** 2).sum(axis=1)
            for weight, mu, tau in zip(weights, locs, precisions)
        ]
    )
    return np.logaddexp.reduce(joint, axis=0)


# --- The same numbers


def test_parameters_alone_give_the_density(exported: Exported) -> None:
    rows = BATCH
    np.testing.assert_allclose(density_in_float64(exported.folder, rows), exported.model.log_prob(rows), rtol=1e-5)


def test_signatures_have_the_documented_names_types_and_shapes(exported: Exported) -> None:
    signatures = tf.saved_model.load(str(exported.folder)).signatures
    outputs = {
        "log_prob": tf.TensorSpec((None,), tf.float32, "log_prob"),
        "responsibilities": tf.TensorSpec((None, 2), tf.float32, "responsibilities"),
        "assignment": tf.TensorSpec((None,), tf.int64, "assignment"),
    }
    assert set(signatures) == {"serving_default", *SCORES, *ONE_FIGURE, *MORE_INPUTS, "sample"}
    rows = {"x": tf.TensorSpec((None, D), tf.float32, "x")}
    for name in ("serving_default", *SCORES):
        assert signatures[name].structured_input_signature == ((), rows)
        assert signatures[name].structured_outputs == (outputs if name == "serving_default" else {name: outputs[name]})
    for name in ONE_FIGURE:
        assert signatures[name].structured_input_signature == ((), rows)
        assert signatures[name].structured_outputs == {name: tf.TensorSpec((None,), tf.float32, name)}
    for name, (more, answers) in MORE_INPUTS.items():
        assert signatures[name].structured_input_signature == ((), rows | more)
        assert {key: spec.shape.as_list() for key, spec in signatures[name].structured_outputs.items()} == answers
        assert {spec.dtype for spec in signatures[name].structured_outputs.values()} == {tf.float32}
    scalars = {name: tf.TensorSpec((), tf.int64, name) for name in ("num_samples", "seed")}
    assert signatures["sample"].structured_input_signature == ((), scalars)
    (drawn,) = signatures["sample"].structured_outputs.values()
    assert drawn.dtype == tf.float32 and drawn.shape.as_list() == [None, D]


def test_saved_model_marks_rows_that_say_nothing_and_leaves_their_neighbours(exported: Exported) -> None:
    rows = BATCH.copy()
    rows[2], rows[4, 0], rows[5, 1] = np.nan, np.inf, np.nan
    found = tf.saved_model.load(str(exported.folder)).signatures["serving_default"](x=tf.constant(rows))
    good = np.array([row not in (2, 4) for row in range(7)])
    assert np.isnan(found["log_prob"].numpy()).tolist() == (~good).tolist()
    assert (found["assignment"].numpy() == -1).tolist() == (~good).tolist()
    np.testing.assert_allclose(found["log_prob"][good], exported.model.log_prob(rows[good]), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:the priors do not suit the data")
def test_rows_at_an_offset_of_1e8_score_as_float64_says(tmp_path: pathlib.Path) -> None:
    rows = np.random.default_rng(1).normal(1e8, 40.0, size=(200, D))
    model = fitted(rows, epochs=2)
    folder = tfgmm.export_model(model, tmp_path / "far")
    scorer = tfgmm.load_scorer(folder)
    np.testing.assert_array_equal(scorer.log_prob(rows), model.log_prob(rows))
    np.testing.assert_allclose(scorer.log_prob(rows), density_in_float64(folder, rows), rtol=1e-5)
    rounded = rows.astype(np.float32)
    served = tf.saved_model.load(str(folder)).signatures["log_prob"](x=tf.constant(rounded))["log_prob"]
    assert np.abs(rounded - rows).max() > 1.0  # float32 holds multiples of 8 there: the rows did change
    np.testing.assert_allclose(served, density_in_float64(folder, rounded.astype(np.float64)), rtol=1e-5)


# --- The card


def test_card_says_what_the_model_is_and_what_it_saw(exported: Exported) -> None:
    card, model = card_of(exported.folder), exported.model
    assert (card["format"], card["format_version"]) == ("tfgmm.mixture", 4)
    assert card["model"] == {
        "num_components": 2,
        "num_features": D,
        "covariance": "diag",
        "weights": "dirichlet",
        "column_names": ["width", "height", "depth"],
        "column_units": None,
    }
    assert card["priors"] == model.priors.to_dict()
    assert card["training"]["num_data"] == 300
    assert card["training"]["elbo_nats"] == model.elbo
    assert card["training"]["seed"] == 0
    assert card["training"]["data_summary"] == model.data_summary.to_dict()
    assert card["parameters"]["locs"] == {"shape": [2, D], "dtype": "float64"}
    assert card["parameters"]["drawn_locs"] == {"shape": [64, 2, D], "dtype": "float32"}
    assert set(card["versions"]) == {"tfgmm", "python", "tensorflow", "keras", "numpy"}
    assert card["versions"]["tensorflow"] == tf.__version__ and card["versions"]["tfgmm"] == tfgmm.__version__


def test_card_holds_the_units_of_the_columns(exported: Exported, tmp_path: pathlib.Path) -> None:
    folder = tfgmm.export_model(exported.model, tmp_path / "mixture", column_units=("mm", "mm", ""))
    assert tfgmm.load_scorer(folder).card["model"]["column_units"] == ["mm", "mm", ""]
    for units in (("mm",), "mm ", ("mm", "mm", 3), 7):
        with pytest.raises(ValueError, match="`column_units` must be 3 words, one per column. Received: "):
            tfgmm.export_model(exported.model, tmp_path / "other", column_units=units)
    assert not (tmp_path / "other").exists()


def test_card_is_dated_in_utc(exported: Exported) -> None:
    created = datetime.datetime.fromisoformat(card_of(exported.folder)["created"])
    assert created.utcoffset() == datetime.timedelta(0)
    age = datetime.datetime.now(datetime.UTC) - created
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=30)


def test_card_holds_size_and_checksum_of_every_other_file_and_was_written_last(exported: Exported) -> None:
    card_file = exported.folder / "model_card.json"
    others = [file for file in exported.folder.rglob("*") if file.is_file() and file != card_file]
    assert {"saved_model.pb", "parameters.npz"} < {file.name for file in others}
    assert card_of(exported.folder)["files"] == {
        file.relative_to(exported.folder).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in others
    }
    assert max(file.stat().st_mtime_ns for file in others) <= card_file.stat().st_mtime_ns


@pytest.mark.usefixtures("exported")  # what TensorFlow says once, at its first use, is said before
@pytest.mark.parametrize(("covariance", "most"), [("diag", 2**20), ("full", 2 * 2**20)])
def test_export_of_16_columns_and_32_components_is_small_and_says_nothing(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str], covariance: str, most: int
) -> None:
    model = tfgmm.GaussianMixtureModel(32, 16, covariance=covariance, seed=0)
    folder = tfgmm.export_model(model, tmp_path / "mixture")
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "parameters.npz"]
    assert sum(file.stat().st_size for file in files) < most
    assert capfd.readouterr() == ("", "")


def test_export_holds_no_path_of_this_machine(exported: Exported) -> None:
    for file in exported.folder.rglob("*"):
        if file.is_file():
            contents = file.read_bytes()
            for path in (PACKAGE_ROOT, exported.folder.parent, pathlib.Path.home()):
                assert str(path).encode() not in contents or len(path.parts) < 3, f"{file.name} names {path}"


# --- The call


def test_method_of_the_model_is_the_function(exported: Exported, tmp_path: pathlib.Path) -> None:
    exported.model.export(tmp_path / "mixture")
    ours, theirs = card_of(tmp_path / "mixture"), card_of(exported.folder)
    assert {**ours, "created": 0, "files": 0} == {**theirs, "created": 0, "files": 0}
    assert ours["files"]["parameters.npz"]["bytes"] == theirs["files"]["parameters.npz"]["bytes"]
    with pytest.raises(FileExistsError):
        exported.model.export(tmp_path / "mixture")
    exported.model.export(tmp_path / "mixture", overwrite=True)


def test_model_that_was_not_fitted_exports_and_its_card_says_so(tmp_path: pathlib.Path) -> None:
    model = tfgmm.GaussianMixtureModel(2, D, seed=0)
    folder = tfgmm.export_model(model, str(tmp_path / "mixture"))
    assert card_of(folder)["training"] == {"num_data": None, "elbo_nats": None, "seed": 0, "data_summary": None}
    rows = np.zeros((4, D))
    np.testing.assert_array_equal(tfgmm.load_scorer(folder).log_prob(rows), model.log_prob(rows))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_parameters_that_are_not_finite_are_refused_and_nothing_is_written(
    tmp_path: pathlib.Path, value: float
) -> None:
    model = tfgmm.GaussianMixtureModel(2, D, seed=0)
    model.variational.trained.variables.components[0].assign(np.full((2, D), value))
    with pytest.raises(ValueError, match=r"`model` must .* Received: locs .* Train it again"):
        tfgmm.export_model(model, tmp_path / "mixture")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", [None, "m.keras", keras.Sequential()])
def test_other_things_than_a_model_are_refused(tmp_path: pathlib.Path, model: Any) -> None:
    with pytest.raises(TypeError, match=r"`model` must be .* Received: \w+\. Pass"):
        tfgmm.export_model(model, tmp_path / "mixture")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("path", "kind"), [(3, TypeError), (None, TypeError), ("", ValueError), ("a\0b", ValueError)])
def test_paths_that_cannot_be_are_refused(exported: Exported, path: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"`path` must be .* Received: .* Pass"):
        tfgmm.export_model(exported.model, path)
    with pytest.raises(kind, match=r"`path` must be .* Received: .* Pass"):
        tfgmm.load_scorer(path)


def test_documentation_names_every_field_array_and_signature(exported: Exported) -> None:
    page = (PACKAGE_ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    card = card_of(exported.folder)
    fields = set(card)
    for part in ("model", "training", "priors", "versions"):
        fields |= set(card[part])
    fields |= {*card["training"]["data_summary"], *card["parameters"], *card["parameters"]["locs"]}
    fields |= {*next(iter(card["files"].values())), *tf.saved_model.load(str(exported.folder)).signatures}
    fields |= {"whiteners", "drawn_whiteners"}
    assert not {field for field in fields if f"`{field}`" not in page}
