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
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from exports import PACKAGE_ROOT, ROWS

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
        except Exception as error:
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
def test_what_is_computed_in_numpy_works_in_a_child(whole: pathlib.Path, model: Any, name: str) -> None:
    scorer = tfgmm.load_scorer(whole)
    assert said_in_child(lambda: NUMPY[name](model, scorer)) == ""


@pytest.mark.parametrize("name", TENSORFLOW)
def test_what_needs_tensorflow_is_refused_in_a_child(
    whole: pathlib.Path, model: Any, name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scorer, (purpose, ask) = tfgmm.load_scorer(whole), TENSORFLOW[name]
    said = said_in_child(lambda: ask(model, scorer))
    assert said.startswith("RuntimeError: ") and f"before a fork for {purpose}" in said
    assert "Received: a process that was forked" in said and '"spawn"' in said and "after the fork" in said
    assert not list(tmp_path.iterdir())


def test_dataset_is_refused_in_a_child(model: Any) -> None:
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(ROWS).batch(5)
    assert "before a fork for a tf.data dataset" in said_in_child(lambda: model.log_prob(dataset))


def test_child_of_a_child_is_one_too(model: Any) -> None:
    def in_grandchild() -> None:
        assert not forks.survived()
        assert "before a fork" in said_in_child(lambda: model(ROWS))

    assert said_in_child(in_grandchild) == ""


def test_a_child_does_not_ask_for_the_gpu_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_tensorflow_has_gpu", lambda: True)
    assert devices.has_gpu()

    def in_child() -> None:
        assert not devices.has_gpu()

    assert said_in_child(in_child) == ""


def test_the_parent_goes_on(model: Any) -> None:
    assert said_in_child(lambda: None) == "" and forks.survived()
    forks.check_not_forked("this")
    assert model.interval(ROWS).log_prob_low.shape == (len(ROWS),)


def test_the_package_sees_forks_from_its_import_on() -> None:
    script = "import sys, tfgmm; print('tfgmm.common.forks' in sys.modules, 'numpy' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(PACKAGE_ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "True False\n", done.stderr


def test_asking_leaves_the_number_of_threads_and_lists_no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    class Threading:
        number: Any = 4

        def set_inter_op_parallelism_threads(self, number: Any) -> None:
            if self.number == number:  # as TensorFlow's setter begins
                return
            self.number = number

    settings = Threading()
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=SimpleNamespace(threading=settings)))
    assert not forks._was_used() and settings.number == 4
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace())  # as while it is being loaded
    assert not forks._was_used()


def test_a_fork_is_told_from_a_process_with_threads(model: Any) -> None:
    def in_child() -> None:
        assert forks._is_fork_without_threads() == (sys.platform == "linux")

    assert said_in_child(in_child) == "" and not forks._is_fork_without_threads()


# What the parent does, what the child does
FORK = """
import os
import tensorflow as tf
PARENT
child = os.fork()
if child == 0:
    try:
        CHILD
        import tfgmm
        tfgmm.GaussianMixtureModel(2, 2, seed=0).interval([[0.0, 1.0]])
        print("answered", flush=True)
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
REFUSED = "TensorFlow must not have been used before a fork for a Keras model."
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="a fork before the import is told on Linux only")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parent", "child", "said"),
    [
        ("import tfgmm; tf.ones(2)", "pass", REFUSED),  # nothing of the package is in use yet
        pytest.param("tf.ones(2)", "pass", REFUSED, marks=LINUX),
        pytest.param("tf.ones(2)", "import numpy; numpy.ones((900, 900)) @ numpy.ones(900)", REFUSED, marks=LINUX),
        ("import tfgmm", "pass", "answered"),
        ("pass", "tf.ones(2)", "answered"),
    ],
)
def test_what_a_fork_may_use(parent: str, child: str, said: str) -> None:
    script = FORK.replace("PARENT", parent).replace("CHILD", child)
    environment = os.environ | {"PYTHONPATH": str(PACKAGE_ROOT)}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith(said), done.stderr
