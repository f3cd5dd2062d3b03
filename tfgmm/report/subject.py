"""What a report can be about, a fit, a model or an exported mixture, brought to one form. No TensorFlow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.common.checks import check_choice, is_instance_of
from tfgmm.common.columns import column_labels
from tfgmm.common.words import printable
from tfgmm.data.summary import DataSummary
from tfgmm.fit.options import CRITERIA_AT
from tfgmm.mixture.occupied import is_occupied
from tfgmm.mixture.parameters import num_parameters
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.registry import WEIGHT_PRIORS
from tfgmm.posterior.draws import Draws
from tfgmm.posterior.record import PosteriorRecord

if TYPE_CHECKING:
    from tfgmm.export.scorer import Scorer
    from tfgmm.fit.restarts import Move, Restart
    from tfgmm.fit.result import FitResult
    from tfgmm.model.gaussian_mixture import GaussianMixtureModel

_NUM_DRAWS = 200  # of a posterior, for a picture: a mean over them is smooth
_LEAST_RANGE = 1e-6  # nats per row: a loss that moves less is level


@dataclasses.dataclass(frozen=True, eq=False)
class FitRecord:
    """How a fit came about; see `FitResult`."""

    history: Mapping[str, Sequence[float]]
    restarts: tuple[Restart, ...]
    converged: bool
    moves: tuple[Move, ...] = ()

    @property
    def is_level(self) -> bool:
        """Whether the loss stayed where it was, so that a picture of the sweeps would show rounding alone.

        Restarts may have reached the optimum already.
        """
        return "val_loss" not in self.history and float(np.ptp(self.history["loss"])) < _LEAST_RANGE


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted mixture and all that a report says of it.

    Args:
        mixture: Fit, model or scorer: what densities, memberships and outlier scores are asked of.
        interval_draws: Gives the draws that intervals are read from.
        picture_draws: Gives the draws that pictures are made from.
        posterior: How both are made, and how far to trust them.
        covariance, weights: Shape of the components, and prior of the weights.
        num_data: Number of rows of the fit, N; the sum of their weights.
        expected_counts: Rows expected in each component, (K,) float64.
        num_parameters: Free numbers of the mixture.
        criteria: Bound, log likelihood, AIC and BIC as they are recorded, by name, as text.
        priors: Priors of the fit.
        summary: Summary of the rows of the fit, or None where it was not stored.
        record: How the fit came about, or None where that is not recorded.
        kept_in: What holds the mixture, in words.
        exporting: How Python calls the model, to export it; None where it is exported already.
    """

    mixture: Any
    interval_draws: Callable[[], Draws]
    picture_draws: Callable[[], Draws]
    posterior: PosteriorRecord
    covariance: str
    weights: str
    num_data: float
    expected_counts: np.ndarray
    num_parameters: int
    criteria: Mapping[str, str]
    priors: Priors
    summary: DataSummary | None
    record: FitRecord | None
    kept_in: str
    exporting: str | None

    @property
    def num_components(self) -> int:
        """K."""
        return len(self.expected_counts)

    @property
    def has_gaps(self) -> bool:
        """Whether rows of the fit lacked some values."""
        return self.summary is not None and bool(self.summary.gap_columns)

    @property
    def has_noise(self) -> bool:
        """Whether the rows of the fit had measurement noise, so that the mixture is that of values without it."""
        return self.summary is not None and bool(self.summary.noise_columns)

    @property
    def num_features(self) -> int:
        """D."""
        return len(self.mixture.plug_in().centre)

    @property
    def num_occupied(self) -> int:
        """Components that at least one row is expected in."""
        return int(np.sum(is_occupied(self.expected_counts)))

    @property
    def column_names(self) -> tuple[str, ...]:
        """A name per column that can be printed: the data's, else "column 0" and so on."""
        return tuple(printable(name) for name in column_labels(self.mixture.column_names, self.num_features))


def fitted_of(source: Any) -> Fitted:
    """Collects what a report says of a `FitResult`, a fitted `GaussianMixtureModel`, or a `Scorer`.

    Raises:
        TypeError: It is something else.
        ValueError: A model that was not fitted; an export of an earlier version, without draws, or of no fit.
    """
    for home, name, collect in (
        ("tfgmm.fit.result", "FitResult", _of_result),
        ("tfgmm.model.gaussian_mixture", "GaussianMixtureModel", _of_mixture),
        ("tfgmm.export.scorer", "Scorer", _of_scorer),
    ):
        if is_instance_of(source, home, name):  # nothing is imported for it: a model would bring TensorFlow
            return collect(source)
    raise TypeError(
        "`result` must be a tfgmm.FitResult, a Selection, a GaussianMixtureModel or a Scorer. Received: "
        f"{type(source).__name__}. Pass what tfgmm.fit_mixture or tfgmm.load_scorer returns."
    )


