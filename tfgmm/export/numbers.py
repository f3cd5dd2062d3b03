"""The numbers of a mixture and its card, which every export holds, with a graph or without. No TensorFlow."""

from __future__ import annotations

import datetime
import json
import pathlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np

from tfgmm.common.version import versions
from tfgmm.export import folder, parameters
from tfgmm.mixture import outliers
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.posterior.record import PosteriorRecord
from tfgmm.scoring.scores import outlier_table


class Exportable(Protocol):
    """A mixture with its posterior and where it comes from: a `GaussianMixtureModel` or a `FitResult`."""

    variational: Any  # properties of the one are attributes of the other
    num_components: Any
    num_features: Any
    covariance: Any
    weight_prior: Any
    priors: Any
    seed: Any
    num_data: Any
    data_summary: Any
    column_names: Any
    elbo: Any

    def plug_in(self) -> MixtureDensity:
        """Computes the mixture at the posterior means."""

    def draws_to_store(self) -> dict[str, np.ndarray]:
        """Draws from the posterior and writes the draws down; see `stored_draws.stored`."""

    def stored_record(self) -> PosteriorRecord:
        """Says how these draws are made."""


class Numbers(NamedTuple):
    """What an export holds beside a graph.

    Args:
        mixture: The mixture at the posterior means.
        arrays: All arrays of parameters.npz, by name.
        facts: Fields of the card that say what they are and where they come from: model, priors, training, posterior.
    """

    mixture: MixtureDensity
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


def numbers_of(model: Exportable, column_units: list[str] | None = None) -> Numbers:
    """Computes what an export of a fitted mixture holds.

    Raises:
        ValueError: A parameter is not finite.
    """
    mixture = model.plug_in()
    arrays = parameters.arrays_of(mixture)
    parameters.check_finite(arrays)  # before numbers that cannot be drawn from are drawn from
    arrays |= {outliers.TABLE: outlier_table(mixture), **model.draws_to_store()}
    parameters.check_finite(arrays)
    return Numbers(mixture, arrays, _facts_of(model, column_units))


def _facts_of(model: Exportable, column_units: list[str] | None) -> dict[str, Any]:
    """Describes a mixture and its training in plain JSON values; docs/export.md lists them."""
    summary = model.data_summary
    return {
        "model": {
            "num_components": model.num_components,
            "num_features": model.num_features,
            "covariance": model.covariance,
            "weights": model.weight_prior,
            "column_names": list(model.column_names) if model.column_names else None,
            "column_units": column_units,
        },
        "priors": model.priors.to_dict(),
        "training": {
            "num_data": model.num_data or None,
            "elbo_nats": model.elbo,
            "seed": model.seed,
            "data_summary": summary.to_dict() if summary else None,
        },
        "posterior": model.stored_record().to_dict(),
    }


def write_numbers(numbers: Numbers, place: pathlib.Path, packages: Sequence[ModuleType] = (np,)) -> None:
    """Writes parameters.npz into a folder, and then the card, with the checksum of every file that is there by then.

    Args:
        numbers: What is written.
        place: The folder.
        packages: Packages that wrote the folder's files, whose versions the card has.
    """
    np.savez(place / folder.PARAMETERS, allow_pickle=False, **numbers.arrays)
    card = {
        "format": folder.FORMAT,
        "format_version": folder.FORMAT_VERSION,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **numbers.facts,
        "parameters": {
            name: {"shape": list(values.shape), "dtype": values.dtype.name} for name, values in numbers.arrays.items()
        },
        "versions": versions(*packages),
        "files": folder.checksums(place),
    }
    (place / folder.CARD).write_text(json.dumps(card, indent=2, allow_nan=False) + "\n", encoding="utf-8")
