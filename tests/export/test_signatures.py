"""The table of signatures is what a SavedModel has, in every version."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from exports import PACKAGE_ROOT, D

import tfgmm
from tfgmm.export.signatures import SIGNATURES, signatures_of


def test_versions_add_signatures() -> None:
    added = [signatures_of(version, True).keys() - signatures_of(version - 1, True).keys() for version in (1, 2, 3, 4)]
    assert added[0] == {"serving_default", "log_prob", "responsibilities", "assignment", "sample"}
    of_draws = {"predictive_log_prob", "interval", "marginal_log_prob", "conditional"}
    assert added[1:] == [{"outlier"}, of_draws, {"impute"}]
    assert signatures_of(4, True) == SIGNATURES


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_saved_model_has_what_the_table_says(tmp_path: pathlib.Path, covariance: str) -> None:
    folder = tfgmm.export_model(tfgmm.GaussianMixtureModel(2, 3, covariance, seed=0), tmp_path / "mixture")
    signatures = tf.saved_model.load(str(folder)).signatures
    expected = signatures_of(4, covariance == "full")
    assert signatures.keys() == expected.keys()
    for name, signature in expected.items():
        assert signatures[name].structured_input_signature[1].keys() == set(signature.inputs)
        assert signatures[name].structured_outputs.keys() == set(signature.outputs)


# --- What no server checks


def requests_of(name: str) -> dict[str, Any]:
    """Returns inputs that the signature answers."""
    values = {
        "x": np.ones((2, D), np.float32),
        "given": np.arange(D) < 2,
        "level": np.float32(0.9),
        "num_samples": np.int64(3),
        "seed": np.int64(0),
    }
    return {key: values[key] for key in SIGNATURES[name].inputs}


WRONG_SHAPES: dict[str, list[tuple[int, ...]]] = {
    "x": [(2, 1), (2, D + 1), (D,), (1, 2, D), (), (0, 1)],
    "given": [(1,), (), (D + 1,), (2, D)],
    "level": [(1,), (2,)],
    "num_samples": [(1,)],
    "seed": [(2,)],
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_inputs_of_another_shape_are_refused_with_their_name_and_shape(whole: pathlib.Path, name: str) -> None:
    signature = tf.saved_model.load(str(whole)).signatures[name]
    right = requests_of(name)
    signature(**{key: tf.constant(value) for key, value in right.items()})
    for key, value in right.items():
        for shape in WRONG_SHAPES[key]:
            wrong = right | {key: np.ones(shape, np.asarray(value).dtype)}
            shown = ",".join(map(str, shape))
            with pytest.raises(tf.errors.InvalidArgumentError, match=rf"tensor {key} \[{shown}\] is not compatible"):
                signature(**{name: tf.constant(value) for name, value in wrong.items()})


def test_signatures_as_nodes_refuse_too(whole: pathlib.Path) -> None:
    """A server runs nodes, and knows nothing of the functions that Python calls."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(whole))
        for name, signature in meta_graph.signature_def.items():
            if "x" in signature.inputs:
                inputs = requests_of(name)
                feed = {signature.inputs[key].name: value for key, value in inputs.items()}
                outputs = [tensor.name for tensor in signature.outputs.values()]
                session.run(outputs, feed)
                with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="shape"):
                    session.run(outputs, feed | {signature.inputs["x"].name: np.ones((2, 1), np.float32)})


# In a process of its own: XLA does not raise, it writes into memory that is not its own
JITTED = """
import sys
import numpy as np
import tensorflow as tf
x = tf.constant(np.random.default_rng(0).normal(size=(3, int(sys.argv[1]))), tf.float32)
for folder in sys.argv[2:]:
    for name, signature in tf.saved_model.load(folder).signatures.items():
        if name == "sample":
            continue
        more = {key: value for key, value in
                {"level": tf.constant(0.9), "given": tf.constant(np.arange(x.shape[1]) < 1)}.items()
                if key in signature.structured_input_signature[1]}
        jitted = tf.function(lambda x: signature(x=x, **more), jit_compile=True)(x)
        for key, values in signature(x=x, **more).items():
            np.testing.assert_allclose(jitted[key], values, rtol=1e-5, atol=1e-5, err_msg=f"{name} {key}")
print("all the same")
"""


@pytest.mark.slow
def test_signatures_inside_a_function_compiled_by_xla_give_the_same_numbers(tmp_path: pathlib.Path) -> None:
    folders = [
        str(tfgmm.export_model(tfgmm.GaussianMixtureModel(2, 2, covariance, seed=0), tmp_path / covariance))
        for covariance in ("diag", "full", "tied")
    ]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE_ROOT)}
    command = [sys.executable, "-c", JITTED, "2", *folders]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("all the same\n")
