"""The NumPyro model with priors by default or of the user, and the errors and warnings for those that do not fit."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from tfgmm.common.checks import check_choice, check_count
from tfgmm.companions.numpyro_mixture.joint_prior import JointPrior
from tfgmm.companions.numpyro_mixture.model import Distribution, MarginalModel
from tfgmm.mixture.priors import Priors

from numpyro import distributions as dist  # isort: skip  after `model`, whose error says how to install it
from numpyro.distributions import constraints
from numpyro.distributions.transforms import PowerTransform

COVARIANCES = ("diag", "full")
# The default prior, Normal(0, 10), pulls a column's mean where |mean| + standard deviation exceeds two of its own.
_REACH_OF_DEFAULT = 20.0


def mixture_model(
    num_components: int,
    num_features: int = 1,
    *,
    covariance: str = "diag",
    ordered: bool = False,
    weight_prior: Distribution | None = None,
    loc_prior: Distribution | None = None,
    scale_prior: Distribution | None = None,
    correlation_concentration: float = 1.0,
    priors: Priors | None = None,
) -> MarginalModel:
    """Makes the marginalised mixture as a NumPyro model, for NumPyro's own inference.

    Args:
        num_components: Number of components, K.
        num_features: Number of columns, D.
        covariance: "diag" for columns that are independent within a component, "full" for any covariance.
        ordered: Whether the locations in the first column increase from component to component.
        weight_prior: NumPyro distribution over the simplex, event shape (K,). Default Dirichlet(1).
        loc_prior: NumPyro distribution of the locations, data units: event shape () and a batch shape that broadcasts
            to (K, D), such as (), (D,) and (K, 1), for one column also (K,); or event shape (D,) and batch shape () or
            (K,). Default Normal(0, 10).
        scale_prior: NumPyro distribution of the standard deviations, positive, data units; shapes as for `loc_prior`.
            Default HalfCauchy(10).
        correlation_concentration: Concentration of the LKJ distribution of the correlations within a component, for
            covariance="full"; 1 is uniform, larger values draw them to 0.
        priors: `tfgmm.Priors` instead of these four: `result.priors` of a fit with the same covariance, or
            `Priors.from_data(rows, covariance)`. Where they learn their scale, what is learned is integrated out, as in
            the fit; then, and for covariance="full", they are one factor beside flat sites.

    Returns:
        `MarginalModel` with these priors.

    Raises:
        ValueError: K or D below 1, an unknown covariance, a prior of the wrong shape or over other numbers, priors that
            do not suit the covariance.
        TypeError: a prior that is no NumPyro distribution.

    Example:

    >>> model = mixture_model(3, scale_prior=dist.HalfNormal(2.0))
    >>> sorted(model.sites())
    ['locs', 'scales', 'weights']
    """
    num_components = check_count("num_components", num_components)
    num_features = check_count("num_features", num_features)
    _check_settings(covariance, ordered, correlation_concentration)
    by_argument = {"weight_prior": weight_prior, "loc_prior": loc_prior, "scale_prior": scale_prior}
    joint_prior = None
    if priors is not None:
        _check_priors(priors, by_argument, correlation_concentration)
        by_argument, joint_prior = _divided(priors, covariance, num_components, num_features)
    chosen = checked_priors(num_components, num_features, **by_argument)
    if ordered and not _is_over_all_numbers(chosen["loc_prior"]):
        raise ValueError(
            "`loc_prior` must be over all numbers where `ordered` is True. Received: a distribution over some of "
            "them. Choose another prior, or ordered=False."
        )
    return MarginalModel(
        num_components,
        num_features,
        **chosen,
        covariance=covariance,
        correlation_concentration=float(correlation_concentration),
        ordered=bool(ordered),
        joint_prior=joint_prior,
        row_variance=None if priors is None else _row_variance(priors, num_features),
    )


def _row_variance(priors: Priors, num_features: int) -> np.ndarray | None:
    """Gives the variance that each row adds as a matrix, (D, D)."""
    if priors.row_variance is None:
        return None
    variance = np.array(priors.row_variance, np.float64)
    return variance if variance.ndim == 2 else np.diag(np.broadcast_to(variance, (num_features,)))


def _divided(
    priors: Priors, covariance: str, num_components: int, num_features: int
) -> tuple[dict[str, Distribution | None], JointPrior | None]:
    """Divides priors into distributions of the sites by their argument, and the joint prior of those left flat."""
    priors.check_sizes(num_components, num_features)
    joint = JointPrior(priors, covariance, num_components, num_features)
    own: dict[str, Distribution | None] = _independent_priors(priors, num_components, num_features)
    if joint.has_locs:
        own["loc_prior"] = dist.ImproperUniform(constraints.real, (), ())
    if joint.has_precisions:
        own["scale_prior"] = dist.ImproperUniform(constraints.positive, (), ())
    return own, joint if joint.has_locs or joint.has_precisions else None


def priors_of_model(priors: Priors, num_components: int, num_features: int) -> dict[str, Distribution]:
    """Turns fixed priors of a `GaussianMixtureModel` of covariance "diag" into NumPyro distributions.

    Its precisions tau have Gamma priors; the scales tau^-1/2 get the distributions that follow from them.

    Args:
        priors: Priors in data units.
        num_components: Number of components, K.
        num_features: Number of columns, D.

    Returns:
        Distributions by the argument of `mixture_model` that takes them.

    Raises:
        ValueError: The priors learn their scale, which makes one joint prior of them.

    Example:

    >>> found = priors_of_model(Priors(precision_shape=2.0, precision_rate=1.5), 2, 1)
    >>> round(float(found["scale_prior"].log_prob(1.3)), 4)
    -0.6953
    """
    if priors.is_learned or priors.loc_scale_grid is not None:
        raise ValueError(
            "`priors` must have fixed scales here. Received: priors that learn their scale "
            f"(scale_structure={priors.scale_structure!r}), one joint prior of all components. Pass them to "
            "mixture_model or sample_nuts as priors=, or take result.learned_priors, fixed at what was learned."
        )
    return _independent_priors(priors, num_components, num_features)


def _independent_priors(priors: Priors, num_components: int, num_features: int) -> dict[str, Distribution]:
    """Makes the distributions of `priors_of_model`, whatever else the priors say."""
    # One column takes plain numbers: a batch of one column would count as one of components
    shape = () if num_features == 1 else (num_features,)

    def per_column(value: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, np.float64).reshape(-1), (num_features,)).reshape(shape)

    precisions = dist.Gamma(per_column(priors.precision_shape), per_column(priors.precision_rate))
    return {
        "weight_prior": dist.Dirichlet(np.broadcast_to(np.asarray(priors.weight_concentration), (num_components,))),
        "loc_prior": dist.Normal(per_column(priors.loc_mean), per_column(priors.loc_scale)),
        "scale_prior": dist.TransformedDistribution(precisions, PowerTransform(-0.5)),
    }


def warn_of_odd_priors(
    mean: np.ndarray, deviation: np.ndarray, column_names: tuple[str, ...] | None, *, stacklevel: int
) -> None:
    """Warns if rows, by mean and standard deviation of the columns, lie beyond the default prior of the locations."""
    reach = np.abs(mean) + deviation
    worst = int(np.argmax(reach))
    if reach[worst] > _REACH_OF_DEFAULT:
        name = column_names[worst] if column_names else worst
        warnings.warn(
            f"the default loc_prior, Normal(0, 10), does not suit column {name!r}, with mean {mean[worst]:.3g} and "
            f"standard deviation {deviation[worst]:.3g}: it pulls locations to 0. Pass "
            "priors=tfgmm.Priors.from_data(rows), a fitted model's model.priors, or a loc_prior of your own",
            stacklevel=stacklevel,
        )


def checked_priors(num_components: int, num_features: int, **priors: Distribution | None) -> dict[str, Distribution]:
    """Checks priors, and puts those of the NumPyro forum's marginalised mixture in the place of None.

    Args:
        num_components: Number of components, K.
        num_features: Number of columns, D.
        **priors: Distributions, or None, for weight_prior, loc_prior and scale_prior.

    Raises:
        TypeError: a prior is no NumPyro distribution.
        ValueError: a prior has the wrong shape, or is over numbers that make no sense.

    Example:

    >>> sorted(checked_priors(2, 1, weight_prior=None, loc_prior=None, scale_prior=None))
    ['loc_prior', 'scale_prior', 'weight_prior']
    """
    for name, prior in priors.items():
        if prior is not None:
            _check_kind(name, prior)
            _check_shape(name, prior, num_components, num_features)
            _check_support(name, prior)
    defaults = {
        "weight_prior": dist.Dirichlet(np.ones(num_components)),
        "loc_prior": dist.Normal(0.0, 10.0),
        "scale_prior": dist.HalfCauchy(10.0),
    }
    return {name: defaults[name] if prior is None else prior for name, prior in priors.items()}


def _check_settings(covariance: str, ordered: bool, correlation_concentration: float) -> None:
    check_choice("covariance", covariance, COVARIANCES)
    if not isinstance(ordered, (bool, np.bool_)):
        raise ValueError(f"`ordered` must be True or False. Received: {ordered!r}. Choose one of them.")
    if not 0 < correlation_concentration < math.inf:
        raise ValueError(
            f"`correlation_concentration` must be positive. Received: {correlation_concentration!r}. Try 1."
        )


def _check_priors(
    priors: Priors, by_argument: dict[str, Distribution | None], correlation_concentration: float
) -> None:
    """Checks `priors`: Raises TypeError or ValueError unless it can take the place of the other priors."""
    if not isinstance(priors, Priors):
        raise TypeError(
            f"`priors` must be tfgmm.Priors. Received: {type(priors).__name__}. Pass model.priors, or give "
            "weight_prior, loc_prior and scale_prior."
        )
    others = [name for name, prior in by_argument.items() if prior is not None]
    if correlation_concentration != 1.0:
        others.append("correlation_concentration")
    if others:
        raise ValueError(f"`priors` must be left out with {', '.join(others)}. Received: both. Leave one of them out.")


def _check_kind(name: str, prior: Distribution) -> None:
    if not isinstance(prior, dist.Distribution):
        raise TypeError(
            f"`{name}` must be a NumPyro distribution. Received: {type(prior).__name__}. "
            "Pass one, e.g. numpyro.distributions.Normal(0.0, 10.0), or leave it out for the default."
        )


def _check_shape(name: str, prior: Distribution, num_components: int, num_features: int) -> None:
    event, batch = tuple(prior.event_shape), tuple(prior.batch_shape)
    if name == "weight_prior":
        wanted = f"event shape ({num_components},) and batch shape ()"
        fits = event == (num_components,) and batch == ()
    else:
        shape = (num_components, num_features)
        one_column = f" or ({num_components},)" if num_features == 1 else ""
        wanted = (
            f"event shape () and a batch shape that broadcasts to {shape}{one_column}, or event shape "
            f"({num_features},) and batch shape () or ({num_components},)"
        )
        of_one_column = num_features == 1 and batch == (num_components,)
        fits = event == () and (_broadcasts(batch, shape) or of_one_column)
        fits |= event == (num_features,) and batch in ((), (num_components,))
    if not fits:
        raise ValueError(
            f"`{name}` must have {wanted}. Received: event shape {event}, batch shape {batch}. "
            "Change the shape of its arguments."
        )


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    return len(shape) <= len(to) and all(size in (1, whole) for size, whole in zip(shape[::-1], to[::-1]))


def _check_support(name: str, prior: Distribution) -> None:
    """Checks a prior: Raises ValueError if it is over other numbers, where NUTS would reach NaN, or never start."""
    places = np.ones(tuple(prior.event_shape))
    if name == "weight_prior":
        words, fits = "over the simplex", bool(prior.support(places / places.size)) and not prior.support(2 * places)
    elif name == "scale_prior":
        words, fits = "over positive numbers", not np.any(prior.support(-places))
    else:
        words, fits = "over numbers", True
    if prior.support.is_discrete or not fits:
        received = f"{type(prior).__name__}, over other numbers"
        raise ValueError(f"`{name}` must be continuous and {words}. Received: {received}. Choose another distribution.")


def _is_over_all_numbers(prior: Distribution) -> bool:
    far = np.full(tuple(prior.event_shape), 1e300)
    return bool(np.all(prior.support(far)) and np.all(prior.support(-far)))
