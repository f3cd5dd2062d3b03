"""The one-way order of the rooms, read from the source: a module imports only from rooms to its left.

Imports for type checkers alone do not count. Imports inside functions count as well, except those in LATE.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tfgmm"

# Left to right, as README prints it. `draws` stands left of the model because all engines answer in draws.
ORDER = (ROOT / "README.md").read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0].split()

# Imports inside a function that point right on purpose: (room, the room it asks for), with the reason.
LATE = {
    ("model", "export"): "model.export(path) is export_model",
    ("model", "natural_gradient"): "compile() without an optimizer means the closed form",
}

# Rooms that load no TensorFlow, themselves or through others, until a function needs it
LIGHT = """
    shapes checks cores features log_joints row_scores extras quiet priors tables readers fingerprint summary
    initialize draws predictive posterior_draws answers alignment agreement outliers artefact exported
    numpy_scores scored_input scored_output score_file given_rows plot mixture_pictures companions mlflow report_sources
    report_facts report_cautions report_pictures report_choice report known_operations
    saved_graph verify numeric_columns run_settings run_display run_folder commands fit_command score_command
    sample_command plot_command report_command compare_command demo_command verify_command cli
""".split()
TENSORFLOW = {"tensorflow", "keras", "tensorflow_probability"}
PRIVATE = ("tensorflow.python", "keras.src", "tf_keras", "tensorflow.keras.src", "tfp.layers")


class Import(NamedTuple):
    """One import as the source has it: the dotted name, its line, and whether it stands outside functions."""

    name: str
    line: int
    at_top: bool


def room_of(path: Path) -> str:
    """Returns the room a file of the package belongs to; a subpackage is one room."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources() -> dict[Path, str]:
    """Returns file -> room for every file of the package that belongs to one."""
    files = {path: room_of(path) for path in sorted(PACKAGE.rglob("*.py"))}
    return {path: room for path, room in files.items() if not room.startswith("__")}


def imports_of(path: Path) -> Iterator[Import]:
    """Returns every import of a file, `from a import b` as `a.b`, those for type checkers left out."""
    yield from _imports_in(ast.parse(path.read_text(encoding="utf-8")), at_top=True, package=_package_of(path))


def _package_of(path: Path) -> list[str]:
    """Returns the parts of the dotted name that `from . import x` in this file starts from."""
    return list(path.relative_to(ROOT).parent.parts)


def _imports_in(node: ast.AST, *, at_top: bool, package: list[str]) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, at_top) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) - child.level + 1] if child.level else []
            stem = ".".join([*base, *([child.module] if child.module else [])])
            yield from (Import(f"{stem}.{alias.name}", child.lineno, at_top) for alias in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _imports_in(ast.Module([other], []), at_top=at_top, package=package)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports_in(child, at_top=at_top and not inside, package=package)


def imported_room(name: str) -> str | None:
    """Returns the room that a dotted name of this package belongs to, or None for other packages and `tfgmm` itself."""
    parts = name.split(".")
    if parts[0] != "tfgmm" or len(parts) < 2 or parts[1].startswith("__"):
        return None
    return parts[1]


def reachable(room: str, *, at_top_only: bool) -> dict[str, str]:
    """Returns every room and foreign package that `room` reaches, with the chain that leads there."""
    chains = {room: room}
    queue = [room]
    while queue:
        current = queue.pop()
        for path in (path for path, owner in sources().items() if owner == current):
            for found in imports_of(path):
                target = imported_room(found.name) or found.name.split(".")[0]
                if target not in chains and (found.at_top or not at_top_only):
                    chains[target] = f"{chains[current]} -> {target}"
                    queue.append(target)
    return chains


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_left(path: Path) -> None:
    room = room_of(path)
    assert room in ORDER, f"{room} has no place in ORDER: say where this room stands"
    for found in imports_of(path):
        target = imported_room(found.name)
        if target is None or target == room or (not found.at_top and (room, target) in LATE):
            continue
        assert target in ORDER, (
            f"{path.name}:{found.line} imports {found.name}: no such room, import it from its module"
        )
        assert ORDER.index(target) < ORDER.index(room), f"{path.name}:{found.line}: {room} must not import {target}"


@pytest.mark.parametrize("room", LIGHT)
def test_light_rooms_reach_no_tensorflow(room: str) -> None:
    chains = reachable(room, at_top_only=True)
    assert [chains[name] for name in sorted(TENSORFLOW & chains.keys())] == []


def test_scorer_never_reaches_the_model() -> None:
    chains = reachable("serve", at_top_only=False)
    assert [chains[name] for name in ("model", "trainer", "fit", "export") if name in chains] == []


def test_no_private_or_legacy_names() -> None:
    files = [path for folder in ("tfgmm", "training", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 10, "the search found almost nothing: is the path right?"
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in files
        for name, line in dotted_names(path)
        if is_private(name)
    ]
    assert found == []


def dotted_names(path: Path) -> Iterator[tuple[str, int]]:
    """Returns every dotted name that a file imports or writes out, with its line."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield from ((found.name, found.line) for found in _imports_in(tree, at_top=True, package=[]))
    yield from ((ast.unparse(node), node.lineno) for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def is_private(name: str) -> bool:
    """Returns whether a dotted name is, or lies under, one that this project must not use."""
    full = name.replace("tensorflow_probability", "tfp")
    return any(full == private or full.startswith(f"{private}.") for private in (*PRIVATE, "tf.python", "tf.keras.src"))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import tensorflow.python.ops", True),
        ("from keras.src import backend", True),
        ("import tf_keras", True),
        ("import tensorflow_probability as tfp\ntfp.layers.DenseFlipout", True),
        ("from tensorflow_probability import layers", True),
        ("import keras\nkeras.layers.Dense", False),
    ],
)
def test_the_search_itself_finds_private_names(tmp_path: Path, source: str, expected: bool) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    assert any(is_private(name) for name, _ in dotted_names(path)) is expected


def test_the_reader_itself_sees_every_kind_of_import(tmp_path: Path) -> None:
    source = (
        "if TYPE_CHECKING:\n    import hidden\nelse:\n    import other\nimport a.b\nfrom c import d\nfrom . import e\n"
        "def f():\n    from tfgmm import g\nclass C:\n    import h\n"
    )
    found = {(i.name, i.at_top) for i in _imports_in(ast.parse(source), at_top=True, package=["tfgmm"])}
    names = {("other", True), ("a.b", True), ("c.d", True), ("tfgmm.e", True), ("tfgmm.g", False), ("h", True)}
    assert found == names
