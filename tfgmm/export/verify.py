"""Checking the whole of an exported folder: its files, its numbers, and the graph beside them."""

from __future__ import annotations

import hashlib
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.atomic_folder import path_of
from tfgmm.common.forks import check_not_forked
from tfgmm.common.words import shown
from tfgmm.export import graph_check
from tfgmm.export.folder import CARD, FILES, GRAPH, PARAMETERS, Place, holds_graph, read_bytes
from tfgmm.export.reading import ExportedMixture, read_export
from tfgmm.export.signatures import Signature, signatures_of
from tfgmm.mixture import outliers
from tfgmm.mixture.parameters import form_of
from tfgmm.mixture.registry import COVARIANCES

NUM_POINTS = 64
TOLERANCE = 1e-6  # of a score; relative, where the score is larger than 1

LEVEL = 0.8
OLDEST = 2  # format version; graphs of version 1 had other operations
_OF_DRAWS, _OF_GAPS = 3, 4  # versions whose graphs answer from draws, and take rows with gaps
# The signature that runs at load; `graph_check` makes sure that it does nothing
_AT_LOAD = {"__saved_model_init_op": Signature((), ("__saved_model_init_op",))}

_FIX = "Do not serve it: export the model again, or score with tfgmm.load_scorer, which does not load the graph."


class Verified(NamedTuple):
    """What was checked in an exported folder; all of it passed.

    Args:
        card: Model card.
        num_files: Number of files besides the card, each with the size and SHA-256 that the card states.
        operations: How often each operation stands in the graph; empty where the folder holds the numbers alone.
        largest_differences: Largest difference of each signature from the scores that the numbers give; relative,
            where a score is larger than 1. Empty where the folder holds the numbers alone.
    """

    card: dict[str, Any]
    num_files: int
    operations: Mapping[str, int]
    largest_differences: Mapping[str, float]


def verify_export(path: str | os.PathLike[str], name: str = "path") -> Verified:
    """Checks an exported folder: Raises IntegrityError unless every check passes.

    Files and numbers are checked first, as `tfgmm.load_scorer` does. Without a graph that is all, and TensorFlow is not
    loaded. A graph is read as a message: every operation, in every function, must be one that our exports use, and
    nothing may run at load. Only then does TensorFlow load it, from a copy of what was checked, and every signature
    must give at 64 points what the numbers give, to 1e-6.

    Args:
        path: Path of a folder written by `tfgmm.export_model`.
        name: What error messages call `path`.

    Returns:
        `Verified`, which lists what was checked.

    Raises:
        FileNotFoundError: no such folder. NotADirectoryError: not a folder.
        IntegrityError (a ValueError): not an export, not as it was written, or with a graph of something else.

    Example:

    >>> import tempfile
    >>> folder = tfgmm.export_model(tfgmm.GaussianMixtureModel(2, 1, seed=0), tempfile.mkdtemp() + "/mixture")
    >>> max(verify_export(folder).largest_differences.values()) < 1e-6
    True
    """
    export = read_export(path, name)
    place = Place(path_of(path, name), name)
    _check_files(place, export.card)
    if not holds_graph(export.card):
        return Verified(export.card, len(export.card["files"]), {}, {})
    check_not_forked("checking a SavedModel")
    if export.card["format_version"] < OLDEST:
        what = f"has format version {export.card['format_version']}, whose graphs are not known to this tfgmm"
        raise place.refusal(CARD, what, _FIX)
    contents, most = _graph_contents(place, export)
    try:
        graph = graph_check.checked_graph(contents, most)
        _check_signatures(graph.meta_graphs[0].signature_def, export)
        differences = _differences(graph, export)
    except graph_check.GraphFault as error:
        raise place.refusal(GRAPH, str(error), _FIX) from error
    return Verified(export.card, len(export.card["files"]), graph_check.operations(graph.meta_graphs[0]), differences)


def _check_files(place: Place, card: Mapping[str, Any]) -> None:
    """Checks that there is nothing that only a server would read, and that no part of a graph is missing."""
    listed = card["files"].keys()
    for name in sorted(listed - FILES):
        raise place.refusal(name, "is not part of a SavedModel of ours")
    for name in sorted(FILES - listed - {"fingerprint.pb"}) if holds_graph(card) else ():
        raise place.refusal(name, "is missing")


def _graph_contents(place: Place, export: ExportedMixture) -> tuple[bytes, int]:
    """Reads the graph and checks its checksum: Returns its bytes, and the most bytes that such a mixture may need."""
    listed = export.card["files"]
    num_components, num_features = export.components["locs"].shape
    # Ours have 250 kB of operations, and for full matrices up to 13 K (D + 1)^2 bytes of numbers
    most = 2**20 + 32 * listed[PARAMETERS]["bytes"] + 64 * num_components * (num_features + 1) ** 2
    if listed[GRAPH]["bytes"] > most:
        what = f"has {listed[GRAPH]['bytes']} bytes where {most} are the most that the card's sizes need"
        raise place.refusal(GRAPH, what)
    contents = read_bytes(place.folder / GRAPH, most)
    if hashlib.sha256(contents).hexdigest() != listed[GRAPH]["sha256"]:
        raise place.refusal(GRAPH, "has changed while it was read")
    return contents, most


