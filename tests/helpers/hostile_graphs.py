"""SavedModels that do harm, made with TensorFlow as an attacker would, and folders that hold them."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
from exports import card_of, make_sums_right, write_card
from tensorflow.core.protobuf import saved_model_pb2

ROWS = tf.TensorSpec((None, 3), tf.float32, name="x")


class Planter(tf.saved_model.experimental.TrackableResource):
    """A table that writes a file when it is made ready, which is while its SavedModel is loaded."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def _create_resource(self) -> Any:
        return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.string)

    def _initialize(self) -> None:
        tf.io.write_file(self.file, "planted")


class Hostile(tf.Module):
    """A module whose `log_prob` is the function given; it keeps what the function uses."""

    def __init__(self, function: Callable[[Any], Any], resource: Any = None) -> None:
        super().__init__()
        self.resource = resource
        self.log_prob = tf.function(lambda x: {"log_prob": function(x)}, input_signature=[ROWS])


class Trap(NamedTuple):
    """A hostile module, the operation that betrays it, and whether its file is there once somebody falls for it."""

    make: Callable[[str], tf.Module]
    operation: str
    writes: bool


def zeros(x: Any) -> Any:
    return tf.reduce_sum(x, axis=1)  # an operation that our exports have too


def at_load(file: str) -> tf.Module:
    table = Planter(file)

    def function(x: Any) -> Any:
        with tf.control_dependencies([tf.raw_ops.LookupTableSizeV2(table_handle=table.resource_handle)]):
            return zeros(x)

    return Hostile(function, table)


def in_signature(run: Callable[[str, Any], Any]) -> Callable[[str], tf.Module]:
    def make(file: str) -> tf.Module:
        def function(x: Any) -> Any:
            with tf.control_dependencies([run(file, x)]):
                return zeros(x)

        return Hostile(function)

    return make


def save(file: str, x: Any) -> Any:
    return tf.raw_ops.SaveV2(prefix=file, tensor_names=["x"], shape_and_slices=[""], tensors=[x])


def planted(file: str) -> Callable[[Any], Any]:
    def write(x: Any) -> Any:
        pathlib.Path(file).write_text("planted")
        return x

    return write


def hidden(file: str, _: Any) -> Any:
    inner = tf.function(lambda step: tf.strings.length(tf.io.read_file(file)) + step)
    return tf.while_loop(lambda step: step < 3, lambda step: (1 + tf.maximum(inner(step), step),), (tf.constant(0),))[0]


TRAPS = {
    "a file written by the initialiser of a resource": Trap(at_load, "WriteFile", True),
    "a search for files": Trap(in_signature(lambda file, _: tf.io.matching_files(f"{file}*")), "MatchingFiles", False),
    "a checkpoint saved by a signature": Trap(in_signature(save), "SaveV2", True),
    "Python in the graph": Trap(
        in_signature(lambda file, x: tf.py_function(planted(file), [x], tf.float32)), "EagerPyFunc", True
    ),
    "NumPy in the graph": Trap(
        in_signature(lambda file, x: tf.numpy_function(planted(file), [x], tf.float32)), "PyFunc", True
    ),
    "a file read by a function in the body of a loop": Trap(in_signature(hidden), "ReadFile", False),
}


def graph_of(folder: pathlib.Path) -> Any:
    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())


def put_graph(folder: pathlib.Path, source: pathlib.Path) -> None:
    """Puts the SavedModel in `source` into an export, and makes the checksums of its card right."""
    shutil.rmtree(folder / "variables")
    shutil.copytree(source, folder, dirs_exist_ok=True)
    card = card_of(folder)
    names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    card["files"] = {name: None for name in names if name != "model_card.json"}
    write_card(folder, card)
    make_sums_right(folder)


def springs(folder: pathlib.Path, file: pathlib.Path) -> bool:
    """Returns whether loading the SavedModel, and asking for a score, makes the file appear."""
    tf.saved_model.load(str(folder)).signatures["log_prob"](x=tf.zeros((2, 3)))
    return any(name.startswith(file.name) for name in os.listdir(file.parent))
