"""The signatures of an exported SavedModel: name, inputs and outputs. The writer and the check both use them."""

from __future__ import annotations

from typing import NamedTuple

from tfgmm.scoring.results import Conditional, Interval


class Signature(NamedTuple):
    """What a signature takes and gives.

    Args:
        inputs: Names of its inputs, in order.
        outputs: Names of its outputs.
        since: Format version that brought it.
        of_correlated: Outputs that only shapes with correlations between columns have.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    since: int = 1
    of_correlated: tuple[str, ...] = ()


SIGNATURES = {
    "serving_default": Signature(("x",), ("log_prob", "responsibilities", "assignment")),
    "log_prob": Signature(("x",), ("log_prob",)),
    "responsibilities": Signature(("x",), ("responsibilities",)),
    "assignment": Signature(("x",), ("assignment",)),
    "outlier": Signature(("x",), ("outlier",), since=2),
    "predictive_log_prob": Signature(("x",), ("predictive_log_prob",), since=3),
    "interval": Signature(("x", "level"), Interval._fields, since=3),
    "marginal_log_prob": Signature(("x", "given"), ("marginal_log_prob",), since=3),
    "conditional": Signature(("x", "given"), Conditional._fields, since=3, of_correlated=("covariances",)),
    "impute": Signature(("x",), ("imputed",), since=4),
    "sample": Signature(("num_samples", "seed"), ("x",)),
}


def signatures_of(format_version: int, is_correlated: bool) -> dict[str, Signature]:
    """Lists the signatures that an export has, by name, each with the outputs that it gives.

    Args:
        format_version: Version of the format of the export.
        is_correlated: Whether its components have correlations between columns.

    Example:

    >>> signatures_of(4, is_correlated=False)["conditional"].outputs
    ('log_prob', 'weights', 'means', 'expectation', 'scales')
    """
    return {
        name: signature if is_correlated else _without_correlations(signature)
        for name, signature in SIGNATURES.items()
        if signature.since <= format_version
    }


def _without_correlations(signature: Signature) -> Signature:
    outputs = tuple(name for name in signature.outputs if name not in signature.of_correlated)
    return signature._replace(outputs=outputs, of_correlated=())
