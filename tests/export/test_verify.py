"""verify passes what export_model writes, and says what is wrong with a graph that is not that of the numbers."""

from __future__ import annotations

import itertools
import pathlib
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from exports import FILES, PACKAGE_ROOT, D, card_of, make_sums_right, write_card, write_parameters
from hostile_graphs import graph_of, put_graph
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.data.summary import DataSummary
from tfgmm.export import graph_check, known_operations, served, verify
from tfgmm.export.reading import ExportedMixture
from tfgmm.export.signatures import SIGNATURES, signatures_of
from tfgmm.families.variational import COMPONENTS
from tfgmm.posterior.record import PosteriorRecord
from tfgmm.scoring.graph import sampling

TABLE = np.stack([np.linspace(0.0, 1.0, 5), np.linspace(-9.0, 0.0, 5)])


def module_of(model: Any) -> served.ServedMixture:
    """Returns what is exported of a model, with a table of scores that takes no time to make."""
    mixture = model.plug_in()
    return served.ServedMixture(mixture, {"outlier_table": TABLE, **model.draws_to_store()})


SIZES = ((1, 1, "stick_breaking"), (3, 2, "dirichlet"), (2, 9, "stick_breaking"), (1, 2, "dirichlet"))
WIDE = (2, 33, "dirichlet")  # with more than 1,000 entries in a matrix TensorFlow chooses other operations


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, ["verify", *map(str, arguments)])


def refused(folder: pathlib.Path, *words: str) -> None:
    with pytest.raises(tfgmm.IntegrityError) as caught:
        verify.verify_export(folder)
    message = str(caught.value)
    assert message.startswith("`path` must be ") and f"Received: {folder}" in message and message.isprintable()
    assert all(word in message for word in words), message


# --- What our exports have


def saved(shapes: Iterable[tuple[str, tuple[int, int, str]]], place: pathlib.Path) -> Iterator[pathlib.Path]:
    for covariance, (num_components, num_features, weights) in shapes:
        model = tfgmm.GaussianMixtureModel(num_components, num_features, covariance, weights, seed=0)
        served.save(module_of(model), place)
        yield place


def check_lists(folders: Iterable[pathlib.Path]) -> None:
    """Checks that these graphs together have all that the lists allow, and nothing else."""
    operations: set[str] = set()
    fields: dict[str, set[str]] = {}
    for folder in folders:
        for message in graph_check.messages(graph_of(folder)):
            name = message.DESCRIPTOR.full_name.removeprefix("tensorflow.")
            fields.setdefault(name, set()).update(field.name for field, _ in message.ListFields())
            operations |= {message.op} if name == "NodeDef" else set()
    allowed = known_operations.OPERATIONS | known_operations.FILE_OPERATIONS
    add, remove = " ".join(sorted(operations - allowed)), " ".join(sorted(allowed - operations))
    assert not add + remove, f"known_operations.OPERATIONS: add {add or 'none'}; take away {remove or 'none'}"
    for name, known in known_operations.FIELDS.items():
        add, remove = " ".join(sorted(fields[name] - known)), " ".join(sorted(known - fields[name]))
        assert not add + remove, f"known_operations.FIELDS[{name!r}]: add {add or 'none'}; take away {remove or 'none'}"


@pytest.mark.slow
def test_lists_are_what_exports_of_every_shape_have(tmp_path: pathlib.Path, whole: pathlib.Path) -> None:
    others = sorted(COMPONENTS.keys() - {card_of(whole)["model"]["covariance"]})
    shapes = [(name, SIZES[1 - index % 2]) for index, name in enumerate(others)]
    check_lists(itertools.chain([whole], saved([*shapes, ("full", WIDE)], tmp_path)))


@pytest.mark.slow
def test_lists_are_what_exports_of_every_shape_and_size_have(tmp_path: pathlib.Path) -> None:
    check_lists(saved([(covariance, size) for covariance in COMPONENTS for size in (*SIZES, WIDE)], tmp_path))


def test_whole_export_passes_and_says_what_was_checked(whole: pathlib.Path) -> None:
    found = verify.verify_export(whole)
    assert found.card == card_of(whole) and found.num_files == len(FILES) - 1
    graph = graph_of(whole).meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert sum(found.operations.values()) == len(nodes)
    assert found.operations["SaveV2"] == 1
    assert set(found.largest_differences) == SIGNATURES.keys()
    assert all(0.0 <= difference <= 1e-6 for difference in found.largest_differences.values())


@pytest.mark.slow
def test_wide_export_passes(tmp_path: pathlib.Path) -> None:
    folder = tfgmm.export_model(tfgmm.GaussianMixtureModel(*WIDE[:2], "tied", seed=0), tmp_path / "mixture")
    assert max(verify.verify_export(folder).largest_differences.values()) <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("covariance", ["full", "tied"])
