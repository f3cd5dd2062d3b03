"""The version of this package, and the table of versions that a folder or a run is marked with."""

from __future__ import annotations

import platform
from types import ModuleType

# setup.cfg reads this line; asking the installed metadata instead would cost 20 ms
__version__ = "0.1.0"


def versions(*packages: ModuleType) -> dict[str, str]:
    """Lists the versions of tfgmm, of Python, and of `packages`, by name.

    Example:

    >>> import numpy as np
    >>> list(versions(np))
    ['tfgmm', 'python', 'numpy']
    """
    others = {package.__name__: str(package.__version__) for package in packages}
    return {"tfgmm": __version__, "python": platform.python_version(), **others}
