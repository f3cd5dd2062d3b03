"""Classes are recognised without importing their package."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from tfgmm.common.checks import is_instance_of


def test_instances_are_found_through_dots_and_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_instance_of(np.zeros(1), "numpy", "ndarray") and not is_instance_of([1], "numpy", "ndarray")
    assert is_instance_of(np.random.default_rng(0), "numpy", "random.Generator")
    assert not is_instance_of(1, "numpy", "pi") and not is_instance_of(1, "numpy", "random.no.such_class")
    assert (
        not is_instance_of(1, "a_package_that_is_not_there", "Frame")
        and "a_package_that_is_not_there" not in sys.modules
    )
    # a package that another thread is importing may lack its names so far
    monkeypatch.setitem(sys.modules, "half_imported", types.ModuleType("half_imported"))
    assert not is_instance_of(1, "half_imported", "data.Dataset")
