"""The one-way order of the sub-packages, read from the source: a file imports only from packages to its left.

Imports for type checkers alone do not count. Imports inside functions count as well, except those in LATE.
"""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tfgmm"

# Left to right, as the page on the architecture prints them: a package imports only packages to its left.
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ORDER = PAGE.partition("```text\n")[2].partition("```")[0].replace("<", " ").split()

# The imports that point right, inside functions and on purpose: (file, name), with the reason.
LATE = {
    ("model/gaussian_mixture.py", "tfgmm.export.saved_model.export_model"): "model.export(path) is export_model",
    (
        "model/gaussian_mixture.py",
        "tfgmm.export.saved_model.served_mixture",
    ): "tf.saved_model.save(model) too",
    ("fit/result.py", "tfgmm.export.saved_model.export_model"): "so is result.export(path)",
    ("fit/keras_model.py", "tfgmm.model"): "result.model, and callbacks of Keras's, want a Keras model",
}

# What loads no TensorFlow, itself or through others, until a function needs it: packages, files
LIGHT = """
    common data mixture posterior scoring plot companions families fit report cli
    export/folder export/graph_check export/known_operations export/numbers export/reading export/saved_model
    export/score_file export/scorer export/verify mlflow/__init__ mlflow/models mlflow/pyfunc
""".split()
NEEDS_TENSORFLOW = ("scoring/graph/",)

TENSORFLOW = {"tensorflow", "keras", "tensorflow_probability"}
PUBLIC = {"plot", "companions", "mlflow"}  # they show users' names alone
PRIVATE = ("tensorflow.python", "keras.src", "tf_keras", "tensorflow.keras.src", "tfp.layers")


class Import(NamedTuple):
    """One import as the source has it: the dotted name, its line, and whether it stands outside functions."""

    name: str
    line: int
    at_top: bool


def package_of(path: Path) -> str:
    """Returns the sub-package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources() -> list[Path]:
    """Returns every file of the fourteen sub-packages."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if len(path.relative_to(PACKAGE).parts) > 1]


@functools.cache
def file_of(name: str) -> Path | None:
    """Returns the file of this package that a dotted name, of a module or of something in it, belongs to."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:end])
        if parts[0] == "tfgmm" and (place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()):
            return place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
    return None


@functools.cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Returns every import of a file, `from a import b` as `a.b`, those for type checkers left out."""
    return tuple(_imports_in(ast.parse(path.read_text(encoding="utf-8")), at_top=True, package=_package_of(path)))


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


def imported_package(name: str) -> str | None:
    """Returns the sub-package that a dotted name belongs to, or None for other packages and `tfgmm` itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "tfgmm" and len(parts) > 1 and parts[1] in ORDER else None


def reachable(path: Path, *, at_top_only: bool) -> dict[str, str]:
    """Returns every file and foreign package that a file reaches, with the chain that leads there."""
    chains = {str(path): str(path.relative_to(PACKAGE))}
    queue = [path]
    while queue:
        current = queue.pop()
        for found in imports_of(current):
            place = file_of(found.name)
            target = str(place or found.name.split(".")[0])
            if target not in chains and (found.at_top or not at_top_only):
                shown = place.relative_to(PACKAGE) if place else target
                chains[target] = f"{chains[str(current)]} -> {shown}"
                if place:
                    queue.append(place)
    return chains


def test_order_names_every_package() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert len(ORDER) == 14 and set(ORDER) == folders


@pytest.mark.parametrize("name", [str(path.relative_to(PACKAGE)) for path in sources()])
def test_imports_point_left(name: str) -> None:
    path = PACKAGE / name
    package = package_of(path)
    for found in imports_of(path):
        target = imported_package(found.name)
        if target is None or target == package or (not found.at_top and (name, found.name) in LATE):
            continue
        assert ORDER.index(target) < ORDER.index(package), f"{path.name}:{found.line}: imports {found.name}"
        assert not found.name.rpartition(".")[2].startswith("_") or found.name.endswith("__"), (
            f"{path.name}:{found.line}: {found.name} is private to {target}"
        )


@pytest.mark.parametrize("package", ORDER)
def test_files_of_a_package_form_no_circle(package: str) -> None:
    files = [path for path in sources() if package_of(path) == package and path.name != "__init__.py"]
    arrows = {
        path: {place for found in imports_of(path) if (place := file_of(found.name)) in files and place != path}
        for path in files
    }
    while free := [path for path, targets in arrows.items() if not targets]:
        arrows = {path: targets - set(free) for path, targets in arrows.items() if path not in free}
    assert {path.name: sorted(target.name for target in targets) for path, targets in arrows.items()} == {}


@pytest.mark.parametrize("place", LIGHT)
def test_light_files_reach_no_tensorflow(place: str) -> None:
    files = [PACKAGE / f"{place}.py"] if "/" in place else [path for path in sources() if package_of(path) == place]
    files = [path for path in files if not str(path.relative_to(PACKAGE)).startswith(NEEDS_TENSORFLOW)]
    assert files != []
    chains = [reachable(path, at_top_only=True) for path in files]
    assert [reached[name] for reached in chains for name in sorted(TENSORFLOW & reached.keys())] == []


def test_scorer_never_reaches_the_model() -> None:
    chains = reachable(PACKAGE / "export" / "scorer.py", at_top_only=False)
    assert [
        chain for name, chain in chains.items() if name.startswith((str(PACKAGE / "model"), str(PACKAGE / "fit")))
    ] == []


@pytest.mark.parametrize("package", [name for name in ORDER if name not in PUBLIC])
def test_packages_list_the_names_that_others_use(package: str) -> None:
    module = importlib.import_module(f"tfgmm.{package}")
    used = {
        found.name
        for path in sources()
        if package_of(path) != package
        for found in imports_of(path)
        if imported_package(found.name) == package
        and (place := file_of(found.name))
        and place.name != "__init__.py"
        and ".".join(place.relative_to(ROOT).with_suffix("").parts) != found.name
    }
    assert sorted({name.rpartition(".")[2] for name in used} - set(module.__all__) - {"__version__"}) == []
    # a name that is a module's too would be the one or the other, by what was imported before
    assert {path.stem for path in (PACKAGE / package).iterdir()} & set(module.__all__) == set()
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


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
