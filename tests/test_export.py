"""An export gives the model's numbers anywhere: in a process without the model, without tfgmm, without Python code."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfgmm

NUM_FEATURES = 3
BATCHES = (0, 1, 7, 10_000)
SEED = 11
SCORES = ("log_prob", "responsibilities", "assignment")
PACKAGE_ROOT = pathlib.Path(tfgmm.__file__).parents[1]
CLI = pathlib.Path(sys.executable).with_name("saved_model_cli")

# Both write one .npz of results for the batches in rows.npz.
SCORE_WITHOUT_MODEL = """
import sys
for name in ("tfgmm.model", "tfgmm.trainer", "tfgmm.export", "keras"):
    sys.modules[name] = None
import numpy as np
import tfgmm
folder, rows, out = sys.argv[1:]
scorer, batches = tfgmm.load_scorer(folder), np.load(rows)
found = {f"log_prob {n}": scorer.log_prob(batches[n]) for n in batches}
found |= {f"responsibilities {n}": scorer.responsibilities(batches[n]) for n in batches}
found |= {f"assignment {n}": scorer.assign(batches[n]) for n in batches}
np.savez(out, sample=scorer.sample(9, seed=11), none=scorer.sample(0, seed=11), **found)
"""
SCORE_WITHOUT_TFGMM = """
import sys
sys.modules["tfgmm"] = sys.modules["keras"] = None
import numpy as np
import tensorflow as tf
folder, rows, out = sys.argv[1:]
served, batches = tf.saved_model.load(folder), np.load(rows)
found = {}
for n in batches:
    x = tf.constant(batches[n])
    together = served.signatures["serving_default"](x=x)
    for name in ("log_prob", "responsibilities", "assignment"):
        (alone,) = served.signatures[name](x=x).values()
        np.testing.assert_array_equal(alone, together[name])
        found[f"{name} {n}"] = alone
