"""The numbers of an exported mixture as plain JSON, from which a program in any language scores rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfgmm.export.reading import ExportedMixture
from tfgmm.mixture.parameters import MixtureDensity, standard_form

FORMAT = "tfgmm.plain_numbers"
FORMAT_VERSION = 1


def plain_numbers(export: ExportedMixture) -> dict[str, Any]:
    """Collects the numbers of a mixture at its posterior means, and its card, in lists and plain values.

    docs/parameters.md lists the fields, and says how rows are scored by them. Draws from the posterior are left out.

    Args:
        export: What `read_export` gives.
    """
    mixture = MixtureDensity(export.covariance, export.centre, export.log_weights, export.components)
    model = export.card["model"]
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "covariance": export.covariance,
        "num_components": len(export.log_weights),
        "num_features": len(export.centre),
        "column_names": model["column_names"],
        "column_units": model["column_units"],
        "weights": np.exp(export.log_weights).tolist(),
        **_components(mixture),
        **_outlier_table(export.outlier_table),
        "card": export.card,
    }


def _components(mixture: MixtureDensity) -> dict[str, Any]:
    """Lists what the components are, and then what log joints are computed from; all of one shape per name."""
    locs, factors, constants = standard_form(mixture)
    sds, covariances = mixture.form.covariances(mixture.components)
    whiteners = None if covariances is None else np.broadcast_to(factors.swapaxes(1, 2), covariances.shape).tolist()
    return {
        "means": (mixture.centre + locs).tolist(),
        "standard_deviations": sds.tolist(),
        "covariances": None if covariances is None else covariances.tolist(),
        "centre": mixture.centre.tolist(),
        "locs": locs.tolist(),
        "whiteners": whiteners,
        "log_constants": constants.tolist(),
    }


def _outlier_table(table: np.ndarray | None) -> dict[str, Any]:
    levels, densities = (None, None) if table is None else table.tolist()
    return {"outlier_levels": levels, "outlier_log_densities": densities}


def as_json(values: Mapping[str, Any]) -> str:
    """Writes values as a JSON object, one line for each field. Numbers have all their digits.

    Example:

    >>> print(as_json({"weights": [0.25, 0.75], "card": None}))
    {
      "weights": [0.25, 0.75],
      "card": null
    }
    """
    return "{\n" + ",\n".join(_lines(values)) + "\n}"


def _lines(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        # ASCII: escapes of JSON stand for what could steer a terminal
        yield f"  {json.dumps(name)}: {json.dumps(value, allow_nan=False)}"
