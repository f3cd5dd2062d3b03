"""The mixture as a Pyro model with a choice of priors, and the context in which Pyro's functions run on it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tfgmm.common.checks import check_count, check_seed

try:
    import pyro
    import torch
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"`tfgmm.companions.pyro_mixture` needs Pyro and PyTorch. Received: no module named {error.name!r}. "
        'Install them: pip install "tfgmm[pyro]"'
    ) from error

from pyro import distributions as dist
from pyro import poutine
from pyro.ops.indexing import Vindex
from torch.distributions import biject_to

Tensor = torch.Tensor
Distribution = Any

# Rows are in the rightmost batch dimension; the one left of it is free for enumeration.
FREE_DIM = -2
# The sites that are learnt or drawn; the others are the rows and their assignments.
GLOBAL_SITES = ("weights", "locs", "scale")
# Rows of Pyro's own example, whose unit is 1: the default priors are those that it states
_SPREAD_OF_EXAMPLE = float(np.std([0.0, 1.0, 10.0, 11.0, 12.0]))
# The default prior, Normal(0, 10 units), pulls a mean where |mean| + standard deviation exceeds two of its own.
_REACH_OF_DEFAULT = 20.0
# For fewer rows a second thread only costs waiting: NUTS on five rows took five times as long with it.
_ROWS_FOR_THREADS = 100_000
_NOT_TAKEN = ("sample_weight", "noise", "missing")


@dataclasses.dataclass(frozen=True)
class EnumeratedMixture:
    """A mixture of K normal distributions in one dimension, as a Pyro model of rows whose assignments are enumerated.

    weights ~ weight_prior; locs_k ~ loc_prior; scale ~ scale_prior, one for all components or one each;
    assignment_i ~ Categorical(weights); x_i ~ Normal(locs[assignment_i], scale).

    Args:
        num_components: Number of components, K.
        weight_prior: Distribution over the simplex, event shape (K,).
        loc_prior, scale_prior: Distributions over numbers and over positive numbers, data units; event shape (), batch
            shape () or (K,).
        scale_per_component: Whether each component has a scale of its own.
        unit: The unit that steps are taken in, data units; see `unit_of`.
    """

    num_components: int
    weight_prior: Distribution
    loc_prior: Distribution
    scale_prior: Distribution
    scale_per_component: bool = False
    unit: float = 1.0

    @property
    def units(self) -> dict[str, float]:
        """The units of locs and scale; 1 where a prior is over some of the numbers, whose coordinates have none."""
        places = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
        locs, scale = (biject_to(prior.support)(places) for prior in (self.loc_prior, self.scale_prior))
        return {
            "locs": self.unit if torch.allclose(locs, places) else 1.0,
            "scale": self.unit if torch.allclose(scale, places.exp()) else 1.0,
        }

    def widest_step(self, locs: Tensor) -> float:
        """Computes how far locations (K,) move at most where their coordinates move by 1; 1 over all numbers."""
        transform = biject_to(self.loc_prior.support)
        steps = transform.log_abs_det_jacobian(transform.inv(locs), locs).exp()
        return float(steps.max())

    def __call__(self, data: Tensor) -> None:
        """States the model of rows (N,) to Pyro. Inside a plate of starts all sites have its axis."""
        components = pyro.plate("components", self.num_components, dim=-1)
        # NUTS multiplies in the rows' type, whatever type the prior's numbers have
        weights = pyro.sample("weights", self.weight_prior).to(data.dtype)
        with components if self.scale_per_component else contextlib.nullcontext():
            scale = pyro.sample("scale", self.scale_prior)
        with components:
            locs = pyro.sample("locs", self.loc_prior)
        with pyro.plate("data", len(data), dim=-1):
            # Enumerated in parallel: TraceEnum_ELBO and NUTS sum over it, infer_discrete samples it
            assignment = pyro.sample("assignment", dist.Categorical(weights), infer={"enumerate": "parallel"})
            own_scale = _of_component(scale, assignment) if self.scale_per_component else scale
            pyro.sample("obs", dist.Normal(_of_component(locs, assignment), own_scale), obs=data)

    def log_joints(self, values: Mapping[str, Tensor], data: Tensor) -> Tensor:
        """Computes log theta_k + log Normal(x_i | component k), nats, (K, N), or (K, starts, N)."""
        nodes = self.enumerated(values, data)
        return nodes["assignment"]["log_prob"] + nodes["obs"]["log_prob"]

    def enumerated(
        self, values: Mapping[str, Tensor], data: Tensor, num_starts: int | None = None
    ) -> Mapping[str, Any]:
        """Evaluates the sites of the model, by name, with log_prob for each of the K assignments.

        Args:
            values: Values of weights (K,), locs (K,), and scale () or (K,); with `num_starts`, the same with that axis
                in front, and an axis of length 1 where a site has none for components.
            data: Rows (N,).
            num_starts: Number of sets of values; None for one set without the axis.
        """
        first_free = FREE_DIM if num_starts is None else FREE_DIM - 1
        starts = contextlib.nullcontext() if num_starts is None else pyro.plate("starts", num_starts, dim=-2)
        model = poutine.enum(poutine.condition(self, data=dict(values)), first_available_dim=first_free)
        with starts:
            trace = poutine.trace(model).get_trace(data)
        trace.compute_log_prob()
        return trace.nodes


def _of_component(values: Tensor, assignment: Tensor) -> Tensor:
    """Picks the values (..., K) of the component that each row is assigned to."""
    return Vindex(values.unsqueeze(-2))[..., assignment]


def mixture_of(
    num_components: int,
    weight_prior: Distribution | None,
    loc_prior: Distribution | None,
    scale_prior: Distribution | None,
    scale_per_component: bool,
    unit: float = 1.0,
) -> EnumeratedMixture:
    """Makes the model with these priors, or, for None, those of Pyro's own example in the unit of the rows.

    Raises:
        ValueError: K < 1; a prior of the wrong shape.
        TypeError: a prior that is no Pyro distribution.
    """
    num_components = check_count("num_components", num_components)
    zero = torch.zeros((), dtype=torch.float64)
    defaults = {
        "weight_prior": dist.Dirichlet(torch.full((num_components,), 0.5, dtype=torch.float64)),
        "loc_prior": dist.Normal(zero, zero + 10.0 * unit),
        "scale_prior": dist.LogNormal(zero + math.log(unit), zero + 2.0),
    }
    by_argument = {"weight_prior": weight_prior, "loc_prior": loc_prior, "scale_prior": scale_prior}
    each: tuple[tuple[int, ...], ...] = ((), (num_components,))
    batch_shapes = {"weight_prior": each[:1], "loc_prior": each, "scale_prior": each[: 1 + scale_per_component]}
    for name, prior in by_argument.items():
        if prior is not None:
            _check_prior(name, prior, (num_components,) if name == "weight_prior" else (), batch_shapes[name])
    priors = {name: defaults[name] if prior is None else prior for name, prior in by_argument.items()}
    return EnumeratedMixture(num_components, **priors, scale_per_component=scale_per_component, unit=unit)


def unit_of(rows: np.ndarray) -> float:
    """Measures the standard deviation of rows (N,) by that of Pyro's example; 1 for rows that do not vary.

    So default priors and steps are the same in any unit of the rows, and those of the example in its own.

    Example:

    >>> inches = np.array([0.0, 1.0, 10.0, 11.0, 12.0])
    >>> unit_of(inches), round(unit_of(2.54 * inches), 9)
    (1.0, 2.54)
    """
    spread = float(np.std(rows))
    if not spread > 1e-13 * float(np.abs(rows).max()):
        return 1.0
    return spread / _SPREAD_OF_EXAMPLE


def warn_of_odd_priors(rows: np.ndarray, unit: float, *, stacklevel: int) -> None:
    """Warns where the default prior of the locations pulls the mean of the rows."""
    mean, spread = float(np.mean(rows)), float(np.std(rows))
    reach = (abs(mean) + spread) / unit
    if reach > _REACH_OF_DEFAULT:
        warnings.warn(
            f"the default loc_prior, Normal(0, {10.0 * unit:g}), does not suit rows with mean {mean:.3g} and standard "
            f"deviation {spread:.3g}: together {reach / 10.0:.3g} of its own. Pass loc_prior="
            f"pyro.distributions.Normal({mean:.3g}, {2.0 * (spread or abs(mean)):.3g}), or subtract the mean.",
            UserWarning,
            stacklevel=stacklevel,
        )


def with_gradients(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function follow gradients also where its caller has switched them off, as in `torch.no_grad()`.

    It refuses what other functions of this package take with their rows, and this engine does not.
    """

    @functools.wraps(function)
    def enabled(*arguments: Any, **options: Any) -> Any:
        for name in _NOT_TAKEN:
            if name in options:
                raise TypeError(
                    f"`{name}` must be left out: rows of the Pyro engine have no weights, gaps or noise. "
                    f"Received: {name}=. Take tfgmm.companions.numpyro_mixture.sample_nuts or tfgmm.fit_mixture, or "
                    "repeat the rows that count more than once."
                )
        with torch.inference_mode(False), torch.enable_grad():
            return function(*arguments, **options)

    return enabled


