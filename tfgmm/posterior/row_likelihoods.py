"""The log likelihood of each row under each draw: what leaving rows out and comparing models need."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from tfgmm.common.threads import slices
from tfgmm.data.errors import check_no_overflow
from tfgmm.mixture.log_joints import exponentials
from tfgmm.mixture.parameters import FORMS, coefficients_from
from tfgmm.mixture.registry import FormName
from tfgmm.mixture.row_groups import RowGroups

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock
    from tfgmm.posterior.draws import Draws

# Components of the draws that are worked on together
_COMPONENTS = 2**12


def log_likelihoods(draws: Draws, block: RowBlock) -> np.ndarray:
    """Computes the log density of every row under every draw, (C, S, N) float64, nats.

    It is the density of the columns that a row has, and of what was measured where it has noise, by the same sums as
    every score of rows.

    Args:
        draws: Draws from the posterior; the order of their components does not matter.
        block: N rows, data units, NaN at gaps, with their noise.

    Raises:
        ValueError: A value is beyond the range of float32 from where the draws are.
    """
    form, log_weights, components = _parameters_of(draws)
    centre = np.einsum("csk,cskd->d", draws.weights, draws.locs) / (draws.num_chains * draws.num_draws)
    groups = RowGroups(form, _centred(block, centre, draws.column_names))
    found = np.empty((len(log_weights), len(block.values)))
    for part in slices(0, len(found), max(1, _COMPONENTS // draws.num_components)):
        some = {name: values[part] for name, values in components.items()} | {"locs": components["locs"][part] - centre}
        coefficients = coefficients_from(form, log_weights[part], some)
        for _ in groups.mapped(coefficients, functools.partial(_write, found[part])):
            pass
    return found.reshape(draws.num_chains, draws.num_draws, -1)


def _write(found: np.ndarray, rows: slice | np.ndarray, joints: np.ndarray) -> None:
    """Writes the log densities of some rows under R draws, into `found` (R, N), from their log joints (R K, B)."""
    largest, norms = exponentials(joints.reshape(len(found), -1, joints.shape[1]))
    found[:, rows] = largest + np.log(norms)


def _parameters_of(draws: Draws) -> tuple[FormName, np.ndarray, dict[str, np.ndarray]]:
    """Takes draws, chain after chain, for log weights (n, K) and parameters of the components in one of two forms."""
    shape = (-1, draws.num_components, draws.num_features)
    with np.errstate(divide="ignore"):  # a weight of 0 is fine
        log_weights = np.log(draws.weights.reshape(shape[:2]))
    form: FormName = "independent" if draws.covariances is None else "correlated"
    locs = draws.locs.reshape(shape)
    if draws.covariances is None:
        return form, log_weights, {"locs": locs, FORMS[form].precision_name: draws.scales.reshape(shape) ** -2.0}
    roots = np.linalg.cholesky(draws.covariances.reshape(*shape, draws.num_features))
    return form, log_weights, {"locs": locs, FORMS[form].precision_name: np.linalg.inv(roots)}


def _centred(block: RowBlock, centre: np.ndarray, column_names: tuple[str, ...] | None) -> RowBlock:
    """Measures rows from the centre, in float32, as every score of rows does."""
    with np.errstate(over="ignore"):  # refused below
        values = (block.values - centre).astype(np.float32)
    check_no_overflow("rows", column_names, block.values, values, 0)
    return block._replace(values=values)