def test_export_with_matrices_far_from_zero_passes(tmp_path: pathlib.Path, covariance: str) -> None:
    model = tfgmm.GaussianMixtureModel(3, 2, covariance, seed=0)
    model.adapt_to(DataSummary(20, 2, (1e6, -3.0), (20.0, 0.01), None))
    folder = tfgmm.export_model(model, tmp_path / "mixture")
    assert max(verify.verify_export(folder).largest_differences.values()) <= 1e-6


def test_points_lie_around_the_components_a_quarter_of_them_far() -> None:
    whiteners = np.array([[[2.0, 0.0], [0.7, 5.0]], [[0.01, 0.0], [3.0, 1.0]]])
    locs = np.array([[-100.0, 3.0], [4000.0, 0.0]])
    mixture = ExportedMixture(
        "full",
        np.array([10.0, 20.0]),
        np.log([0.5, 0.5]),
        {"locs": locs, "whiteners": whiteners},
        None,
        None,
        None,
        PosteriorRecord("laplace"),
        {},
    )
    points = verify._points(mixture)
    away = [points[row] - mixture.centre - locs[row % 2] for row in range(64)]
    squares = np.array([np.sum((whiteners[row % 2] @ away[row]) ** 2) for row in range(64)])
    is_far = np.arange(64) % 4 == 3
    # chi-squared of two degrees: means 2 and 1800, to five standard errors
    assert abs(squares[~is_far].mean() - 2.0) < 5 * 2.0 / np.sqrt(48)
    assert abs(squares[is_far].mean() - 1800.0) < 5 * 1800.0 / np.sqrt(16)
    assert points.shape == (64, 2) and points.dtype == np.float32
    np.testing.assert_array_equal(points, verify._points(mixture))


def test_export_of_version_2_passes_and_of_version_1_is_refused(
    folder: pathlib.Path, model: Any, tmp_path: pathlib.Path
) -> None:
    module = module_of(model)
    older, mixture = tf.Module(), model.plug_in()
    for name in ("serving_default", "log_prob", "responsibilities", "assignment", "outlier"):
        setattr(older, name, getattr(module, name))

    @tf.function(input_signature=[tf.TensorSpec((), tf.int64)] * 2)
    def sample(num_samples: Any, seed: Any) -> dict[str, Any]:
        return {"x": sampling.sample_rows(mixture, num_samples, tf.stack([seed, tf.zeros_like(seed)]))}

    older.sample = sample
    signatures = {name: getattr(older, name) for name in vars(older) if name in SIGNATURES}
    tf.saved_model.save(older, str(tmp_path / "graph"), signatures=signatures)
    put_graph(folder, tmp_path / "graph")
    refused(folder, "lacks the signature 'conditional'")
    card, drawn = card_of(folder), ("drawn_log_weights", "drawn_locs", "drawn_precisions")
    for name in drawn:
        del card["parameters"][name]
    card["parameters"]["outlier_table"]["shape"] = list(TABLE.shape)
    write_card(folder, card | {"format_version": 2})
    write_parameters(folder, outlier_table=TABLE, **dict.fromkeys(drawn))
    assert verify.verify_export(folder).largest_differences.keys() == signatures.keys()
    write_card(folder, card_of(folder) | {"format_version": 1})
    refused(folder, "model_card.json", "format version 1", "export the model again")


@pytest.mark.slow
def test_export_of_version_3_passes_without_the_signature_for_gaps(
    folder: pathlib.Path, model: Any, tmp_path: pathlib.Path
) -> None:
    module, older = module_of(model), tf.Module()
    names = signatures_of(3, is_correlated=False).keys()
    for name in names:
        setattr(older, name, getattr(module, name))
    tf.saved_model.save(older, str(tmp_path / "graph"), signatures={name: getattr(older, name) for name in names})
    put_graph(folder, tmp_path / "graph")
    refused(folder, "lacks the signature 'impute'")
    card = card_of(folder) | {"format_version": 3}
    card["parameters"]["outlier_table"]["shape"] = list(TABLE.shape)
    write_card(folder, card)
    write_parameters(folder, outlier_table=TABLE)
    assert verify.verify_export(folder).largest_differences.keys() == names


def test_points_with_gaps_lack_a_third_of_the_values_of_every_fourth_and_all_of_one() -> None:
    found = np.isnan(verify._with_gaps(np.zeros((64, 3), np.float32)))
    assert found.any(axis=1).tolist() == [row % 4 == 1 for row in range(64)]
    assert found.sum(axis=1)[1::4].tolist() == [1] * 15 + [3]
    assert found[1::4].sum(axis=0).tolist() == [6, 6, 6]
    assert np.isnan(verify._with_gaps(np.zeros((64, 1), np.float32))).sum() == 6