def _check_prior(
    name: str, prior: Distribution, event_shape: tuple[int, ...], batch_shapes: tuple[tuple[int, ...], ...]
) -> None:
    if not isinstance(prior, torch.distributions.Distribution):
        raise TypeError(
            f"`{name}` must be a Pyro distribution. Received: {type(prior).__name__}. "
            "Pass one, e.g. pyro.distributions.Normal(0.0, 10.0), or leave it out for the default."
        )
    if tuple(prior.event_shape) != event_shape or tuple(prior.batch_shape) not in batch_shapes:
        wanted = " or ".join(str(shape) for shape in batch_shapes)
        raise ValueError(
            f"`{name}` must have event shape {event_shape} and batch shape {wanted}. Received: event shape "
            f"{tuple(prior.event_shape)}, batch shape {tuple(prior.batch_shape)}. Change the shape of its arguments."
        )
    _check_support(name, prior)


def _check_support(name: str, prior: Distribution) -> None:
    """Checks a prior: Raises ValueError if it is over other numbers, where gradients would lead to NaN."""
    places = torch.ones(tuple(prior.event_shape), dtype=torch.float64)
    if name == "weight_prior":
        words, fits = "over the simplex", bool(prior.support.check(places / places.sum()).all())
        fits = fits and not bool(prior.support.check(2 * places).all())
    elif name == "scale_prior":
        words, fits = "over positive numbers", not bool(prior.support.check(-places).any())
    else:
        words, fits = "over numbers", True
    if prior.support.is_discrete or not fits:
        raise ValueError(
            f"`{name}` must be continuous and {words}. Received: {type(prior).__name__}, over other numbers. "
            "Choose another distribution."
        )


@contextlib.contextmanager
def isolated(seed: Any, num_rows: int) -> Iterator[None]:
    """Opens a block in which random numbers depend only on `seed`, with a parameter store of its own.

    Pyro keeps parameters by name in one store of the process, where two fits would meet, and its seed is that of
    torch, NumPy and Python. After the block all of them are as they were before. So is the number of torch's threads,
    which is one inside the block for few rows.
    """
    seed = check_seed(seed) % 2**32  # NumPy takes no larger seed
    before, num_threads = pyro.util.get_rng_state(), torch.get_num_threads()
    if num_rows < _ROWS_FOR_THREADS:
        torch.set_num_threads(1)
    try:
        with pyro.get_param_store().scope():
            pyro.set_rng_seed(seed)
            yield
    finally:
        pyro.util.set_rng_state(before)
        torch.set_num_threads(num_threads)


def tensor(rows: np.ndarray) -> Tensor:
    """Converts an array into a float64 tensor."""
    return torch.as_tensor(rows, dtype=torch.float64)
