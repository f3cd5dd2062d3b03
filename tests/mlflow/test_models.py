"""A mixture as an MLflow model: the folder, what MLflow makes of rows and requests, and its real server."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from exports import NAMES, PACKAGE_ROOT, ROWS, D, K, card_of, contents, write_card, write_parameters

import tfgmm
from tfgmm.mlflow.models import mlflow_package

mlflow = mlflow_package()
COLUMNS = ["log_prob", "assignment", "responsibility_0", "responsibility_1", "outlier"]


class Saved(NamedTuple):
    model: tfgmm.GaussianMixtureModel
    export: pathlib.Path
    path: pathlib.Path


@pytest.fixture(scope="module")
def saved(exported: Any, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """An MLflow model of an exported folder, which holds numbers alone as a run of `tfgmm fit` does; to read only."""
    place = tmp_path_factory.mktemp("mlflow")
    folder = tfgmm.export_model(exported.model, place / "mixture", saved_model=False)
    return Saved(exported.model, folder, tfgmm.mlflow.save_model(folder, place / "model"))


@pytest.fixture(scope="module")
def loaded(saved: Saved) -> Any:
    return mlflow.pyfunc.load_model(str(saved.path))


def assert_scores_of(model: tfgmm.GaussianMixtureModel, rows: pd.DataFrame, found: pd.DataFrame) -> None:
    """Checks that a frame holds the scores that TensorFlow gives for rows."""
    assert list(found) == COLUMNS
    within = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(found["log_prob"], model.log_prob(rows), **within)
    np.testing.assert_allclose(found[COLUMNS[2:4]], model.responsibilities(rows), **within)
    np.testing.assert_array_equal(found["assignment"], model.assign(rows))
    np.testing.assert_allclose(found["outlier"], model.outlier(rows), **within)


# --- The folder


def test_the_folder_holds_the_export_byte_for_byte_and_no_pickle(saved: Saved) -> None:
    found = contents(saved.path)
    inside = {name.partition("data/mixture/")[2]: text for name, text in found.items() if name.startswith("data/")}
    assert inside == contents(saved.export)
    assert {name for name in found if not name.startswith("data/")} == {
        "MLmodel",
        "conda.yaml",
        "input_example.json",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
    }
    assert "tfgmm[mlflow]==" in found["requirements.txt"].decode()
    assert not any(b"pickle" in text or text.startswith(b"\x80") for text in found.values())
    with np.load(saved.path / "data/mixture/parameters.npz", allow_pickle=False) as numbers:
        assert {numbers[name].dtype.name for name in numbers.files} == {"float64", "float32"}


def test_a_fresh_process_scores_by_column_name_without_tensorflow(saved: Saved, tmp_path: pathlib.Path) -> None:
    rows = pd.DataFrame(np.random.default_rng(3).normal(1.0, 4.0, (50, D)), columns=list(NAMES))
    rows.iloc[7], rows.iloc[9, 1] = np.nan, np.nan
    rows[["depth", "width", "height"]].assign(other=1.0).to_csv(tmp_path / "rows.csv")
    script = (
        "import sys, mlflow, pandas as pd\n"
        f"model = mlflow.pyfunc.load_model({str(saved.path)!r})\n"
        f"rows = pd.read_csv({str(tmp_path / 'rows.csv')!r}, index_col=0)\n"
        f"model.predict(rows).to_csv({str(tmp_path / 'scores.csv')!r}, index=False)\n"
        "print([name for name in ('tensorflow', 'keras', 'torch', 'jax') if name in sys.modules])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    found = pd.read_csv(tmp_path / "scores.csv")
    assert_scores_of(saved.model, rows, found)
    assert found.isna().any(axis=1).tolist() == [row == 7 for row in range(50)]


def test_a_model_is_exported_first_and_options_reach_the_folder(saved: Saved, tmp_path: pathlib.Path) -> None:
    requirements = ["numpy", "./tfgmm.whl"]
    path = tfgmm.mlflow.save_model(
        saved.model, tmp_path / "model", pip_requirements=requirements, metadata={"team": "geysers"}
    )
    assert {"numpy", "./tfgmm.whl"} <= set((path / "requirements.txt").read_text().split())
    assert "tfgmm[mlflow]" not in (path / "requirements.txt").read_text()
    again = mlflow.pyfunc.load_model(str(path))
    told = again.metadata.metadata
    assert told["team"] == "geysers"
    card = card_of(saved.export)
    assert told["tfgmm"]["elbo_nats"] == card["training"]["elbo_nats"]
    assert (told["tfgmm"]["num_components"], told["tfgmm"]["covariance"]) == (K, "diag")
    rows = pd.DataFrame(ROWS, columns=list(NAMES))
    assert_scores_of(saved.model, rows, again.predict(rows))
    assert [name.name for name in tmp_path.iterdir()] == ["model"]  # nothing temporary is left


def test_a_changed_file_is_found_when_the_model_is_loaded(saved: Saved, tmp_path: pathlib.Path) -> None:
    copy = pathlib.Path(shutil.copytree(saved.path, tmp_path / "model"))
    file = copy / "data" / "mixture" / "parameters.npz"
    bytes_ = bytearray(file.read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    file.write_bytes(bytes_)
    with pytest.raises(tfgmm.IntegrityError, match="parameters.npz has changed"):
        mlflow.pyfunc.load_model(str(copy))


def test_what_cannot_be_saved_is_refused_and_nothing_is_touched(saved: Saved, tmp_path: pathlib.Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    for path in (taken, taken / "notes.txt", saved.export, saved.path):
        with pytest.raises(FileExistsError, match=r"^`path` must be a new folder. Received: .* remove it yourself"):
            tfgmm.mlflow.save_model(saved.export, path)
    with pytest.raises(FileNotFoundError, match=r"^`model` must be a folder written by tfgmm.export_model"):
        tfgmm.mlflow.save_model(tmp_path / "none", tmp_path / "model")
    with pytest.raises(tfgmm.IntegrityError, match=r"^`model` must be a complete, unchanged export"):
        tfgmm.mlflow.save_model(taken, tmp_path / "model")
    with pytest.raises(TypeError, match=r"^`model` must be a tfgmm.GaussianMixtureModel or .* Received: dict"):
        tfgmm.mlflow.save_model({}, tmp_path / "model")
    assert contents(tmp_path) == {"taken/notes.txt": b"mine"}


def test_a_folder_half_written_is_no_folder(saved: Saved, tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    def fail(path: pathlib.Path, **_: Any) -> None:
        (path / "MLmodel").write_text("half")
        raise RuntimeError("power cut")

    monkeypatch.setattr(mlflow.pyfunc, "save_model", fail)
    (tmp_path / "model").mkdir()  # empty: may be taken
    with pytest.raises(RuntimeError, match="power cut"):
        tfgmm.mlflow.save_model(saved.export, tmp_path / "model")
    assert list(tmp_path.rglob("*")) == [tmp_path / "model"]


def test_without_mlflow_the_extra_is_named(saved: Saved, tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "tfgmm\[mlflow\]"'):
        tfgmm.mlflow.save_model(saved.export, tmp_path / "model")
    with pytest.raises(ModuleNotFoundError, match=r'pip install "tfgmm\[mlflow\]"'):
        tfgmm.mlflow.RunLogger()
    with pytest.raises(AttributeError, match="RunLoggers"):
        _ = tfgmm.mlflow.RunLoggers


# --- Signature and scores


def test_signature_and_example_say_what_goes_in_and_comes_out(saved: Saved, loaded: Any) -> None:
    signature = loaded.metadata.signature
    assert [(column.name, column.type.name) for column in signature.inputs] == [(name, "double") for name in NAMES]
    kinds = ["float", "long", "float", "float", "float"]
    assert [(column.name, column.type.name) for column in signature.outputs] == list(zip(COLUMNS, kinds))
    example = loaded.metadata.load_input_example(str(saved.path))
    order = np.argsort(-np.asarray(saved.model.counts))
    np.testing.assert_allclose(example[list(NAMES)], saved.model.locs.numpy()[order], rtol=1e-12)


def test_columns_are_chosen_in_order_and_the_index_stays(loaded: Any) -> None:
    rows = pd.DataFrame(ROWS, columns=list(NAMES), index=[f"row {index}" for index in range(len(ROWS))])
    all_scores = loaded.predict(rows)
    some = loaded.predict(rows, params={"columns": ["responsibilities", "log_prob"]})
    assert list(some) == ["responsibility_0", "responsibility_1", "log_prob"]
    pd.testing.assert_frame_equal(some, all_scores[list(some)])
    assert list(all_scores.index) == list(rows.index)
    assert [str(kind) for kind in all_scores.dtypes] == ["float32", "int64", "float32", "float32", "float32"]


@pytest.mark.parametrize("columns", [["log_prob", "logprob"], [], ["outlier", "outlier"]])
def test_unknown_no_or_doubled_columns_are_refused(loaded: Any, columns: list[str]) -> None:
    with pytest.raises(mlflow.MlflowException, match=r"`columns` must be some of 'log_prob'.*Received") as caught:
        loaded.predict(pd.DataFrame(ROWS, columns=list(NAMES)), params={"columns": columns})
    assert caught.value.get_http_status_code() == 400


def test_a_bad_row_has_no_scores_and_its_neighbours_have_theirs(loaded: Any) -> None:
    rows = pd.DataFrame(ROWS[:5], columns=list(NAMES))
    good = loaded.predict(rows)
    rows.iloc[1], rows.iloc[2, 2], rows.iloc[4, 1] = np.nan, -np.inf, 1e300
    found = loaded.predict(rows)
    pd.testing.assert_frame_equal(found.iloc[[0, 3]], good.iloc[[0, 3]])
    bad = found.iloc[[1, 2, 4]]
    assert bad["assignment"].tolist() == [-1] * 3 and bad[["log_prob", "outlier"]].isna().all(axis=None)
    assert bad["responsibility_0"].isna().tolist() == [False, True, True]  # without any value, the weights
    nulls = loaded.predict(rows, params={"nan_as_null": True})
    assert nulls.iloc[2].tolist() == [None, -1, None, None, None]
    assert nulls.iloc[0].tolist() == good.iloc[0].tolist()
    assert json.loads(json.dumps(nulls.to_dict("records")), parse_constant=pytest.fail)[2]["outlier"] is None


def test_rows_with_gaps_are_scored_by_what_they_have_and_filled_on_request(loaded: Any, saved: Saved) -> None:
    rows = pd.DataFrame(ROWS[:5], columns=list(NAMES), index=list("abcde"))
    rows.iloc[1, 0] = rows.iloc[3, 2] = np.nan
    assert_scores_of(saved.model, rows, loaded.predict(rows))
    found = loaded.predict(rows, params={"columns": ["imputed", "outlier"]})
    assert list(found) == [*(f"imputed_{name}" for name in NAMES), "outlier"] and list(found.index) == list("abcde")
    np.testing.assert_allclose(found.iloc[:, :D], saved.model.impute(rows), rtol=1e-12)
    assert "imputed_width" not in loaded.predict(rows)


def test_the_signature_is_enforced(loaded: Any, saved: Saved) -> None:
    with pytest.raises(mlflow.MlflowException, match=r"missing inputs \['height'\]"):
        loaded.predict(pd.DataFrame(ROWS[:, :2], columns=["width", "depth"]))
    with pytest.raises(mlflow.MlflowException, match="Incompatible input types for column width"):
        loaded.predict(pd.DataFrame([["a", 1.0, 2.0]], columns=list(NAMES)))
    without_signature = tfgmm.mlflow._load_pyfunc(str(saved.export))
    with pytest.raises(mlflow.MlflowException, match=r"without 'height'.*order does not matter"):
        without_signature.predict(pd.DataFrame(ROWS[:, :2], columns=["width", "depth"]))


def test_a_mixture_without_names_takes_an_array_of_its_width(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    card = card_of(folder)
    card["model"]["column_names"] = None
    write_card(folder, card)
    path = tfgmm.mlflow.save_model(folder, tmp_path / "model")
    nameless = mlflow.pyfunc.load_model(str(path))
    [tensor] = nameless.metadata.signature.inputs.inputs
    assert (tensor.shape, tensor.type) == ((-1, D), np.float64)
    expected = tfgmm.load_scorer(folder).log_prob(ROWS)
    np.testing.assert_allclose(nameless.predict(ROWS)["log_prob"], expected, rtol=1e-6)
    frame = pd.DataFrame(ROWS, columns=["c", "b", "a"])  # by position
    np.testing.assert_allclose(nameless.predict(frame)["log_prob"], expected, rtol=1e-6)
    assert np.shape(nameless.metadata.load_input_example(str(path))) == (K, D)
    with pytest.raises(mlflow.MlflowException, match=r"does not match expected shape"):
        nameless.predict(ROWS[:, :2])
    with pytest.raises(mlflow.MlflowException, match=r"shape \(B, D\) with D = 3. Received: shape \(20, 2\)"):
        tfgmm.mlflow._load_pyfunc(str(folder)).predict(ROWS[:, :2])


def test_an_export_without_outlier_scores_gives_the_others(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    card = card_of(folder) | {"format_version": 1}
    del card["parameters"]["outlier_table"]
    write_card(folder, card)
    write_parameters(folder, outlier_table=None)
    old = mlflow.pyfunc.load_model(str(tfgmm.mlflow.save_model(folder, tmp_path / "model")))
    rows = pd.DataFrame(ROWS, columns=list(NAMES))
    assert list(old.predict(rows)) == COLUMNS[:-1] == old.metadata.signature.outputs.input_names()
    with pytest.raises(mlflow.MlflowException, match="`columns` must be some of.*Received: 'outlier'"):
        old.predict(rows, params={"columns": ["outlier"]})


# --- The server


@contextlib.contextmanager
def server_of(model: pathlib.Path, folder: pathlib.Path) -> Iterator[str]:
    """Yields the address of MLflow's own server of a model, on loopback; ends it and its children."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model), "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # uvicorn is looked up on the path; a group of its own, so that no process is left behind
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT), "PATH": path}
    with open(folder / "server.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/ping", process, folder / "server.log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(address: str, process: subprocess.Popen[bytes], log: pathlib.Path) -> None:
    until = time.monotonic() + 100
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.1)
    pytest.fail(f"no answer from {address}:\n{log.read_text()}")