# --- Another graph than that of the numbers


def test_graph_of_another_model_is_refused(folder: pathlib.Path, models: list[Any], tmp_path: pathlib.Path) -> None:
    served.save(module_of(models[1]), tmp_path / "graph")
    put_graph(folder, tmp_path / "graph")
    tfgmm.load_scorer(folder)
    refused(folder, "saved_model.pb", "differs by", "graph of another mixture")


def test_centre_that_no_row_can_be_near_is_refused(folder: pathlib.Path) -> None:
    write_parameters(folder, centre=np.full(D, 1e300))
    refused(folder, "cannot be compared")


def nodes_of(graph: Any, function: str) -> list[Any]:
    functions = graph.graph_def.library.function
    return [node for each in functions if function in each.signature.name for node in each.node_def]


def scaled(node: Any, factor: float) -> None:
    tensor = node.attr["value"].tensor
    tensor.tensor_content = (np.frombuffer(tensor.tensor_content) * factor).tobytes()


def large_constants(nodes: Iterable[Any]) -> list[Any]:
    double = tf.float64.as_datatype_enum
    constants = [node for node in nodes if node.op == "Const" and node.attr["dtype"].type == double]
    return [node for node in constants if len(node.attr["value"].tensor.tensor_content) > 8]


def other_constants(graph: Any) -> None:
    for node in large_constants(graph.graph_def.node):
        scaled(node, 1.0 + 1e-4)


def same_constants(graph: Any) -> None:
    for node in large_constants(graph.graph_def.node):
        scaled(node, 1.0 + 1e-10)


def other_sample(graph: Any) -> None:
    next(node for node in nodes_of(graph, "__inference_sample") if node.op == "RealDiv").op = "Mul"


def other_outlier(graph: Any) -> None:
    for node in large_constants(nodes_of(graph, "__inference_outlier")):
        scaled(node, 1.01)


def other_gaps(graph: Any) -> None:
    next(node for node in nodes_of(graph, "cond_true") if node.op == "Neg").op = "Square"


def other_fillings(graph: Any) -> None:
    sums = (node for node in nodes_of(graph, "__inference_impute") if node.op == "AddV2")
    next(node for node in sums if node.attr["T"].type == tf.float64.as_datatype_enum).op = "Sub"  # of the centre


def for_servers_only(graph: Any) -> None:
    signatures = graph.signature_def
    asked, given = signatures["log_prob"], signatures["outlier"]
    asked.inputs["x"].name = given.inputs["x"].name
    asked.outputs["log_prob"].name = given.outputs["outlier"].name


def for_python_only(graph: Any) -> None:
    signatures = next(n for n in graph.object_graph_def.nodes if n.user_object.identifier == "signature_map")
    numbers = {child.local_name: child for child in signatures.children}
    log_prob, outlier = numbers["log_prob"], numbers["outlier"]
    log_prob.node_id, outlier.node_id = outlier.node_id, log_prob.node_id


def that_cannot_run(graph: Any) -> None:
    next(node for node in nodes_of(graph, "while_body") if node.op == "Sub").op = "MatMul"


def of_another_type(graph: Any) -> None:
    asked = graph.signature_def["log_prob"]
    asked.inputs["x"].name = graph.signature_def["assignment"].inputs["x"].name
    asked.outputs["log_prob"].name = graph.signature_def["assignment"].outputs["assignment"].name


GRAPHS: dict[str, tuple[Callable[[Any], None], str]] = {
    "constants changed a little": (other_constants, "differs by"),
    "a sample of something else": (other_sample, "'sample', whose x differs by"),
    "outliers of something else": (other_outlier, "'outlier', whose outlier differs by"),
    "gaps of something else": (other_gaps, "differs by"),
    "fillings of something else": (other_fillings, "'impute', whose imputed differs by"),
    "another answer for servers": (for_servers_only, "'log_prob', whose log_prob differs by"),
    "another answer for Python": (for_python_only, "'log_prob', which gives outlier"),
    "an answer of another type": (of_another_type, "int64 of shape (64,) where float32 of shape (64,) is needed"),
    "a graph that cannot run": (that_cannot_run, "cannot be run by TensorFlow ("),
}


def write_graph(folder: pathlib.Path, change: Callable[[Any], None]) -> None:
    graph = graph_of(folder)
    before = graph.SerializeToString(deterministic=True)
    change(graph.meta_graphs[0])
    assert graph.SerializeToString(deterministic=True) != before
    (folder / "saved_model.pb").write_bytes(graph.SerializeToString())
    make_sums_right(folder)


SLOW = (
    "a sample of something else",
    "fillings of something else",
    "outliers of something else",
    "an answer of another type",
)