draw, seed = served.signatures["sample"], tf.constant(11, tf.int64)
drawn = {n: draw(num_samples=tf.constant(n, tf.int64), seed=seed)["x"] for n in (9, 0)}
np.savez(out, sample=drawn[9], none=drawn[0], **found)
"""


class Job(NamedTuple):
    process: subprocess.Popen[bytes]
    out: pathlib.Path  # what it writes

    def finish(self) -> str:
        """Returns what it printed."""
        code = self.process.wait(timeout=300)
        printed = self.out.with_suffix(".printed").read_text()
        assert code == 0, printed[-3000:]
        return printed


class Exported(NamedTuple):
    model: tfgmm.GaussianMixtureModel
    folder: pathlib.Path
    batches: dict[str, np.ndarray]
    jobs: dict[str, Job]


def fitted(rows: Any, num_components: int = 2, epochs: int = 5) -> tfgmm.GaussianMixtureModel:
    model = tfgmm.GaussianMixtureModel(num_components, NUM_FEATURES, seed=0)
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(rows, epochs=epochs, verbose=0)
    return model


def start(command: list[str], env: dict[str, str], out: pathlib.Path) -> Job:
    with open(out.with_suffix(".printed"), "wb") as printed:
        process = subprocess.Popen(
            command, env=env, cwd=out.parent, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT
        )
    return Job(process, out)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    """A fitted model, its export, and the fresh processes that score it, all started at once."""
    place = tmp_path_factory.mktemp("exported")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, NUM_FEATURES)) * 2.0 + 1.0, columns=["width", "height", "depth"])
    model = fitted(frame)
    folder = tfgmm.export_model(model, place / "mixture")
    batches = {str(n): rng.normal(size=(n, NUM_FEATURES)).astype(np.float32) * 3 for n in BATCHES}
    np.savez(place / "rows.npz", **batches)
    np.save(place / "x.npy", batches["7"])
    # Where tfgmm must not be needed, importing it fails.
    blocker = place / "blocker"
    blocker.mkdir()
    (blocker / "tfgmm.py").write_text("raise ImportError('tfgmm must not be needed here')\n")
    with_package = {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    without = {**with_package, "PYTHONPATH": str(blocker)}
    cli_run = [str(CLI), "run", "--dir", str(folder), "--tag_set", "serve", "--overwrite", "--outdir"]
    literals = f"x={batches['7'].tolist()}"

    def script(source: str, name: str, env: dict[str, str]) -> Job:
        out = place / f"{name}.npz"
        return start([sys.executable, "-c", source, str(folder), str(place / "rows.npz"), str(out)], env, out)

    def served(name: str, *arguments: str) -> Job:
        out = place / name
        return start([*cli_run, str(out), "--signature_def", "serving_default", *arguments], without, out)

    jobs = {
        "scorer": script(SCORE_WITHOUT_MODEL, "scorer", with_package),
        "saved model": script(SCORE_WITHOUT_TFGMM, "saved_model", without),
        "show": start([str(CLI), "show", "--all", "--dir", str(folder)], without, place / "show"),
        "run on literals": served("literals", "--input_exprs", literals),
        "run on a file": served("file", "--inputs", f"x={place / 'x.npy'}"),
    }
    yield Exported(model, folder, batches, jobs)
    for job in jobs.values():
        if job.process.poll() is None:
            job.process.kill()
            job.process.wait()


def card_of(folder: pathlib.Path) -> dict[str, Any]:
    return json.loads((folder / "model_card.json").read_text(encoding="utf-8"))


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
    rows = exported.batches["7"]
    np.testing.assert_allclose(density_in_float64(exported.folder, rows), exported.model.log_prob(rows), rtol=1e-5)


def test_signatures_have_the_documented_names_types_and_shapes(exported: Exported) -> None:
    signatures = tf.saved_model.load(str(exported.folder)).signatures
    outputs = {
        "log_prob": tf.TensorSpec((None,), tf.float32, "log_prob"),
        "responsibilities": tf.TensorSpec((None, 2), tf.float32, "responsibilities"),
        "assignment": tf.TensorSpec((None,), tf.int64, "assignment"),
    }
    assert set(signatures) == {"serving_default", *SCORES, "sample"}
    rows = {"x": tf.TensorSpec((None, NUM_FEATURES), tf.float32, "x")}
    for name in ("serving_default", *SCORES):
        assert signatures[name].structured_input_signature == ((), rows)
        assert signatures[name].structured_outputs == (outputs if name == "serving_default" else {name: outputs[name]})
    scalars = {name: tf.TensorSpec((), tf.int64, name) for name in ("num_samples", "seed")}
    assert signatures["sample"].structured_input_signature == ((), scalars)
    (drawn,) = signatures["sample"].structured_outputs.values()
    assert drawn.dtype == tf.float64 and drawn.shape.as_list() == [None, NUM_FEATURES]


def test_saved_model_marks_rows_that_are_not_finite_and_leaves_their_neighbours(exported: Exported) -> None:
    rows = exported.batches["7"].copy()
    rows[2, 1], rows[4, 0] = np.nan, np.inf
    found = tf.saved_model.load(str(exported.folder)).signatures["serving_default"](x=tf.constant(rows))
    good = np.array([row not in (2, 4) for row in range(7)])
    assert np.isnan(found["log_prob"].numpy()).tolist() == (~good).tolist()
    assert (found["assignment"].numpy() == -1).tolist() == (~good).tolist()
    np.testing.assert_allclose(found["log_prob"][good], exported.model.log_prob(rows[good]), rtol=1e-6)


def test_rows_at_an_offset_of_1e8_score_as_float64_says(tmp_path: pathlib.Path) -> None:
    rows = np.random.default_rng(1).normal(1e8, 40.0, size=(200, NUM_FEATURES))
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
    assert (card["format"], card["format_version"]) == ("tfgmm.mixture", 1)
    assert card["model"] == {
        "num_components": 2,
        "num_features": NUM_FEATURES,
        "covariance": "diag",
        "weights": "dirichlet",
        "column_names": ["width", "height", "depth"],
    }
    assert card["priors"] == model.priors.to_dict()
    assert card["training"]["num_data"] == 300
    assert card["training"]["elbo_nats"] == model.elbo
    assert card["training"]["seed"] == 0
    assert card["training"]["data_summary"] == model.data_summary.to_dict()
    assert card["parameters"]["locs"] == {"shape": [2, NUM_FEATURES], "dtype": "float64"}
    assert set(card["versions"]) == {"tfgmm", "python", "tensorflow", "keras", "numpy"}
    assert card["versions"]["tensorflow"] == tf.__version__ and card["versions"]["tfgmm"] == tfgmm.__version__


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


def test_export_of_16_columns_and_32_components_is_small_and_says_nothing(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tfgmm.export_model(tfgmm.GaussianMixtureModel(32, 16, seed=0), tmp_path / "mixture")
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 2**20
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
    model = tfgmm.GaussianMixtureModel(2, NUM_FEATURES, seed=0)
    folder = tfgmm.export_model(model, str(tmp_path / "mixture"))
    assert card_of(folder)["training"] == {"num_data": None, "elbo_nats": None, "seed": 0, "data_summary": None}
    rows = np.zeros((4, NUM_FEATURES))
    np.testing.assert_array_equal(tfgmm.load_scorer(folder).log_prob(rows), model.log_prob(rows))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_parameters_that_are_not_finite_are_refused_and_nothing_is_written(
    tmp_path: pathlib.Path, value: float
) -> None:
    model = tfgmm.GaussianMixtureModel(2, NUM_FEATURES, seed=0)
    model.components.centred_locs.assign(np.full((2, NUM_FEATURES), value))
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


# --- The same numbers in fresh processes: last, because they take a while to start


@pytest.mark.parametrize("way", ["scorer", "saved model"])
def test_a_fresh_process_without_the_model_gives_its_numbers(exported: Exported, way: str) -> None:
    job = exported.jobs[way]
    job.finish()
    with np.load(job.out) as found:
        for n, rows in exported.batches.items():
            expected = dict(zip(SCORES, (exported.model.log_prob(rows), exported.model.responsibilities(rows))))
            for name, values in expected.items():
                assert found[f"{name} {n}"].dtype == np.float32
                np.testing.assert_allclose(found[f"{name} {n}"], values, rtol=1e-6, atol=1e-6)
            assert found[f"assignment {n}"].dtype == np.int64
            np.testing.assert_array_equal(found[f"assignment {n}"], exported.model.assign(rows))
        np.testing.assert_allclose(found["sample"], exported.model.sample(9, seed=SEED), rtol=1e-6)
        assert found["none"].shape == (0, NUM_FEATURES)


def test_command_line_tool_shows_the_signatures(exported: Exported) -> None:
    shown = exported.jobs["show"].finish()
    for name in ("serving_default", *SCORES, "sample"):
        assert f"signature_def['{name}']" in shown
    assert f"shape: (-1, {NUM_FEATURES})" in shown


@pytest.mark.parametrize("way", ["run on literals", "run on a file"])
def test_command_line_tool_scores_without_tfgmm(exported: Exported, way: str) -> None:
    job = exported.jobs[way]
    assert "Result for output key log_prob" in job.finish()
    rows = exported.batches["7"]
    np.testing.assert_allclose(np.load(job.out / "log_prob.npy"), exported.model.log_prob(rows), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(np.load(job.out / "assignment.npy"), exported.model.assign(rows))
