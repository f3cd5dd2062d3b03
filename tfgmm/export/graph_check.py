"""The graph of an exported folder, read as a message and checked against what our own exports have, never loaded.

A SavedModel is a program, and TensorFlow runs parts of it while loading. So everything unknown is refused: operations,
fields, and ways in which something would run before anybody asks for a score.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tfgmm.common.words import shown
from tfgmm.export.known_operations import EARLIER_OPERATIONS, FIELDS, FILE_OPERATIONS, OPERATIONS, SETTINGS

_DEEPEST = 8  # functions that call functions; ours do so 3 deep
_CLASSES = ("_generic_user_object", "signature_map")  # what the objects of a SavedModel become
_KNOWN = OPERATIONS | EARLIER_OPERATIONS | FILE_OPERATIONS
_INIT = "__saved_model_init_op"  # the signature that runs at load
_MAIN = "saved_model_main_op"  # and the collection


class GraphFault(ValueError):
    """A graph is not one that tfgmm exports. The message follows "whose saved_model.pb"."""


def checked_graph(contents: bytes, most: int) -> Any:
    """Reads the SavedModel message in `contents`, and checks that it holds what our exports hold and nothing else.

    Args:
        contents: Bytes of a saved_model.pb.
        most: Largest number of elements that all constants together may declare.

    Raises:
        GraphFault: it is no SavedModel, or has an operation, a field or a way to run at load that ours do not have.
    """
    saved_model = _parsed(contents)
    if len(saved_model.meta_graphs) != 1 or list(saved_model.meta_graphs[0].meta_info_def.tags) != ["serve"]:
        raise GraphFault("must hold one graph, tagged serve")
    [meta_graph] = saved_model.meta_graphs
    for asset in meta_graph.asset_file_def:
        raise GraphFault(f"has the asset {_shown(asset.filename)}, a file that would be read")
    _check_operations(meta_graph)
    _check_messages(saved_model, most)
    _check_calls(meta_graph.graph_def.library)
    _check_saver(meta_graph)
    _check_main_operation(meta_graph)
    _check_objects(meta_graph)
    return saved_model


def operations(meta_graph: Any) -> Counter[str]:
    """Counts how often each operation stands in a graph and its functions."""
    return Counter(node.op for _, node in _nodes(meta_graph))


def messages(message: Any) -> Iterator[Any]:
    """Yields a protobuf message and all messages inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            parts = list(value.values()) if field.message_type.fields_by_name["value"].message_type else []
        else:
            parts = [value] if hasattr(value, "ListFields") else list(value)
        for part in parts:
            yield from messages(part)


def _shown(text: str) -> str:
    return repr(shown(text, 60))


def _parsed(contents: bytes) -> Any:
    # TensorFlow's public names have a class for GraphDef, none for the message of a saved_model.pb. This is where its
    # wheels have had it for years; the alternative, tf.saved_model.load, would run what is to be checked first.
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        return saved_model_pb2.SavedModel.FromString(contents)
    except (DecodeError, RecursionError) as error:
        raise GraphFault(f"cannot be read ({shown(str(error))})") from error


def _nodes(meta_graph: Any) -> Iterator[tuple[str, Any]]:
    """Yields every node with the name of the function it stands in, "" for the graph itself."""
    yield from (("", node) for node in meta_graph.graph_def.node)
    for function in meta_graph.graph_def.library.function:
        yield from ((function.signature.name, node) for node in function.node_def)


def _place(function: str) -> str:
    return f"function {_shown(function)}" if function else "the graph"


def _check_operations(meta_graph: Any) -> None:
    """Checks the operations of the graph and of its functions: Raises GraphFault unless every one is known."""
    places = {node.op: function for function, node in _nodes(meta_graph)}
    unknown = [f"{_shown(op)} in {_place(places[op])}" for op in sorted(places.keys() - _KNOWN)]
    if unknown:
        rest = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise GraphFault(f"has operations that no export of ours has: {', '.join(unknown[:5])}{rest}")