def _version(export: ExportedMixture) -> int:
    """Finds the format version of an export: by what it holds, before what its card says."""
    return OLDEST if export.drawn is None else max(_OF_DRAWS, export.card["format_version"])


def _signatures(export: ExportedMixture) -> dict[str, Signature]:
    """Looks up the signatures that an export of this version and shape has."""
    return signatures_of(_version(export), is_correlated=COVARIANCES[export.covariance].is_correlated)


def _check_signatures(signatures: Mapping[str, Any], export: ExportedMixture) -> None:
    """Checks signatures: Raises GraphFault unless they are those of our exports, with the same inputs and outputs."""
    expected = _signatures(export) | _AT_LOAD
    for name in sorted(expected.keys() ^ signatures.keys()):
        kind = "lacks" if name in expected else "has"
        raise graph_check.GraphFault(f"{kind} the signature {shown(name, 60)!r}: ours are {', '.join(expected)}")
    for name, sides in expected.items():
        if (set(signatures[name].inputs), set(signatures[name].outputs)) != (set(sides.inputs), set(sides.outputs)):
            what = f"must have the inputs {', '.join(sides.inputs)} and the outputs {', '.join(sides.outputs)}"
            raise graph_check.GraphFault(f"has the signature {name!r}, which {what}")


def _differences(graph: Any, export: ExportedMixture) -> dict[str, float]:
    """Computes the largest difference of each signature from what the numbers give; GraphFault if it is too large."""
    points = _points(export) if _version(export) < _OF_GAPS else _with_gaps(_points(export))
    try:
        expected = _expected(export, points)
    except ValueError as error:  # a centre that no float32 row can be near
        raise graph_check.GraphFault(f"cannot be compared: {shown(str(error))}") from error
    values = {
        "x": points,
        "level": np.float32(LEVEL),
        "given": _given_columns(points.shape[1]),
        "num_samples": np.array(NUM_POINTS),
        "seed": np.array(0),
    }
    requests = {name: {key: values[key] for key in sides.inputs} for name, sides in _signatures(export).items()}
    largest = dict.fromkeys(requests, 0.0)
    for answers in _answers(graph, requests):
        for name, outputs in answers.items():
            if outputs.keys() != expected[name].keys():
                raise graph_check.GraphFault(f"has the signature {name!r}, which gives {', '.join(sorted(outputs))}")
            for output in outputs:
                difference = _difference(name, output, outputs[output], expected)
                largest[name] = max(largest[name], difference)
    return largest


def _given_columns(num_features: int) -> np.ndarray:
    """Marks the columns that marginal and conditional densities are compared for, (D,) bool: every other one."""
    return np.arange(num_features) % 2 == 0


