"""Stochastic variational inference in Pyro with assignments enumerated, each step recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfgmm.common.checks import check_count
from tfgmm.companions.pyro_mixture.model import Tensor

import pyro  # isort: skip  after `model`, whose error says how to install it
import torch  # isort: skip
from pyro import poutine
from pyro.infer import SVI, TraceEnum_ELBO
from tqdm import trange

# As in Pyro's own example: steps adapt quickly, and soon forget old gradients.
_BETAS = (0.8, 0.99)
_EPSILON = 1e-8  # torch's own, in the gradient's unit


def minimise(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    rows: Tensor,
    num_steps: int,
    learning_rate: float,
    what: str,
    progress: bool,
    unit_of_locs: float = 1.0,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Minimises the loss by SVI with enumeration: Returns it at each step, and the norms of its gradients by parameter.

    Afterwards the parameters are those with the lowest loss: nothing here is random, but where gradients have almost
    vanished, Adam's steps grow again and would lead away.
    """
    num_steps = check_count("num_steps", num_steps)
    if not (isinstance(learning_rate, (int, float)) and 0 < learning_rate < float("inf")):
        raise ValueError(f"`learning_rate` must be positive and finite. Received: {learning_rate!r}. Try 0.1.")

    def options(name: str) -> dict[str, Any]:
        """Takes steps of the locations in their unit: Adam's are as long as its rate, whatever the gradients are."""
        unit = unit_of_locs if name.endswith("locs") else 1.0
        return {"lr": learning_rate * unit, "betas": _BETAS, "eps": _EPSILON / unit}

    optimizer = pyro.optim.Adam(options)
    svi = SVI(model, guide, optimizer, loss=TraceEnum_ELBO(max_plate_nesting=1))
    norms = _watched_norms(svi, model, guide, rows)
    losses, parameters = np.empty(num_steps), dict(pyro.get_param_store().named_parameters())
    best: dict[str, Tensor] = {}
    for step in (bar := trange(num_steps, desc=what, disable=None if progress else True)):
        here = {name: value.detach().clone() for name, value in parameters.items()}
        try:
            losses[step] = svi.step(rows)
        except ValueError as error:  # torch's checks: a step has led to a scale of 0 or to NaN
            raise _diverged(step, learning_rate) from error
        if not np.isfinite(losses[step]):
            raise _diverged(step, learning_rate)
        if losses[step] == losses[: step + 1].min():
            best = here
        bar.set_postfix(loss=f"{losses[step]:.4f}", refresh=False)
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(best[name])
    return losses, {name: np.array(values) for name, values in norms.items()}


def _watched_norms(
    svi: SVI, model: Callable[..., Any], guide: Callable[..., Any], rows: Tensor
) -> dict[str, list[float]]:
    """Makes a list for each parameter that is learnt, to which every gradient from now on adds its norm."""
    with poutine.trace(param_only=True) as learnt:  # found as SVI finds them, without those that a guide blocks
        svi.loss(model, guide, rows)
    norms: dict[str, list[float]] = {}
    for name in learnt.trace.nodes:
        history = norms[name] = []
        parameter = pyro.param(name).unconstrained()
        parameter.register_hook(lambda gradient, history=history: history.append(float(gradient.norm())))
    return norms


def _diverged(step: int, learning_rate: float) -> FloatingPointError:
    return FloatingPointError(
        f"the loss is no finite number at step {step}. Lower `learning_rate`, received: {learning_rate}, or look at "
        "the priors."
    )
