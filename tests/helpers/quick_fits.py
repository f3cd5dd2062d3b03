"""`tfgmm fit` without the exact posterior, for tests that are not about it."""

from __future__ import annotations

from typing import Any


def quickly(*arguments: Any) -> list[str]:
    """Takes the fit's own posterior where another is not asked for: intervals have tests of their own."""
    is_asked = {"--help", "--config", "--posterior"} & set(map(str, arguments))
    return [*map(str, arguments), *([] if is_asked else ["--posterior", "mean_field"])]
