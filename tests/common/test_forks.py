"""In a forked child what is NumPy works, and what needs TensorFlow is refused at once instead of hanging."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from exports import PACKAGE_ROOT, ROWS, Exported, fitted

import tfgmm
from tfgmm.common import forks
from tfgmm.scoring import devices

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no forks")


def said_in_child(ask: Callable[[], Any], seconds: float = 30.0) -> str:
    """Asks in a forked child: Returns what the error said, "" where there was none; fails where no answer comes."""
    receive, send = os.pipe()
    with warnings.catch_warnings():
        # Of forks beside threads: Python from 3.12 on, and JAX where another test has loaded it
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        child = os.fork()
    if child == 0:
        try:
            ask()
        except BaseException as error:
            os.write(send, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(send)
    end = time.monotonic() + seconds
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.005)
    with os.fdopen(receive, "rb") as pipe:
        return pipe.read().decode()


@pytest.fixture(scope="module")
def trained() -> Any:
    return fitted(ROWS, epochs=1)


NUMPY: dict[str, Callable[[Any, Any], Any]] = {
    "log_prob": lambda model, scorer: (model.log_prob(ROWS), scorer.log_prob(ROWS)),
    "predictive": lambda model, scorer: (
        model.log_prob(ROWS, kind="predictive"),
        scorer.log_prob(ROWS, kind="predictive"),
    ),
    "outlier": lambda model, scorer: (model.outlier(ROWS), scorer.outlier(ROWS)),
    "assign": lambda model, scorer: (model.assign(ROWS), scorer.assign(ROWS)),
    "sample": lambda model, scorer: (model.sample(3), scorer.sample(3)),
    "fit_mixture": lambda model, scorer: tfgmm.fit_mixture(ROWS, 2, restarts=2, seed=0),
    "many rows, in threads": lambda model, scorer: scorer.log_prob(np.tile(ROWS, (20_000, 1))),
}
TENSORFLOW: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "interval of a scorer": ("the question `interval`", lambda model, scorer: scorer.interval(ROWS)),
    "interval": ("the question `interval`", lambda model, scorer: model.interval(ROWS)),
    "impute": ("the question `expectation`", lambda model, scorer: scorer.impute(ROWS, given=[0])),
    "conditional": ("the question `conditional`", lambda model, scorer: scorer.conditional(ROWS, [0])),
    "marginal": ("the question `marginal_log_prob`", lambda model, scorer: scorer.marginal_log_prob(ROWS, [0])),
    "call": ("a call of the model", lambda model, scorer: model(ROWS)),
    "fit": ("`fit`", lambda model, scorer: model.fit(ROWS, verbose=0)),
    "evaluate": ("`evaluate`", lambda model, scorer: model.evaluate(ROWS, verbose=0)),
    "new": ("a Keras model", lambda model, scorer: tfgmm.GaussianMixtureModel(2, 1)),
    "load": ("load_model", lambda model, scorer: tfgmm.load_model("m.keras")),
    "model of a fit": ("`model`", lambda model, scorer: tfgmm.fit_mixture(ROWS, 2, restarts=1).model),
    "posterior": ("`posterior`", lambda model, scorer: model.posterior()),
    "distribution": ("`distribution`", lambda model, scorer: model.distribution()),
    "SavedModel": ("a SavedModel", lambda model, scorer: tfgmm.export_model(model, "somewhere")),
    "onnx": ("`export_onnx`", lambda model, scorer: tfgmm.export_onnx(model, "m.onnx")),
}


@pytest.mark.parametrize("name", NUMPY)
def test_what_is_computed_in_numpy_works_in_a_child(exported: Exported, trained: Any, name: str) -> None:
    scorer = tfgmm.load_scorer(exported.folder)
    assert said_in_child(lambda: NUMPY[name](trained, scorer)) == ""


@pytest.mark.parametrize("name", TENSORFLOW)
def test_what_needs_tensorflow_is_refused_in_a_child(
    exported: Exported, trained: Any, name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scorer, (purpose, ask) = tfgmm.load_scorer(exported.folder), TENSORFLOW[name]
    said = said_in_child(lambda: ask(trained, scorer))
    assert said.startswith("RuntimeError: ") and f"before a fork for {purpose}" in said
    assert "Received: a process that was forked" in said and '"spawn"' in said and "after the fork" in said
    assert not list(tmp_path.iterdir())


def test_dataset_is_refused_in_a_child(exported: Exported) -> None:
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(ROWS).batch(5)
    assert "before a fork for a tf.data dataset" in said_in_child(lambda: exported.model.log_prob(dataset))


def test_child_of_a_child_is_one_too(exported: Exported) -> None:
    def in_grandchild() -> None:
        assert not forks.survived()
        assert "before a fork" in said_in_child(lambda: exported.model(ROWS))

    assert said_in_child(in_grandchild) == ""


def test_a_child_does_not_ask_for_the_gpu_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_tensorflow_has_gpu", lambda: True)
    assert devices.has_gpu()

    def in_child() -> None:
        assert not devices.has_gpu()

    assert said_in_child(in_child) == ""


@pytest.mark.usefixtures("trained")
def test_the_parent_goes_on(exported: Exported) -> None:
    assert said_in_child(lambda: None) == "" and forks.survived()
    forks.check_not_forked("this")
    assert exported.model.interval(ROWS).log_prob_low.shape == (len(ROWS),)


LOADED_ONLY = """
import os
import tensorflow as tf
import tfgmm
from tfgmm.common import forks
child = os.fork()
if child == 0:
    assert forks.survived()
    model = tfgmm.GaussianMixtureModel(2, 2, seed=0)
    assert model.interval([[0.0, 1.0]]).log_prob_low.shape == (1,)
    os._exit(0)
print(os.waitpid(child, 0)[1], tf.config.threading.get_inter_op_parallelism_threads())
"""


@pytest.mark.slow
def test_child_of_a_process_that_only_loaded_tensorflow_may_use_it() -> None:
    environment = os.environ | {"PYTHONPATH": str(PACKAGE_ROOT)}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", LOADED_ONLY]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout == "0 0\n", done.stderr