def _expected(export: ExportedMixture, points: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Computes from the numbers what each output of each signature must be, as it is served."""
    from tfgmm.export.scorer import Scorer
    from tfgmm.scoring.graph.sampling import sample_rows
    from tfgmm.scoring.graph.scores import factors_of, imputed
    from tfgmm.scoring.scores import score_data

    scorer, signatures = Scorer(export), _signatures(export)
    columns = np.flatnonzero(_given_columns(points.shape[1])).tolist()
    sample = np.asarray(sample_rows(scorer.plug_in(), NUM_POINTS, np.zeros(2, np.int64)))
    # By the operations that the graph must have, so that rounding makes no difference for narrow components either
    names: tuple[Any, ...] = ("log_prob", "responsibilities", "assignment", "log_density")
    of_rows = {name: score_data(scorer.plug_in(), points, name, by_graph=True) for name in names}
    tails = outliers.tail_probabilities(scorer.outlier_table(), of_rows["log_density"])
    of_rows["outlier"] = np.where(np.isnan(points).any(axis=1), np.float32(np.nan), tails)
    of_rows["imputed"] = imputed(points, scorer.plug_in(), factors_of(scorer.plug_in())).numpy()
    of_rows["x"] = sample if export.drawn is None else sample.astype(np.float32)
    if export.drawn is not None:
        of_rows["predictive_log_prob"] = score_data(scorer.predictive(), points, "log_prob", by_graph=True)
        of_rows["marginal_log_prob"] = scorer.marginal_log_prob(points, columns)
    expected = {
        name: {output: of_rows[output] for output in sides.outputs}
        for name, sides in signatures.items()
        if name not in ("interval", "conditional")
    }
    if export.drawn is not None:
        expected["interval"] = scorer.interval(points, LEVEL)._asdict()
        conditional = scorer.conditional(points, columns)._asdict()
        with np.errstate(over="ignore"):  # as it is served, beyond float32 too
            served = {name: values.astype(np.float32) for name, values in conditional.items() if values is not None}
        expected["conditional"] = served
    return expected


def _answers(graph: Any, requests: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, dict[str, np.ndarray]]]:
    """Yields the outputs of the signatures, in one way and then another; GraphFault if TensorFlow cannot run them.

    Python runs the functions of the objects, servers run the nodes that the signatures name: the two may differ.
    """
    for answers_of in (_answers_of_functions, _answers_of_nodes):
        try:
            answers = answers_of(graph, requests)
        except Exception as error:  # TensorFlow may raise anything for an unknown graph
            what = f"cannot be run by TensorFlow ({type(error).__name__}: {shown(str(error))})"
            raise graph_check.GraphFault(what) from error
        yield answers


def _answers_of_functions(graph: Any, requests: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, np.ndarray]]:
    import tensorflow as tf

    # The message that was checked is written anew: another parser might read the same bytes differently, and the file
    # may have been replaced meanwhile. The graph has no variables, so the untrusted checkpoint is not opened.
    options = tf.saved_model.LoadOptions(experimental_skip_checkpoint=True)
    with tempfile.TemporaryDirectory() as copy:
        pathlib.Path(copy, GRAPH).write_bytes(graph.SerializeToString())
        loaded = tf.saved_model.load(copy, options=options)
        answers = {}
        for name, inputs in requests.items():
            outputs = loaded.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
            answers[name] = {output: values.numpy() for output, values in outputs.items()}
        return answers


def _answers_of_nodes(graph: Any, requests: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, np.ndarray]]:
    import tensorflow as tf

    [meta_graph], answers = graph.meta_graphs, {}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(meta_graph.graph_def, name="")
        for name, inputs in requests.items():
            signature = meta_graph.signature_def[name]
            feed = {signature.inputs[key].name: value for key, value in inputs.items()}
            answers[name] = session.run({key: tensor.name for key, tensor in signature.outputs.items()}, feed)
    return answers


def _difference(name: str, score: str, values: np.ndarray, expected: Mapping[str, Mapping[str, np.ndarray]]) -> float:
    """Computes the largest difference of a score, relative where it is larger than 1; GraphFault if it is too large."""
    wanted = expected[name][score]
    if values.shape != wanted.shape or values.dtype != wanted.dtype:
        what = f"{values.dtype} of shape {values.shape} where {wanted.dtype} of shape {wanted.shape} is needed"
        raise graph_check.GraphFault(f"has the signature {name!r}, whose {score} is {what}")
    if score == "assignment":
        differences = _less_probable(values, expected["serving_default"])
    else:
        values, wanted = values.astype(np.float64), wanted.astype(np.float64)
        with np.errstate(invalid="ignore"):
            differences = np.abs(values - wanted) / np.maximum(1.0, np.abs(wanted))
        differences[(values == wanted) | (np.isnan(values) & np.isnan(wanted))] = 0.0
    largest = float(np.max(np.nan_to_num(differences, nan=np.inf)))
    if largest > TOLERANCE:
        what = f"differs by {largest:.3g} from that of {PARAMETERS}: it is the graph of another mixture"
        raise graph_check.GraphFault(f"has the signature {name!r}, whose {score} {what}")
    return largest


def _less_probable(assigned: np.ndarray, expected: Mapping[str, np.ndarray]) -> np.ndarray:
    """Computes how much less probable than the best the assigned components are, (N,); 0 where both assignments are -1.

    Where two components are equally probable, a graph may name either.
    """
    probabilities, wanted = expected["responsibilities"], expected["assignment"]
    is_component = (assigned >= 0) & (assigned < probabilities.shape[1])
    chosen = np.take_along_axis(probabilities, np.where(is_component, assigned, 0)[:, None], axis=1)[:, 0]
    differences = np.where(is_component, probabilities.max(axis=1) - chosen, np.inf)
    return np.where(assigned == wanted, 0.0, differences)


def _points(export: ExportedMixture) -> np.ndarray:
    """Draws the points of the comparison, (64, D) float32, data units: around the components, a quarter of them far."""
    locs = export.components["locs"]
    generator = np.random.default_rng(0)
    owners = np.arange(NUM_POINTS) % len(locs)
    noise = generator.normal(size=(NUM_POINTS, locs.shape[1]))
    noise *= np.where(np.arange(NUM_POINTS) % 4 == 3, 30.0, 1.0)[:, None]
    away = form_of(export.covariance).standard_normal_rows(export.components, owners, noise)
    largest = float(np.finfo(np.float32).max) / 4.0
    return np.clip(export.centre + locs[owners] + away, -largest, largest).astype(np.float32)


def _with_gaps(points: np.ndarray) -> np.ndarray:
    """Takes a third of the values out of every fourth point, each time others, and all out of one of them."""
    rows, columns = np.indices(points.shape)
    is_gap = (rows % 4 == 1) & (((rows // 4 + columns) % 3 == 0) | (rows == NUM_POINTS - 3))
    return np.where(is_gap, np.float32(np.nan), points)
