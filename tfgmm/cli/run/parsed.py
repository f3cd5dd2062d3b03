"""What the shell writes as text, read as the settings of a run have it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from tfgmm.cli.run.settings import MOST_NUMBERS
from tfgmm.cli.shared import split_names
from tfgmm.mixture.registry import WEIGHT_PRIORS

_NUMBERS = re.compile(r"\s*([0-9]{1,18})\s*(?::\s*([0-9]{1,18})\s*)?")


def num_components_of(text: str) -> int | list[int]:
    """Reads the number of components that `--components` asks for, or the numbers to choose from, ascending.

    Raises:
        ValueError: It is neither a number, nor a range with both ends, nor several of them with commas between.

    Example:

    >>> num_components_of("3"), num_components_of("1:4"), num_components_of("2,4,8")
    (3, [1, 2, 3, 4], [2, 4, 8])
    """
    numbers: set[int] = set()
    for part in text.split(","):
        match = _NUMBERS.fullmatch(part)
        first, last = (0, -1) if match is None else (int(match[1]), int(match[2] or match[1]))
        if last < first or last - first >= MOST_NUMBERS:
            raise ValueError(
                "`num_components` must be a number, such as 3; a range of it with both ends, such as 1:10; or numbers "
                f"with commas between, at most {MOST_NUMBERS:,} of them. Received: {text!r}. Write, for example, 1:10."
            )
        numbers.update(range(first, last + 1))
    return sorted(numbers) if len(numbers) > 1 else numbers.pop()


def covariance_of(text: str) -> str | list[str]:
    """Reads the shape that `--covariance` asks for, or several with commas between, whatever they are called.

    Example:

    >>> covariance_of("full"), covariance_of("full, tied")
    ('full', ['full', 'tied'])
    """
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    return names[0] if len(names) == 1 else names


def names_of(text: str) -> list[str]:
    """Splits names with commas between; one that has a comma itself stands in quotation marks.

    Raises:
        ValueError: One is there twice.
    """
    names = split_names(text)
    if len(set(names)) < len(names):
        fix = "Leave out what is there twice."
        raise ValueError(f"`columns` must be names of columns, each once. Received: {text}. {fix}")
    return names


def noise_of(pairs: Sequence[str]) -> dict[str, str]:
    """Reads the columns with standard deviations that `--noise` names, by the columns that they belong to.

    Raises:
        ValueError: One is no pair, or a column is there twice.

    Example:

    >>> noise_of(["flux=flux_err", "size=size_err,mass=mass_err"])
    {'flux': 'flux_err', 'size': 'size_err', 'mass': 'mass_err'}
    """
    found: dict[str, str] = {}
    for pair in (pair for text in pairs for pair in split_names(text)):
        column, sign, error = pair.partition("=")
        if not (column and sign and error) or column in found:
            raise ValueError(
                "`noise` must be a column and the column with its standard deviations, each column once. Received: "
                f"{pair!r}. Write, for example, flux=flux_err."
            )
        found[column] = error
    return found


def weights_and_prior(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Tells a column of weights from the prior of the mixture's, which --weights meant in earlier versions."""
    column, prior = arguments["sample_weight"], arguments["weights"]
    if column in WEIGHT_PRIORS and prior is None:
        words = f"--weights {column} is taken for the prior: write --weight-prior {column}. --weights names a column."
        typer.echo(f"Note: {words}", err=True)
        return {"sample_weight": None, "weights": column}
    return {"sample_weight": column, "weights": prior}
