"""Names of a package load on first use, once, and an unknown one is answered with those there are."""

from __future__ import annotations

import importlib
import pathlib
import sys
import types
from collections.abc import Iterator

import pytest

FILES = {
    "__init__.py": (
        "from tfgmm.common.lazy import front_door\n"
        "look_up, names, __all__ = front_door(__name__, {'deep.tools': ['Saw', 'Axe'], 'nails': ['Nail']}, ['extra'])\n"
        "asked = []\n"
        "def __getattr__(name):\n    asked.append(name)\n    return look_up(name)\n"
        "__dir__ = names\n"
    ),
    "deep/__init__.py": "",
    "deep/tools.py": "class Saw: pass\nclass Axe: pass\nclass Plane: pass\n",
    "nails.py": "class Nail: pass\n",
    "extra.py": "value = 7\n",
}


@pytest.fixture
def box(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A package on the disk, imported, whose names load on first use; `asked` lists what Python did not find."""
    for name, text in FILES.items():
        path = tmp_path / "box_of_names" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("box_of_names")
    for name in loaded():
        del sys.modules[name]


def loaded() -> list[str]:
    return sorted(name for name in sys.modules if name.partition(".")[0] == "box_of_names")


def test_name_loads_its_own_module_and_no_other(box: types.ModuleType) -> None:
    assert loaded() == ["box_of_names"]
    assert box.Saw.__module__ == "box_of_names.deep.tools"
    assert loaded() == ["box_of_names", "box_of_names.deep", "box_of_names.deep.tools"]


def test_name_is_looked_up_once(box: types.ModuleType) -> None:
    first = box.Saw
    assert box.Saw is first and vars(box)["Saw"] is first and box.asked == ["Saw"]
    assert "Axe" not in vars(box)  # its module is loaded; it was not asked for


def test_module_is_a_name_too(box: types.ModuleType) -> None:
    assert box.extra.value == 7 and box.extra is sys.modules["box_of_names.extra"]


def test_names_are_listed_without_loading_them(box: types.ModuleType) -> None:
    assert dir(box) == ["Axe", "Nail", "Saw", "extra"] and box.__all__ == ["Saw", "Axe", "Nail", "extra"]
    assert loaded() == ["box_of_names"]


def test_all_names_can_be_imported_at_once(box: types.ModuleType) -> None:
    namespace: dict[str, object] = {}
    exec("from box_of_names import *", namespace)
    assert namespace.keys() - {"__builtins__"} == set(dir(box))


@pytest.mark.parametrize("name", ["Hammer", "Plane", "tools", "__wrapped__"])
def test_unknown_name_is_answered_with_those_there_are(box: types.ModuleType, name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(box, name)
    names = "The public names are: Axe, Nail, Saw, extra"
    assert str(caught.value) == f"`box_of_names` has no public name {name!r}. {names}"
    assert caught.value.name == name and caught.value.obj is box
    assert not hasattr(box, name) and loaded() == ["box_of_names"]