def post(address: str, body: Any, kind: str = "application/json") -> tuple[int, str]:
    """Returns the status and the text of an answer."""
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/invocations", data, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.slow
def test_the_server_answers_plain_requests(saved: Saved, tmp_path: pathlib.Path) -> None:
    rows = pd.DataFrame(ROWS, columns=list(NAMES))[["height", "depth", "width"]]
    split = {"columns": list(rows), "data": rows.to_numpy().tolist()}
    with server_of(saved.path, tmp_path) as address:
        status, text = post(address, {"dataframe_split": split})
        assert status == 200, text
        assert_scores_of(saved.model, rows, pd.DataFrame(json.loads(text)["predictions"]))

        inputs = {name: rows[name].tolist() for name in rows}
        status, text = post(address, {"inputs": inputs, "params": {"columns": ["outlier"]}})
        assert status == 200, text
        found = pd.DataFrame(json.loads(text)["predictions"])
        np.testing.assert_allclose(found["outlier"], saved.model.outlier(rows), rtol=1e-6)
        assert list(found) == ["outlier"]

        status, text = post(address, "width,height,depth\n1,2,3\n2,2,3\n", "text/csv")  # whole numbers are numbers
        assert status == 200, text
        whole = saved.model.log_prob([[1.0, 2.0, 3.0], [2.0, 2.0, 3.0]])
        np.testing.assert_allclose([line["log_prob"] for line in json.loads(text)["predictions"]], whole, rtol=1e-6)

        holes = {"dataframe_split": {"columns": list(NAMES), "data": [[1, 2, 3], [1, None, 3], [None] * 3]}}
        status, text = post(address, holes)
        assert status == 200 and "NaN" in text  # what MLflow writes, and strict readers of JSON refuse
        status, text = post(address, holes | {"params": {"nan_as_null": True}})
        first, second, third = json.loads(text, parse_constant=pytest.fail)["predictions"]
        of_rest = saved.model.marginal_log_prob([[1.0, np.nan, 3.0]], [0, 2])
        assert second["log_prob"] == pytest.approx(float(of_rest[0]), rel=1e-6)
        assert [third[name] for name in ("log_prob", "assignment", "outlier")] == [None, -1, None]
        assert first["log_prob"] == pytest.approx(float(whole[0]), rel=1e-6)

        empty = {"dataframe_split": {"columns": list(NAMES), "data": []}}
        assert json.loads(post(address, empty)[1]) == {"predictions": []}

        del split["columns"][0]
        split["data"] = [line[1:] for line in split["data"]]
        status, text = post(address, {"dataframe_split": split})
        assert status == 400 and "missing inputs ['height']" in json.loads(text)["message"]
        wrong = {"inputs": inputs, "params": {"columns": ["logprob"]}}
        status, text = post(address, wrong)
        assert status == 400 and "`columns` must be some of" in json.loads(text)["message"]
