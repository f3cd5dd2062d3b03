"""What the benchmarks of answers share: fits whose warnings are no news, their peers, and the package before."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import common
import numpy as np

PACKAGE = {"--package": {"type": pathlib.Path, "metavar": "FOLDER", "help": "checkout to ask too, as before"}}


def fitted(rows: Any, number: Any, **options: Any) -> Any:
    """Returns a fit, or a choice, whatever it warns of."""
    import tfgmm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tfgmm.fit_mixture(rows, number, **options)


def of_sklearn(rows: np.ndarray, number: int, **options: Any) -> np.ndarray:
    """Returns the groups that scikit-learn's mixture finds."""
    from sklearn.mixture import GaussianMixture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GaussianMixture(number, random_state=0, **options).fit(rows).predict(rows)


def rand(truth: np.ndarray, groups: np.ndarray) -> float:
    """Returns the adjusted Rand index of the rows that have a place in the truth."""
    from sklearn.metrics import adjusted_rand_score

    has_place = truth >= 0
    return float(adjusted_rand_score(truth[has_place], np.asarray(groups)[has_place]))


def both(packages: Mapping[str, Any], function: Callable[..., Any], **asked: Any) -> tuple[Any, Any]:
    """Returns what the package and the one before answer, each in a process of its own; None where there is none."""
    now = common.in_fresh_process(function, environment=packages["now"], **asked, is_before=False)
    if "before" not in packages:
        return now, None
    return now, common.in_fresh_process(function, environment=packages["before"], **asked, is_before=True)


def line_of_both(packages: Mapping[str, Any], name: str, function: Callable[..., Any], **asked: Any) -> dict[str, Any]:
    """Returns a line: what the package answers and, in further columns, the one before."""
    now, before = both(packages, function, **asked)
    skipped = ("intervals", "runs", "nearest centres")
    others = {f"before: {key}": value for key, value in (before or {}).items() if key not in skipped}
    return {"what": name, **now, **{key: others[key] for key in others if "alone" not in key}}