@pytest.mark.parametrize(
    "change", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in GRAPHS]
)
def test_graph_with_other_answers_is_refused(folder: pathlib.Path, change: str) -> None:
    write_graph(folder, GRAPHS[change][0])
    refused(folder, "saved_model.pb", GRAPHS[change][1])


def test_differences_below_a_millionth_are_accepted(folder: pathlib.Path) -> None:
    write_graph(folder, same_constants)
    assert max(verify.verify_export(folder).largest_differences.values()) <= 1e-6


def test_either_of_two_components_equally_probable_may_be_assigned() -> None:
    expected = {
        "responsibilities": np.array([[0.5, 0.5, 0.0], [0.9, 0.1, 0.0], [np.nan] * 3]),
        "assignment": np.array([0, 0, -1]),
    }
    less_probable = verify._less_probable(np.array([1, 1, -1]), expected)
    np.testing.assert_allclose(less_probable, [0.0, 0.8, 0.0])
    assert np.isinf(verify._less_probable(np.array([3, -1, -1]), expected)[:2]).all()


# --- Files


@pytest.mark.parametrize("name", ["assets/x", "assets.extra/tf_serving_warmup_requests", "saved_model.pbtxt"])
def test_other_files_that_a_server_would_read_are_refused_though_the_card_lists_them(
    folder: pathlib.Path, name: str
) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x")
    card = card_of(folder)
    card["files"][name] = None
    write_card(folder, card)
    make_sums_right(folder)
    tfgmm.load_scorer(folder)
    refused(folder, name, "not part of a SavedModel of ours")


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_files_that_a_server_needs_must_be_listed(folder: pathlib.Path, name: str) -> None:
    (folder / name).unlink()
    card = card_of(folder)
    del card["files"][name]
    write_card(folder, card)
    refused(folder, name, "is missing")


@pytest.mark.parametrize("name", FILES)
def test_flipped_cut_and_deleted_files_are_refused_by_name(folder: pathlib.Path, name: str) -> None:
    file, chance = folder / name, random.Random(name)
    contents = file.read_bytes()
    # In the card, one bit of a checksum: elsewhere it may change a date, which no checksum covers
    first = contents.index(b'"sha256": "') + 11 if name == "model_card.json" else 0
    flipped = bytearray(contents)
    flipped[first + chance.randrange(64)] ^= 1 << chance.randrange(7)
    lengths = [0, 1, *(len(contents) * part // 8 for part in (1, 3, 5, 7)), len(contents) - 2]
    for changed in (bytes(flipped), *(contents[:length] for length in lengths)):
        file.write_bytes(changed)
        refused(folder, "has changed" if name == "model_card.json" and changed == flipped else name)
    file.unlink()
    refused(folder, name, "is missing")


# --- The command


def test_example_of_the_help_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.search(r"Example: tfgmm (.+)", run("--help").stdout)
    assert example is not None
    monkeypatch.chdir(PACKAGE_ROOT)
    done = CliRunner().invoke(cli.app, example[1].split())
    assert done.exit_code == 0, done.stderr
    assert done.stderr == "" and done.stdout.startswith("saved_models/old_faithful: whole")
    for words in ("2 components, 2 columns", "serving_default, log_prob", "at 64 points"):
        assert words in done.stdout


def test_refusal_is_one_line(folder: pathlib.Path) -> None:
    write_graph(folder, lambda graph: graph.graph_def.node.add(op="PyFunc\x1b[2J"))
    done = run(folder)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: `DIR` must be ") and "PyFunc" in done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.rstrip("\n").isprintable()


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["a", "b"], 2), (["--fast", "a"], 2), (["nowhere"], 1)])
def test_wrong_usage_exits_with_2_and_no_folder_with_1(arguments: list[str], code: int) -> None:
    done = run(*arguments)
    assert done.exit_code == code and done.stderr


def fresh(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=PACKAGE_ROOT)


def test_help_and_damaged_folders_load_no_tensorflow(folder: pathlib.Path) -> None:
    with open(folder / "saved_model.pb", "ab") as file:
        file.write(b"x")
    end = "import sys\nfrom tfgmm.cli.app import app\ntry:\n    app(sys.argv[1:])\nexcept SystemExit as end:\n"
    end += "    print(end.code)"
    end += "\nprint([name for name in ('tensorflow', 'numpy') if name in sys.modules])"
    assert fresh("-c", end, "verify", "--help").stdout.endswith("0\n[]\n")
    done = fresh("-c", end, "verify", folder)
    assert done.stdout == "1\n['numpy']\n" and "saved_model.pb has changed" in done.stderr


@pytest.mark.slow
def test_fresh_process_says_nothing_but_its_report(whole: pathlib.Path, folder: pathlib.Path) -> None:
    done = fresh("-m", "tfgmm", "verify", whole)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 5)
    write_graph(folder, that_cannot_run)
    done = fresh("-m", "tfgmm", "verify", folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
