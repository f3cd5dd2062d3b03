"""A model in a .keras file: the same numbers in a fresh process, training goes on, bad files are named."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import subprocess
import sys

import h5py
import keras
import numpy as np
import pandas as pd
import pytest

import tfgmm
from tfgmm import GaussianMixtureModel, Priors

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0]] * 30 + [[3.0, 1.0]] * 20, 0.7)

# Trains from a seed, or goes on from a file; prints what came of it.
PROGRAM = """
import hashlib, json, sys
import keras, numpy as np
from tfgmm import GaussianMixtureModel, load_model

rows = np.random.default_rng(0).normal([[-3.0, 0.0]] * 30 + [[3.0, 1.0]] * 20, 0.7)

def digest(model):
    return hashlib.sha256(b"".join(np.asarray(value).tobytes() for value in model.get_weights())).hexdigest()

model = GaussianMixtureModel(2, 2, seed=5)
model.compile(keras.optimizers.Adam(0.05))
model.fit(rows, epochs=3, batch_size=20, verbose=0)
found = {"trained": digest(model)}
path, task = sys.argv[1:]
if task == "save":
    model.save(path)
else:
    found["log_prob_by_keras"] = keras.saving.load_model(path).log_prob(rows).tolist()
    model = load_model(path)
found["log_prob"] = model.log_prob(rows).tolist()
found["evaluate"] = model.evaluate(rows, verbose=0)
found["iterations"] = int(model.optimizer.iterations)
model.fit(rows, epochs=2, batch_size=20, verbose=0)
found["went_on"] = digest(model)
found["iterations_after"] = int(model.optimizer.iterations)
print(json.dumps(found))
"""


def fresh_process(*arguments, **environment):
    root = str(pathlib.Path(tfgmm.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path, **environment}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def run_program(*arguments, **environment):
    done = fresh_process("-c", PROGRAM, *map(str, arguments), **environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    saved = run_program(path, "save", PYTHONHASHSEED="1")
    return saved, run_program(path, "load", PYTHONHASHSEED="2")


def fitted(rows=ROWS, **arguments):
    model = GaussianMixtureModel(2, 2, **{"seed": 1, **arguments})
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(rows, epochs=3, verbose=0)
    return model


# --- Fresh processes -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_in_every_process(two_processes):
    assert two_processes[0]["trained"] == two_processes[1]["trained"]


def test_a_saved_model_scores_the_same_rows_the_same_in_a_fresh_process(two_processes):
    saved, loaded = two_processes
    assert loaded["log_prob"] == loaded["log_prob_by_keras"] == saved["log_prob"]
    assert loaded["evaluate"] == saved["evaluate"]


def test_a_saved_model_goes_on_training_as_if_it_had_never_stopped(two_processes):
    saved, loaded = two_processes
    assert (loaded["iterations"], loaded["iterations_after"]) == (9, 15)
    assert loaded["went_on"] == saved["went_on"]


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        pytest.param("KERAS_BACKEND", "jax", "KERAS_BACKEND=tensorflow", marks=pytest.mark.slow),
        pytest.param("TF_USE_LEGACY_KERAS", "1", "Unset it", marks=pytest.mark.slow),
    ],
)
def test_an_environment_that_cannot_work_is_an_import_error_of_our_own(name, value, fix):
    done = fresh_process("-c", "import tfgmm; tfgmm.GaussianMixtureModel", **{name: value})
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: tfgmm needs Keras")
    assert name in last and value in last and fix in last


# --- In this process -----------------------------------------------------------------------------------------


def test_a_file_holds_everything_that_makes_the_model(tmp_path):
    frame = pd.DataFrame(ROWS, columns=["eruptions", "waiting"])
    model = fitted(frame, num_draws=3, priors=Priors(loc_mean=(0.5, 0.0), loc_scale=2.0))
    model.save(tmp_path / "model.keras")
    loaded = tfgmm.load_model(str(tmp_path / "model.keras"))
    assert loaded.get_config() == model.get_config()
    assert loaded.column_names == ("eruptions", "waiting")
    assert repr(loaded) == repr(model)
    assert (loaded.num_data, loaded.elbo) == (model.num_data, model.elbo)
    for value, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)
    for value, expected in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert loaded.evaluate(frame, verbose=0) == model.evaluate(frame, verbose=0)


def test_fit_does_not_restart_a_loaded_model(tmp_path):
    model = GaussianMixtureModel(2, 2, seed=1).initialize(ROWS, start=[[30.0, 30.0], [40.0, 40.0]])
    model.save(tmp_path / "model.keras")
    loaded = tfgmm.load_model(tmp_path / "model.keras")
    assert not loaded.is_untouched and not loaded.compiled
    loaded.compile(keras.optimizers.Adam(1e-6))
    loaded.fit(ROWS, verbose=0)
    np.testing.assert_allclose(loaded.locs, [[30, 30], [40, 40]], atol=1e-4)


def test_an_unfitted_model_comes_back_untouched_and_compiled_as_it_was(tmp_path):
    model = GaussianMixtureModel(2, 2, seed=1)
    model.compile(keras.optimizers.Adam(0.02), num_data=77, steps_per_execution=2)
    model.save(tmp_path / "model.keras")
    loaded = tfgmm.load_model(tmp_path / "model.keras")
    assert loaded.is_untouched and loaded.num_data == 77
    assert loaded.get_compile_config() == model.get_compile_config()
    assert loaded.steps_per_execution == 2


def test_saved_weights_load_into_another_model(tmp_path):
    model, other = fitted(), GaussianMixtureModel(2, 2, seed=8)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5", skip_mismatch=False)
    np.testing.assert_array_equal(other.log_prob(ROWS), model.log_prob(ROWS))


def swept(rows=ROWS):
    model = GaussianMixtureModel(2, 2, seed=1)
    model.compile()
    model.fit(rows, epochs=3, verbose=0)
    return model


@pytest.mark.parametrize("name", ["model.weights.h5", "model.keras", "model.weights.json"])
def test_weights_bring_the_names_of_the_columns_and_the_summary(name, tmp_path):
    frame = pd.DataFrame(ROWS, columns=["eruptions", "waiting"])
    model, other = swept(frame), GaussianMixtureModel(2, 2, seed=8)
    save = model.save if name.endswith(".keras") else model.save_weights
    save(tmp_path / name, **({"max_shard_size": 1.0} if name.endswith("json") else {}))
    other.load_weights(tmp_path / name)
    assert (other.column_names, other.num_data, other.elbo) == (("eruptions", "waiting"), 50, model.elbo)
    assert other.data_summary == model.data_summary
    np.testing.assert_array_equal(other.log_prob(frame[["waiting", "eruptions"]]), model.log_prob(frame))


def test_the_best_weights_of_a_fit_bring_the_names_too(tmp_path):
    frame = pd.DataFrame(ROWS, columns=["eruptions", "waiting"])
    model, path = GaussianMixtureModel(2, 2, seed=1), tmp_path / "best.weights.h5"
    model.compile()
    keep = keras.callbacks.ModelCheckpoint(path, "loss", save_best_only=True, save_weights_only=True)
    model.fit(frame, epochs=3, verbose=0, callbacks=[keep])
    other = GaussianMixtureModel(2, 2, seed=8)
    other.load_weights(path)
    assert other.column_names == ("eruptions", "waiting")


def test_weights_of_rows_without_names_and_of_earlier_versions_are_read(tmp_path):
    swept().save_weights(tmp_path / "no_names.weights.h5")
    named = swept(pd.DataFrame(ROWS, columns=["eruptions", "waiting"]))
    named.load_weights(tmp_path / "no_names.weights.h5")
    assert named.column_names is None
    path = tmp_path / "earlier.weights.h5"
    swept().save_weights(path)
    with h5py.File(path, "a") as file:
        del file["vars"]["data_summary"]
    other = GaussianMixtureModel(2, 2, seed=8)
    other.load_weights(path)
    assert other.column_names is None and other.num_data == 50


@pytest.fixture
def nameless(tmp_path):
    """Weights of a fit, as earlier versions wrote them: without the summary."""
    path = tmp_path / "nameless.weights.h5"
    swept(ROWS + 1.0).save_weights(path)
    with h5py.File(path, "a") as file:
        del file["vars"]["data_summary"]
    return path


def test_names_of_an_earlier_fit_do_not_stay_on_other_weights(nameless, tmp_path):
    frame = pd.DataFrame(ROWS, columns=["eruptions", "waiting"])
    named = swept(frame)
    with pytest.warns(UserWarning, match="'eruptions' and 'waiting', are dropped"):
        named.load_weights(nameless)
    assert named.column_names is None and named.data_summary is None
    turned = frame[["waiting", "eruptions"]]  # by their order now
    np.testing.assert_array_equal(named.log_prob(turned), named.log_prob(turned.to_numpy()))
    GaussianMixtureModel(2, 2).save_weights(tmp_path / "unfitted.weights.h5")
    named = swept(frame)
    with pytest.warns(UserWarning, match="are dropped"):
        named.load_weights(tmp_path / "unfitted.weights.h5")
    assert named.data_summary is None and not named.num_data


def test_nothing_is_said_where_no_names_are_lost(nameless):
    unnamed = swept()  # warnings are errors here
    unnamed.load_weights(nameless)
    assert unnamed.data_summary is None


# --- Copies --------------------------------------------------------------------------------------------------


def test_config_is_json_and_makes_an_equal_model():
    model = GaussianMixtureModel(2, 2, seed=9, num_draws=4, priors=Priors(loc_mean=(1.0, 2.0), loc_scale=3.0))
    for original in (model, fitted()):
        config = json.loads(json.dumps(original.get_config()))
        again = GaussianMixtureModel.from_config(config)
        assert again.get_config() == original.get_config()
    np.testing.assert_array_equal(GaussianMixtureModel.from_config(model.get_config()).locs, model.locs)


def test_clone_is_a_new_model_and_deepcopy_the_same_one():
    model = fitted()
    clone = keras.models.clone_model(model)
    assert clone is not model and clone.num_data == 0 and clone.is_untouched
    before = model.locs.numpy()
    twin = copy.deepcopy(model)
    np.testing.assert_array_equal(twin.log_prob(ROWS), model.log_prob(ROWS))
    assert int(twin.optimizer.iterations) == int(model.optimizer.iterations) == 3
    twin.fit(ROWS, verbose=0)
    np.testing.assert_array_equal(model.locs, before)
    assert int(model.optimizer.iterations) == 3


def test_a_deepcopy_of_an_unfitted_model_trains_by_itself():
    twin = copy.deepcopy(GaussianMixtureModel(2, 2, seed=1))
    twin.compile(keras.optimizers.Adam(0.05))
    twin.fit(ROWS, epochs=3, verbose=0)
    np.testing.assert_array_equal(twin.locs, fitted().locs)


# --- Bad files -----------------------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`path`.*Received: .*nowhere\.keras"):
        tfgmm.load_model(tmp_path / "nowhere.keras")


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped config", "flipped numbers", "text", "other model"])
def test_a_file_that_is_not_a_whole_model_is_refused(damage, tmp_path):
    path = tmp_path / "model.keras"
    fitted().save(path)
    content = path.read_bytes()

    def flipped(position):
        return content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]

    if damage == "other model":
        keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]).save(path)
    else:
        contents = {
            "cut": content[: len(content) // 2],
            "empty": b"",
            "flipped config": flipped(content.index(b"config.json") + 200),
            "flipped numbers": flipped(len(content) // 2),
            "text": b"not a model",
        }
        path.write_bytes(contents[damage])
    with pytest.raises(ValueError, match=r"`path` must .*Received: "):
        tfgmm.load_model(path)


@pytest.mark.parametrize("path", ["s3://KEY:SECRET@bucket/x.keras", pathlib.Path("s3://KEY:SECRET@bucket/x.keras")])
def test_a_model_by_url_is_refused_without_its_secrets(path: str | pathlib.Path) -> None:
    with pytest.raises(ValueError, match="`path` must be on .* Received: 's3://bucket/x.keras'. Copy it here"):
        tfgmm.load_model(path)
