"""What the graphs of our exports are made of: operations, and fields of their messages. All else is refused.

A test exports every kind of mixture and compares. When it fails, it says what to add here or to remove.
"""

from __future__ import annotations

# The operations of our exports, for every covariance shape. None reads or writes anything outside the graph.
OPERATIONS = frozenset(
    """
    Abs AddN AddV2 All Any ArgMax BatchMatMulV2 BroadcastTo Cast Cholesky ConcatV2 Const Einsum EnsureShape Equal
    Exp ExpandDims Fill FloorDiv GatherV2 Greater Identity IsFinite IsNan Less Log LogicalAnd LogicalNot
    LogicalOr LowerBound MatMul MatrixDiagPartV3 MatrixDiagV3 MatrixInverse MatrixTriangularSolve Max Maximum
    Minimum Mul Neg NoOp OnesLike Pack Pad PartitionedCall Placeholder Qr RealDiv Reshape Rsqrt Select SelectV2
    Shape SplitV Sqrt Square Squeeze StatefulPartitionedCall StatelessIf StatelessMultinomial
    StatelessRandomGetKeyCounter StatelessRandomNormalV2 StatelessRandomUniformFullIntV2 StatelessWhile
    StaticRegexFullMatch StopGradient StridedSlice StringJoin Sub Sum TensorListReserve TensorListSetItem
    TensorListStack TopKV2 Transpose Unpack ZerosLike
    """.split()
)
# Those that only the exports of earlier versions have
EARLIER_OPERATIONS = frozenset(("LogMatrixDeterminant", "TensorListConcatV2"))
# These do, and TensorFlow puts them into every SavedModel: allowed only where saver_def says, see `graph_check`
FILE_OPERATIONS = frozenset(("MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"))

# The fields that our exports fill, of the messages by which a graph could hold more than numbers and operations:
# no assets, gradients, resources, variables, savers of its own, remote functions, or classes to look up
FIELDS = {
    name: frozenset(fields.split())
    for name, fields in {
        "SavedModel": "saved_model_schema_version meta_graphs",
        "MetaGraphDef": "meta_info_def graph_def saver_def collection_def signature_def object_graph_def",
        "MetaGraphDef.MetaInfoDef": "stripped_op_list tags tensorflow_version tensorflow_git_version "
        "stripped_default_attrs",
        "GraphDef": "node library versions",
        "FunctionDefLibrary": "function",
        "FunctionDef": "signature node_def ret attr control_ret arg_attr",
        "NodeDef": "name op input device attr experimental_type",
        "NameAttrList": "name",
        "AttrValue": "b func i list s shape tensor type",
        "AttrValue.ListValue": "i s shape type",
        "TensorProto": "dtype tensor_shape tensor_content bool_val double_val float_val int_val int64_val string_val",
        "CollectionDef": "node_list",
        "SaverDef": "filename_tensor_name save_tensor_name restore_op_name version",
        "SignatureDef": "inputs outputs method_name",
        "TensorInfo": "name dtype tensor_shape",
        "SavedObjectGraph": "nodes concrete_functions",
        "SavedObject": "children dependencies user_object function bare_concrete_function constant registered_name",
        "SavedUserObject": "identifier version",
        "SavedConstant": "operation",
        "SavedFunction": "concrete_functions function_spec",
        "SavedConcreteFunction": "bound_inputs canonicalized_input_signature output_signature",
        "SavedBareConcreteFunction": "concrete_function_name argument_keywords allowed_positional_arguments "
        "function_spec",
        "FunctionSpec": "fullargspec input_signature",
        "StructuredValue": "none_value string_value tensor_spec_value list_value tuple_value dict_value "
        "named_tuple_value",
    }.items()
}
# Of the settings that a call carries as bytes: how many devices and threads, nothing that names files or hosts
SETTINGS = frozenset(
    "device_count intra_op_parallelism_threads inter_op_parallelism_threads allow_soft_placement gpu_options "
    "experimental pluggable_device_options".split()
)
