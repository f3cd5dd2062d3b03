"""Names that a package offers to others and loads on first use (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def front_door(
    package: str, homes: Mapping[str, Sequence[str]], modules: Sequence[str] = (), root: str | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Builds `__getattr__`, `__dir__` and `__all__` of a package whose names load on first use.

    Args:
        package: The package's `__name__`.
        homes: Names that others may use, by the module, relative to the package, that defines them.
        modules: Public names that are themselves modules of the package.
        root: Package that the modules in `homes` are relative to; default `package`.

    Example:

    >>> look_up, names, listed = front_door("tfgmm", {"posterior.draws": ["Draws"]})
    >>> look_up("Draws").__name__, names(), listed
    ('Draws', ['Draws'], ['Draws'])
    """
    home_of = {name: home for home, names in homes.items() for name in names}
    public = [*home_of, *modules]
    listed = sorted(name for name in public if not name.startswith("_"))

    def look_up(name: str) -> Any:
        if name in modules:
            return import_module(f"{package}.{name}")
        if name not in home_of:
            # no full stop at the end: Python goes on with ". Did you mean ...?" where a name is close
            message = f"`{package}` has no public name {name!r}. The public names are: {', '.join(listed)}"
            raise AttributeError(message, name=name, obj=sys.modules[package])
        value = getattr(import_module(f"{root or package}.{home_of[name]}"), name)
        setattr(sys.modules[package], name, value)  # the next look-up does not come here
        return value

    return look_up, lambda: sorted(public), public