def _check_messages(saved_model: Any, most: int) -> None:
    """Checks that all fields are known, and that constants declare no more than `most` elements in all."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    num_elements = 0
    for message in messages(saved_model):
        name = message.DESCRIPTOR.full_name.removeprefix("tensorflow.")
        fields = {field.name for field, _ in message.ListFields()}
        unknown = ["a field without a name"] if len(UnknownFieldSet(message)) else fields - FIELDS.get(name, fields)
        if unknown:
            raise GraphFault(f"has {name}.{min(unknown)}: no export of ours has")
        if name == "TensorProto":
            sizes = [dim.size for dim in message.tensor_shape.dim]
            num_elements += math.prod(sizes)
            if min(sizes, default=0) < 0 or num_elements > most:
                raise GraphFault(f"declares constants of more than {most} elements")
        if name == "NodeDef" and "config_proto" in message.attr:
            _check_settings(message)


def _check_settings(node: Any) -> None:
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        settings = tf.compat.v1.ConfigProto.FromString(node.attr["config_proto"].s)
    except DecodeError:
        raise GraphFault(f"has settings that cannot be read, of the call {_shown(node.name)}") from None
    unknown = sorted({field.name for field, _ in settings.ListFields()} - SETTINGS)
    if unknown:
        raise GraphFault(f"has the setting {unknown[0]} of the call {_shown(node.name)}: no export of ours has")


def _called(node: Any) -> list[str]:
    return [value.func.name for value in node.attr.values() if value.HasField("func")]


def _check_calls(library: Any) -> None:
    """Checks the names of functions, each of which must be used once, and that no chain of calls is too deep."""
    names = [function.signature.name for function in library.function]
    for name, count in Counter(names).items():
        # A function of the name of an operation takes its place
        if count > 1 or name in _KNOWN:
            raise GraphFault(f"has a function {_shown(name)} where another of that name is")
    waiting = {
        function.signature.name: {name for node in function.node_def for name in _called(node)}
        for function in library.function
    }
    for _ in range(_DEEPEST):
        waiting = {name: called & waiting.keys() for name, called in waiting.items() if called & waiting.keys()}
    if waiting:
        raise GraphFault(f"has the function {_shown(min(waiting))}, which calls itself or others too deeply")


def _check_saver(meta_graph: Any) -> None:
    """Checks that only the two nodes that saver_def names lead to operations on files.

    A server runs the one that restores: it may read from the place that it is given, and do no more.
    """
    saver, named = meta_graph.saver_def, _named_nodes(meta_graph)
    ends = [_node_of(saver.save_tensor_name), _node_of(saver.restore_op_name)] if saver.save_tensor_name else []
    allowed: dict[str, frozenset[str]] = {}
    for end, operations in zip(ends, (FILE_OPERATIONS - {"RestoreV2"}, frozenset(("RestoreV2",)))):
        called = _called(named[end]) if end in named and named[end].op == "StatefulPartitionedCall" else []
        if len(called) != 1:
            raise GraphFault(f"has the saver {_shown(end)}, which is not the call of a function")
        allowed[called[0]] = operations
    for function, node in _nodes(meta_graph):
        if node.op in FILE_OPERATIONS and node.op not in allowed.get(function, ()):
            raise GraphFault(f"has the operation {node.op} in {_place(function)}, which saver_def does not name for it")
    _check_only_savers_call(meta_graph, ends, allowed.keys())
    if ends:
        _check_restore(meta_graph, named, named[ends[1]])


def _named_nodes(meta_graph: Any) -> dict[str, Any]:
    named = {node.name: node for node in meta_graph.graph_def.node}
    if len(named) < len(meta_graph.graph_def.node):
        raise GraphFault("has two nodes of one name")
    return named


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _check_only_savers_call(meta_graph: Any, ends: list[str], savers: Any) -> None:
    """Checks that nothing else calls the functions of the saver or waits for its nodes."""
    functions = {function.signature.name for function in meta_graph.graph_def.library.function}
    for function, node in _nodes(meta_graph):
        for called in _called(node):
            if called not in functions:
                raise GraphFault(f"calls the function {_shown(called)}, which is not there")
            if (called in savers and (function or node.name not in ends)) or function in savers:
                raise GraphFault(f"has a call of {_shown(called)} in {_place(function)}, beside the saver's own")
        if not function and not {_node_of(name) for name in node.input}.isdisjoint(ends):
            raise GraphFault(f"has the node {_shown(node.name)}, which runs the saver")
    for name, signature in meta_graph.signature_def.items():
        tensors = [tensor.name for part in (signature.inputs, signature.outputs) for tensor in part.values()]
        if not {_node_of(tensor) for tensor in tensors}.isdisjoint(ends):
            raise GraphFault(f"has the signature {_shown(name)}, which runs the saver")
    for name in _functions_of_objects(meta_graph.object_graph_def):
        if name not in functions or name in savers:
            raise GraphFault(f"offers the function {_shown(name)}, which is not there or the saver's own")


def _functions_of_objects(objects: Any) -> Iterator[str]:
    yield from objects.concrete_functions
    for node in objects.nodes:
        yield from node.function.concrete_functions
        if node.HasField("bare_concrete_function"):
            yield node.bare_concrete_function.concrete_function_name


def _check_restore(meta_graph: Any, named: dict[str, Any], node: Any) -> None:
    """Checks that the function that restores reads from the place that it is given."""
    place = _node_of(meta_graph.saver_def.filename_tensor_name)
    is_given = place in named and named[place].op == "Placeholder" and list(node.input) == [place]
    [name] = _called(node)
    for function in meta_graph.graph_def.library.function:
        if function.signature.name == name:
            arguments = [argument.name for argument in function.signature.input_arg]
            reads = [inner.input[:1] for inner in function.node_def if inner.op == "RestoreV2"]
            is_given = is_given and all(len(arguments) == 1 and list(read) == arguments for read in reads)
    if not is_given:
        raise GraphFault("has a saver that restores from a place of its own")


def _check_main_operation(meta_graph: Any) -> None:
    """Checks that the operation that runs at load does nothing and waits for nothing."""
    at_load = [node for collection in meta_graph.collection_def.values() for node in collection.node_list.value]
    if meta_graph.collection_def.keys() - {_MAIN}:
        raise GraphFault(f"has the collection {_shown(min(meta_graph.collection_def.keys() - {_MAIN}))}")
    if _INIT in meta_graph.signature_def:
        at_load += [tensor.name for tensor in meta_graph.signature_def[_INIT].outputs.values()]
    named = _named_nodes(meta_graph)
    for name in at_load:
        node = named.get(_node_of(name))
        if node is None or node.op != "NoOp" or node.input:
            raise GraphFault(f"would run {_shown(name)} when it is loaded")


def _check_objects(meta_graph: Any) -> None:
    """Checks that the objects are functions, signatures, and constants that they use."""
    nodes, named = meta_graph.object_graph_def.nodes, _named_nodes(meta_graph)
    for node in nodes:
        if node.HasField("user_object") and node.user_object.identifier not in _CLASSES:
            raise GraphFault(f"has an object of the class {_shown(node.user_object.identifier)}")
        is_constant = node.HasField("constant")
        if node.registered_name and not (is_constant and node.registered_name == "tf.TrackableConstant"):
            raise GraphFault(f"has an object of the registered class {_shown(node.registered_name)}")
        if is_constant and (node.constant.operation not in named or named[node.constant.operation].op != "Const"):
            raise GraphFault(f"has the constant {_shown(node.constant.operation)}, which is none")
        for child in (*node.children, *node.dependencies):
            if not (child.local_name in {*meta_graph.signature_def, "signatures"} or _is_numbered(child.local_name)):
                raise GraphFault(f"has an object of the name {_shown(child.local_name)}")
    for function in meta_graph.object_graph_def.concrete_functions.values():
        for index in function.bound_inputs:
            if not (0 <= index < len(nodes) and nodes[index].HasField("constant")):
                raise GraphFault("has a function that captures something other than a constant")


def _is_numbered(name: str) -> bool:
    return re.fullmatch(r"(trace|capture)_\d+", name) is not None
