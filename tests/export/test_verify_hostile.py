"""Folders with a SavedModel that does harm: nothing of it is run or read, and verify says what it would have done."""

from __future__ import annotations

import os
import pathlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from exports import ROWS, make_sums_right
from hostile_graphs import TRAPS, graph_of, put_graph, springs

import tfgmm
from tfgmm.export.verify import verify_export


def refused(folder: pathlib.Path, *words: str) -> None:
    """Checks that verify refuses a folder and names file and reason, without loading a graph."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((tf.saved_model, "load"), (tf.graph_util, "import_graph_def")):
            patch.setattr(owner, name, None)
        with pytest.raises(tfgmm.IntegrityError) as caught:
            verify_export(folder)
    message = str(caught.value)
    assert message.startswith("`path` must be ") and f"Received: {folder}, whose saved_model.pb" in message
    assert all(word in message for word in words), message
    assert message.isprintable() and message.rpartition(". ")[2].startswith(("Do not serve it", "Export"))


@pytest.mark.parametrize("name", TRAPS)
def test_operation_on_files_or_code_is_refused_by_name_and_never_run(
    folder: pathlib.Path, tmp_path: pathlib.Path, name: str
) -> None:
    trap, file = TRAPS[name], tmp_path / "planted" / "file"
    file.parent.mkdir()
    module = trap.make(str(file))
    tf.saved_model.save(module, str(tmp_path / "hostile"), signatures={"log_prob": module.log_prob})
    put_graph(folder, tmp_path / "hostile")
    expected = tfgmm.load_scorer(folder).log_prob(ROWS)  # numbers only: the graph is not looked at
    assert np.isfinite(expected).all()
    refused(folder, repr(trap.operation) if trap.operation != "SaveV2" else "SaveV2")
    assert os.listdir(file.parent) == []
    if trap.writes:
        assert springs(folder, file), "the trap itself does not work: the test would see nothing"


# --- Our own graph, with one thing changed


def function_with(graph: Any, operation: str) -> Any:
    functions = graph.graph_def.library.function
    return next(function for function in functions if any(node.op == operation for node in function.node_def))


def node_with(graph: Any, operation: str) -> Any:
    return next(node for node in graph.graph_def.node if node.op == operation)


def named(graph: Any, name: str) -> Any:
    return next(node for node in graph.graph_def.node if node.name == name)


def operation_of(graph: Any, operation: str) -> Any:
    return next(node for node in function_with(graph, operation).node_def if node.op == operation)


def object_of(graph: Any, kind: str) -> Any:
    return next(node for node in graph.object_graph_def.nodes if node.WhichOneof("kind") == kind)


def with_asset(graph: Any) -> None:
    asset = graph.asset_file_def.add(filename="../x")
    asset.tensor_info.name = "Const:0"


def with_a_restoring_function_that_writes(graph: Any) -> None:
    function_with(graph, "RestoreV2").node_def.add().CopyFrom(operation_of(graph, "SaveV2"))


def with_a_place_of_its_own(graph: Any) -> None:
    operation_of(graph, "RestoreV2").input[0] = "RestoreV2/tensor_names:output:0"


def with_another_place_for_the_saver(graph: Any) -> None:
    named(graph, graph.saver_def.restore_op_name).input[0] = "Const_2"


def with_a_second_call_of_the_saver(graph: Any) -> None:
    node = graph.graph_def.node.add()
    node.CopyFrom(named(graph, graph.saver_def.save_tensor_name.partition(":")[0]))
    node.name = "again"


def with_a_saver_inside_a_function(graph: Any) -> None:
    function = next(function for function in graph.graph_def.library.function if "sample" in function.signature.name)
    function.node_def.add().CopyFrom(named(graph, graph.saver_def.restore_op_name))


def with_a_saver_called_by_name(graph: Any) -> None:
    saver = function_with(graph, "SaveV2").signature
    named(graph, "StatefulPartitionedCall").attr["f"].func.name = saver.name = "Identity"


def with_a_circle(graph: Any) -> None:
    calling = function_with(graph, "PartitionedCall")
    operation_of(graph, "PartitionedCall").attr["f"].func.name = calling.signature.name


def with_a_function_twice(graph: Any) -> None:
    graph.graph_def.library.function.add().CopyFrom(graph.graph_def.library.function[0])


def with_a_huge_constant(graph: Any) -> None:
    shape = node_with(graph, "Const").attr["value"].tensor.tensor_shape
    shape.dim[0].size = 10**12


def with_settings(graph: Any) -> None:
    settings = tf.compat.v1.ConfigProto()
    settings.graph_options.build_cost_model = 1
    node_with(graph, "PartitionedCall").attr["config_proto"].s = settings.SerializeToString()


def with_a_class_to_look_up(graph: Any) -> None:
    spec = object_of(graph, "function").function.function_spec
    spec.input_signature.tuple_value.values[0].type_spec_value.type_spec_class_name = "Any"


def with_a_resource_captured(graph: Any) -> None:
    object_of(graph, "constant").resource.device = "CPU"


def with_a_list_of_functions(graph: Any) -> None:
    node_with(graph, "PartitionedCall").attr["more"].list.func.add(name="unknown")


def with_a_load_that_saves(graph: Any) -> None:
    named(graph, "NoOp").input.append("^StatefulPartitionedCall")


CHANGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "an asset": (with_asset, "the asset '../x'"),
    "another tag": (lambda graph: graph.meta_info_def.tags.append("train"), "one graph, tagged serve"),
    "an operation": (lambda graph: setattr(operation_of(graph, "Exp"), "op", "ReadFile"), "'ReadFile' in function"),
    "an operation in the graph": (lambda graph: graph.graph_def.node.add(op="PyFunc"), "'PyFunc' in the graph"),
    "files in a function": (lambda graph: setattr(operation_of(graph, "Exp"), "op", "RestoreV2"), "RestoreV2"),
    "files in the graph": (lambda graph: graph.graph_def.node.add(op="SaveV2"), "SaveV2 in the graph"),
    "no saver_def": (lambda graph: graph.ClearField("saver_def"), "saver_def does not name"),
    "a saver that is none": (lambda graph: setattr(graph.saver_def, "restore_op_name", "NoOp"), "not the call of"),
    "restoring that writes": (with_a_restoring_function_that_writes, "SaveV2 in function"),
    "restoring from elsewhere": (with_a_place_of_its_own, "a place of its own"),
    "a place that is not given": (with_another_place_for_the_saver, "a place of its own"),
    "a saver called again": (with_a_second_call_of_the_saver, "beside the saver's own"),
    "a saver in a function": (with_a_saver_inside_a_function, "beside the saver's own"),
    "a saver called by name": (with_a_saver_called_by_name, "function 'Identity' where another"),
    "a function that calls itself": (with_a_circle, "calls itself"),
    "a function twice": (with_a_function_twice, "where another of that name"),
    "a function that is not there": (
        lambda graph: setattr(node_with(graph, "PartitionedCall").attr["f"].func, "name", "gone"),
        "'gone', which is not there",
    ),
    "functions in a list": (with_a_list_of_functions, "AttrValue.ListValue.func"),
    "a node twice": (lambda graph: graph.graph_def.node.add(name="NoOp", op="NoOp"), "two nodes of one name"),
    "a node after the saver": (lambda graph: named(graph, "Const").input.append("^StatefulPartitionedCall"), "'Const'"),
    "a load that saves": (with_a_load_that_saves, "runs the saver"),
    "a load that runs": (lambda graph: named(graph, "NoOp").input.append("^Const"), "would run 'NoOp'"),
    "another main operation": (
        lambda graph: setattr(
            graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"], "name", "PartitionedCall:0"
        ),
        "would run 'PartitionedCall:0'",
    ),
    "another collection": (
        lambda graph: graph.collection_def["legacy_init_op"].node_list.value.append("NoOp"),
        "'legacy_init_op'",
    ),
    "a signature that saves": (
        lambda graph: setattr(graph.signature_def["sample"].outputs["x"], "name", "StatefulPartitionedCall:0"),
        "signature 'sample', which runs the saver",
    ),
    "an object that saves": (
        lambda graph: object_of(graph, "function").function.concrete_functions.append(
            function_with(graph, "SaveV2").signature.name
        ),
        "offers the function",
    ),
    "a gradient": (
        lambda graph: graph.graph_def.library.gradient.add(function_name="f"),
        "FunctionDefLibrary.gradient",
    ),
    "a registered gradient": (
        lambda graph: graph.graph_def.library.registered_gradients.add(gradient_func="f"),
        "registered_gradients",
    ),
    "a resource": (with_a_resource_captured, "SavedObject.resource"),
    "a variable": (lambda graph: graph.object_graph_def.nodes.add().variable.SetInParent(), "SavedObject.variable"),
    "an asset among the objects": (
        lambda graph: graph.object_graph_def.nodes.add().asset.SetInParent(),
        "SavedObject.asset",
    ),
    "a saver of its own": (
        lambda graph: setattr(graph.object_graph_def.nodes[0], "registered_saver", "mine"),
        "SavedObject.registered_saver",
    ),
    "functions that restore": (
        lambda graph: setattr(graph.object_graph_def.nodes[0].saveable_objects["x"], "restore_function", 1),
        "SavedObject.saveable_objects",
    ),
    "a class": (
        lambda graph: setattr(graph.object_graph_def.nodes[0].user_object, "identifier", "_tf_keras_model"),
        "'_tf_keras_model'",
    ),
    "a registered class": (
        lambda graph: setattr(graph.object_graph_def.nodes[0], "registered_name", "Custom>Mine"),
        "'Custom>Mine'",
    ),
    "an initialiser": (
        lambda graph: setattr(graph.object_graph_def.nodes[0].children[0], "local_name", "_initialize"),
        "'_initialize'",
    ),
    "a constant that is none": (
        lambda graph: setattr(object_of(graph, "constant").constant, "operation", "NoOp"),
        "the constant 'NoOp'",
    ),
    "a capture of an object": (
        lambda graph: next(iter(graph.object_graph_def.concrete_functions.values())).bound_inputs.append(0),
        "captures something other",
    ),
    "a huge constant": (with_a_huge_constant, "declares constants of more than"),
    "a constant of negative size": (
        lambda graph: setattr(node_with(graph, "Const").attr["value"].tensor.tensor_shape.dim[0], "size", -1),
        "declares constants",
    ),
    "settings": (with_settings, "the setting graph_options"),
    "settings that are none": (
        lambda graph: setattr(node_with(graph, "PartitionedCall").attr["config_proto"], "s", b"\xff"),
        "settings that cannot be read",
    ),
    "a class to look up": (with_a_class_to_look_up, "StructuredValue.type_spec_value"),
    "a signature more": (lambda graph: graph.signature_def["more"].SetInParent(), "has the signature 'more'"),
    "a signature less": (lambda graph: graph.signature_def.pop("outlier"), "has an object of the name 'outlier'"),
    "an output more": (
        lambda graph: (
            graph.signature_def["log_prob"].outputs["y"].CopyFrom(graph.signature_def["log_prob"].outputs["log_prob"])
        ),
        "must have the inputs x and the outputs log_prob",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_one_thing_changed_is_refused_with_the_reason(folder: pathlib.Path, change: str) -> None:
    graph = graph_of(folder)
    whole = graph.SerializeToString()
    CHANGES[change][0](graph.meta_graphs[0])
    assert graph.SerializeToString() != whole
    (folder / "saved_model.pb").write_bytes(graph.SerializeToString())
    make_sums_right(folder)
    refused(folder, CHANGES[change][1])


def nested(depth: int) -> bytes:
    """Returns a graph of one node, whose type has a type as its argument, which has a type ..., as its bytes."""
    contents = b""
    for number in (2,) * depth + (7, 1, 2, 2):  # FullTypeDef.args; experimental_type, node, graph_def, meta_graphs
        contents = field(number, contents)
    return contents


def field(number: int, contents: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(contents)) + contents


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


BYTES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda _: b"", "one graph"),
    "no message": (lambda _: b"\xff" * 1000, "cannot be read"),
    "half a message": (lambda whole: whole[: len(whole) // 2], "cannot be read"),
    "a message after it": (lambda whole: whole + whole, "one graph"),
    "a field that nobody knows": (lambda whole: whole + field(999, b"x"), "SavedModel.a field without a name"),
    "deep": (lambda _: nested(300), "cannot be read"),
    "very deep": (lambda _: nested(50_000), "cannot be read"),
    "not so deep": (lambda _: nested(20), "one graph, tagged"),
    "too long": (lambda whole: whole + bytes(2**21), "are the most"),
}


@pytest.mark.parametrize("change", BYTES)
def test_bytes_that_are_no_graph_of_ours_are_refused(folder: pathlib.Path, change: str) -> None:
    whole = (folder / "saved_model.pb").read_bytes()
    (folder / "saved_model.pb").write_bytes(BYTES[change][0](whole))
    make_sums_right(folder)
    refused(folder, BYTES[change][1])


@pytest.mark.slow
def test_mutations_are_refused_or_change_no_answer(folder: pathlib.Path) -> None:
    chance, file = random.Random(0), folder / "saved_model.pb"
    whole, passed = file.read_bytes(), 0
    for _ in range(100):
        mutated = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(mutated))
            mutated[place] = chance.choice((mutated[place] ^ 1 << chance.randrange(8), 0, 255, chance.randrange(256)))
        file.write_bytes(mutated)
        make_sums_right(folder)
        try:
            found = verify_export(folder)
        except tfgmm.IntegrityError as error:
            assert "whose saved_model.pb" in str(error) and str(error).isprintable()
        else:
            passed += 1
            assert max(found.largest_differences.values()) <= 1e-6
    assert passed < 50
