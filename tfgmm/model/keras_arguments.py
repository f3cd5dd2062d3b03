"""What Keras's own calls take and a mixture has no use for: refused in words that say what to do instead."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from tfgmm.common.checks import is_instance_of
from tfgmm.model.keras3 import keras

_NO_OTHER_LOSS = "a mixture has a loss of its own, minus the bound per row, and logs its parts"
_NO_XLA = "XLA has no kernel for the draws of a Gamma, and closed form is no graph"
# Arguments of `keras.Model.compile`: what they must be, why, and what to do
_COMPILE = {
    "loss": ("left out", _NO_OTHER_LOSS, "Leave it out"),
    "loss_weights": ("left out", _NO_OTHER_LOSS, "Leave it out"),
    "metrics": ("left out", _NO_OTHER_LOSS, "Leave it out; a callback can compute more from model.log_prob"),
    "weighted_metrics": ("left out", _NO_OTHER_LOSS, "Leave it out; a callback can compute more from model.log_prob"),
    "jit_compile": ("False or left out", _NO_XLA, "Leave it out"),
}


def refuse_compile_arguments(arguments: Mapping[str, Any]) -> None:
    """Checks arguments of `keras.Model.compile` that do nothing here: Raises TypeError unless they ask for nothing.

    Args:
        arguments: Further arguments of `compile`, by name.
    """
    for name, value in arguments.items():
        if name == "auto_scale_loss":  # changes nothing but with a LossScaleOptimizer, which scales by itself
            continue
        if name not in _COMPILE:
            raise TypeError(
                f"`{name}` must be an argument of compile. Received: {value!r}. "
                "Pass optimizer, num_data, step_sizes, steps_per_execution or run_eagerly."
            )
        is_empty = isinstance(value, list | tuple | dict) and not value
        if value is None or value is False or is_empty or (isinstance(value, str) and value == "auto"):
            continue  # what Keras itself has where nothing is asked for
        wanted, reason, fix = _COMPILE[name]
        raise TypeError(f"`{name}` must be {wanted}: {reason}. Received: {value!r}. {fix}.")


def is_loss(num_data: Any) -> bool:
    """Tells whether a loss stands where `compile` has `num_data`: Keras's own has the loss in that place."""
    return isinstance(num_data, str | keras.losses.Loss) or inspect.isroutine(num_data)


def refuse_export_arguments(format: str, input_signature: Any) -> None:
    """Checks arguments of `keras.Model.export`: Raises ValueError for what the folder of an export does not have."""
    if format != "tf_saved_model":
        others = {"onnx": "tfgmm.export_onnx(model, path)", "litert": "tfgmm.export_litert(model, path)"}
        fix = others.get(format, " or ".join(others.values()))
        raise ValueError(
            f'`format` must be "tf_saved_model", which also has numbers and card. Received: {format!r}. Use {fix}.'
        )
    if input_signature is not None:
        raise ValueError(
            "`input_signature` must be left out: every signature takes (B, D) float32 rows in the units of the data. "
            f"Received: {input_signature!r}. Leave it out."
        )


def refuse_generators(name: str, data: Any, num_features: int) -> None:
    """Checks rows: Raises TypeError for a generator, or what makes one, and for Keras's and PyTorch's own datasets.

    Args:
        name: What the argument is called in errors.
        data: Rows of any kind, or a tuple that begins with them.
        num_features: D.
    """
    if isinstance(data, tuple) and data:
        data = data[0]
    is_once = isinstance(data, Iterator) and not (hasattr(data, "__arrow_c_stream__") or hasattr(data, "read"))
    of_torch = any(is_instance_of(data, "torch", f"utils.data.{kind}") for kind in ("DataLoader", "Dataset"))
    if not (is_once or of_torch or isinstance(data, keras.utils.PyDataset) or inspect.isroutine(data)):
        return
    raise TypeError(
        f"`{name}` must be rows, a file or a tf.data.Dataset, which can be read several times. "
        f"Received: a {type(data).__name__}. Put a function that yields (B, {num_features}) batches of rows into "
        "tf.data.Dataset.from_generator(function, output_signature=tf.TensorSpec((None, "
        f"{num_features}), tf.float64)), and pass compile(..., num_data=...)."
    )


def refuse_strategy(method: str, model: keras.Model | None = None) -> None:
    """Checks that neither the model nor this call is under a distribution strategy: Raises ValueError otherwise.

    Batches of a strategy come in other shapes than a step here takes, and each would be counted as all rows.

    Args:
        method: Method that is called, for the message.
        model: The model; None where it is still to be made.
    """
    if tf.distribute.has_strategy():
        strategy = tf.distribute.get_strategy()
    elif model is None:
        return
    else:
        strategy = model.distribute_strategy
        with strategy.scope():
            if not tf.distribute.has_strategy():  # in the default one
                return
    raise ValueError(
        f"`{method}` must be called without a distribution strategy, for a model that was made without one. "
        f"Received: a tf.distribute.{type(strategy).__name__}. Leave out strategy.scope(): one device is enough, "
        "and sweeps use all cores of this machine."
    )
