"""The table of versions names this package, Python, and the packages asked for, in that order."""

from __future__ import annotations

import platform

import numpy as np

import tfgmm
from tfgmm.common.version import versions


def test_versions_are_those_that_run() -> None:
    expected = {"tfgmm": tfgmm.__version__, "python": platform.python_version(), "numpy": np.__version__}
    assert versions(np) == expected and list(versions(np)) == list(expected)