def _of_result(result: FitResult) -> Fitted:
    criteria = {
        "Bound": f"{result.elbo:,.2f} nats",
        "Log likelihood": f"{result.log_likelihood:,.2f} nats, at {CRITERIA_AT[result.criteria_at]}",
        "AIC": f"{result.aic:,.1f}, there too",
        "BIC": f"{result.bic:,.1f}, there too",
    }
    return dataclasses.replace(
        _of_mixture(result),
        criteria=criteria,
        # Rows in parts were not swept: there is no loss that falls, and no end of it
        record=_record_of(result) if result.num_parts <= 1 else None,
        exporting="result",
    )


def _record_of(result: FitResult) -> FitRecord:
    return FitRecord(result.history, result.restarts, result.converged, result.moves)


def _of_mixture(mixture: FitResult | GaussianMixtureModel) -> Fitted:
    from tfgmm.fit.result_words import interval_draws

    num_data = _check_fitted(mixture.num_data)
    return Fitted(
        mixture=mixture,
        interval_draws=lambda: interval_draws(mixture),
        picture_draws=lambda: mixture.draws(_NUM_DRAWS, seed=0),
        posterior=mixture.stored_record(),
        covariance=mixture.covariance,
        weights=mixture.weight_prior,
        num_data=num_data,
        expected_counts=_in_range(mixture.variational.expected_counts(), num_data),
        num_parameters=num_parameters(mixture.covariance, mixture.num_components, mixture.num_features),
        criteria=_bound(mixture.elbo),
        priors=mixture.priors,
        summary=mixture.data_summary,
        record=None,
        kept_in="a model",
        exporting="model",
    )


def _of_scorer(scorer: Scorer) -> Fitted:
    card = scorer.card
    model, training = card["model"], card["training"]
    num_data = _check_fitted(training.get("num_data"))
    weights = check_choice("weights", model.get("weights"), WEIGHT_PRIORS)
    priors = Priors.from_dict(card["priors"])
    draws = scorer.draws()  # an earlier export, which has none, is refused before anything is drawn
    summary = training.get("data_summary")
    sizes = model["num_components"], model["num_features"]
    means = np.exp(scorer.plug_in().log_weights)
    elbo = training.get("elbo_nats")
    return Fitted(
        mixture=scorer,
        interval_draws=lambda: draws,
        picture_draws=lambda: draws,
        posterior=scorer.stored_record(),
        covariance=model["covariance"],
        weights=weights,
        num_data=num_data,
        expected_counts=_in_range(counts_of(weights, means, priors, num_data), num_data),
        num_parameters=num_parameters(model["covariance"], *sizes),
        criteria=_bound(elbo if isinstance(elbo, float) else None),
        priors=priors,
        summary=DataSummary.from_dict(summary) if isinstance(summary, dict) else None,
        record=None,
        kept_in="an exported folder",
        exporting=None,
    )


def _check_fitted(num_data: Any) -> float:
    """Checks the number of rows of a fit, which weights may make a fraction."""
    is_number = isinstance(num_data, (int, float)) and not isinstance(num_data, bool)
    if not is_number or not 0.0 < num_data < math.inf:
        raise ValueError(
            "`result` must be a mixture that was fitted. Received: one that has seen no rows. Fit it first."
        )
    return num_data


def _bound(elbo: float | None) -> dict[str, str]:
    return {} if elbo is None else {"Bound": f"{elbo:,.2f} nats"}


def _in_range(counts: np.ndarray, num_data: float) -> np.ndarray:
    """Clips counts to 0 and N: sticks of a single component say infinity, and rounding may give less than 0."""
    return np.clip(np.asarray(counts, np.float64), 0.0, float(num_data))


def counts_of(weights: str, means: np.ndarray, priors: Priors, num_data: float) -> np.ndarray:
    """Computes the rows expected in each component, (K,) float64, from the posterior means of the weights.

    An export holds the means alone. For a Dirichlet, E[w_k] = (a_k + n_k) / (sum of a + N). For sticks, a share
    E[v_k] = (1 + n_k) / (1 + c + n_k + n_(k+1) + ...) of what is left is broken off.

    Args:
        weights: Name of the prior, "dirichlet" or "stick_breaking".
        means: Posterior means of the weights, (K,), which sum to 1.
        priors: Priors of the fit.
        num_data: Number of rows, N.

    Example:

    >>> counts_of("dirichlet", np.array([0.25, 0.75]), Priors(weight_concentration=1.0), 6).tolist()
    [1.0, 5.0]
    """
    if not WEIGHT_PRIORS[weights].is_maximum:
        prior_counts = np.broadcast_to(np.asarray(priors.weight_concentration, np.float64), means.shape)
        return means * (prior_counts.sum() + num_data) - prior_counts
    counts, rows_left, share_left = np.empty(len(means)), float(num_data), 1.0
    for k, mean in enumerate(means[:-1]):
        broken = mean / max(share_left, np.finfo(np.float64).tiny)
        counts[k] = broken * (1.0 + priors.stick_concentration + rows_left) - 1.0
        rows_left, share_left = rows_left - counts[k], share_left - mean
    counts[-1] = rows_left
    return counts
