"""How draws from a posterior were made, and how far they can be trusted, in figures and in words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from tfgmm.common.checks import check_choice
from tfgmm.common.words import beside, listed

METHODS = {
    "mean_field": "the mean-field posterior",
    "laplace": "the normal distribution at the mode of the exact posterior",
    "importance": "the exact posterior, by importance sampling",
    "mcmc": "the exact posterior, by Markov chains",
}
AUTO, MEAN_FIELD = "auto", "mean_field"
STOPPED = "it was stopped before it was done"
# Vehtari et al. 2024; Vehtari et al. 2021: beyond these, draws are not to be trusted
LARGEST_K_HAT, LARGEST_R_HAT, FEWEST_EFFECTIVE = 0.7, 1.05, 400.0
# Share of draws whose components stood in another order: with more, components cannot be told apart
_MOST_MOVED = 0.05
# Effective draws per draw of the normal distribution at the mode. Measured: from 0.8 on standard deviations are within
# 6 % of NUTS's, at 0.7 up to 15 % too small, at 0.3 up to a third.
LEAST_EFFICIENCY = 0.8
# Many free numbers leave few effective draws although each of them has the right width
LARGEST_WIDTH_ERROR = 0.05


@dataclasses.dataclass(frozen=True)
class PosteriorRecord:
    """How draws were made, and how far they can be trusted. `print` says it in words.

    Args:
        method: "mean_field", "laplace", "importance" or "mcmc".
        asked: The method that was asked for, such as "auto".
        k_hat: Pareto k-hat of the importance ratios; None where too few were computed.
        ess: Effective number of draws; None where it is not known.
        r_hat: Largest rank-normalised r-hat of the chains; None without chains.
        share_moved: Share of the posterior in which components stood in another order than at the mode.
        moved: The same of each component by itself, (K,); () where it is not known.
        log_evidence: Logarithm of the probability of the rows, nats, over all orders of the components; None where it
            was not estimated. That of "mcmc" is of the importance sampling before the chains, where its k-hat was below
            0.7.
        evidence_error: Its Monte-Carlo standard error, nats.
        efficiency: Effective draws per draw of the normal distribution at the mode, of those that were weighed; else
            None.
        width_error: Relative error of its standard deviations, as the same weights have it; None where they are too few
            to tell.
        note: Why less was done than was asked for, as a clause; "" where it was not.
    """

    method: str
    asked: str = AUTO
    k_hat: float | None = None
    ess: float | None = None
    r_hat: float | None = None
    share_moved: float = 0.0
    moved: tuple[float, ...] = ()
    log_evidence: float | None = None
    evidence_error: float | None = None
    efficiency: float | None = None
    width_error: float | None = None
    note: str = ""

    @property
    def is_exact(self) -> bool:
        """Whether the draws are from the exact posterior, as far as the figures can tell."""
        if self.method == "importance":
            return self.k_hat is not None and self.k_hat < LARGEST_K_HAT and (self.ess or 0.0) >= FEWEST_EFFECTIVE
        if self.method == "mcmc":
            return self.r_hat is not None and self.r_hat < LARGEST_R_HAT and (self.ess or 0.0) >= FEWEST_EFFECTIVE
        return False

    @property
    def is_trusted(self) -> bool:
        """Whether standard deviations and intervals can be believed."""
        if self.method == "laplace":
            is_efficient = (self.efficiency or 0.0) >= LEAST_EFFICIENCY and not (self.k_hat or 0.0) >= LARGEST_K_HAT
            return is_efficient or (self.width_error is not None and self.width_error <= LARGEST_WIDTH_ERROR)
        return self.is_exact

    @property
    def has_evidence(self) -> bool:
        """Whether `log_evidence` can be believed: importance sampling reached the whole posterior, by k-hat.

        What Laplace's approximation gives instead has no error that is known.
        """
        if self.log_evidence is None or self.evidence_error is None or not math.isfinite(self.evidence_error):
            return False
        return self.method == "mcmc" or (self.k_hat is not None and self.k_hat < LARGEST_K_HAT)

    def sentences(self) -> tuple[str, ...]:
        """Says how the draws were made, how good intervals are, and whether single components mean something."""
        return (self._how(), *filter(None, [self._advice()]), *self.warnings())

    def warnings(self) -> tuple[str, ...]:
        """Says what users must know before they use the draws: they cannot be trusted, or components are alike."""
        return tuple(filter(None, [self._warning(), self._on_labels()]))

    def _advice(self) -> str:
        if self.method != MEAN_FIELD or self.note:
            return ""
        return 'they are too narrow where components overlap: posterior="auto" gives those of the exact posterior'

    def figures(self) -> tuple[str, ...]:
        """Writes the figures that say how good the draws are, as far as they are known.

        Example:

        >>> PosteriorRecord("importance", k_hat=0.25, ess=900.0).figures()
        ('Pareto k-hat 0.25', '900 effective draws')
        """
        figures = []
        if self.k_hat is not None and math.isfinite(self.k_hat):
            figures.append(f"Pareto k-hat {beside(self.k_hat, LARGEST_K_HAT, digits=2)}")
        if self.r_hat is not None and math.isfinite(self.r_hat):
            figures.append(f"r-hat {self.r_hat:.3f}")
        if self.ess is not None:
            figures.append(f"{self.ess:,.0f} effective draws")
        if self.efficiency is not None:
            figures.append(f"{100.0 * self.efficiency:.0f} % of its draws are effective")
        if self.width_error is not None:
            figures.append(f"standard deviations right to {max(1.0, 100.0 * self.width_error):.0f} %")
        return tuple(figures)

    def _how(self) -> str:
        figures = self.figures()
        of_draws = f" ({', '.join(figures)})" if figures else ""
        are = "are" if self.is_trusted or self.method == MEAN_FIELD else "are meant to be"
        return f"intervals {are} those of {METHODS[self.method]}{of_draws}"

    def _warning(self) -> str:
        because = f" ({self.note})" if self.note else ""
        if self.is_trusted or (self.method == MEAN_FIELD and not self.note):
            return self.note
        if self.method == MEAN_FIELD:
            return f"standard deviations may be far too small where components overlap{because}"
        if self.method == "laplace":
            return f"standard deviations may be 30 % or more too small{because}: {self._fix()}"
        return f"parts of the posterior may be missing from these draws{because}: {self._fix()}"

    def _fix(self) -> str:
        """Says what to do where draws cannot be trusted."""
        if self.note == STOPPED:
            return "let it run to its end"
        if self.method == "laplace":
            return 'ask for posterior="importance" or "mcmc", or for fewer components'
        if (self.method, self.asked) == ("importance", "importance"):
            return 'ask for posterior="mcmc", or for fewer components'
        return "ask for fewer components, or read the density alone"

    def _on_labels(self) -> str:
        if self.share_moved <= _MOST_MOVED:
            return ""
        share = f"in {100.0 * self.share_moved:.0f} % of the posterior"
        alike = [number for number, moved in enumerate(self.moved) if moved > _MOST_MOVED]
        if len(alike) in (0, len(self.moved)):
            return (
                f"{share} the components stand in another order, so that they cannot be told apart: numbers of single "
                "components mean little, the density means what it says"
            )
        return (
            f"{share} components {listed([*map(str, alike)])} stand in another order, so that they cannot be told "
            "apart: their numbers mean little, those of the others and the density mean what they say"
        )

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def to_dict(self) -> dict[str, Any]:
        """Lists the fields as plain values that JSON holds; a figure that is not finite becomes None, not known."""
        return {name: _plain(value) for name, value in dataclasses.asdict(self).items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> PosteriorRecord:
        """Restores a record from what `to_dict` gave; names that are not ours are left out.

        Raises:
            ValueError: A field is of another type, out of its range, or an unknown method.

        Example:

        >>> PosteriorRecord.from_dict(PosteriorRecord("importance", k_hat=0.25, ess=900.0).to_dict()).is_exact
        True
        """
        check_choice("method", values.get("method"), METHODS)
        check_choice("asked", values.get("asked", AUTO), (*METHODS, AUTO))
        for name, (least, most) in _RANGES.items():
            _check_figure(name, values.get(name), least, most)
        if not isinstance(values.get("note", ""), str):
            raise ValueError(f"`note` must be text. Received: {values['note']!r:.100}. Leave it out.")
        names = (field.name for field in dataclasses.fields(PosteriorRecord))
        given = {name: values[name] for name in names if name in values}
        moved = given.get("moved") or ()
        if not isinstance(moved, (list, tuple)):
            raise ValueError(f"`moved` must be a list of shares. Received: {moved!r:.100}. Leave it out.")
        for share in moved:
            _check_figure("moved", share, 0.0, 1.0)
        return PosteriorRecord(**(given | {"share_moved": given.get("share_moved") or 0.0, "moved": tuple(moved)}))


# Of the figures, each of which may be None: the smallest and the largest
_RANGES = {
    "k_hat": (-math.inf, math.inf),
    "ess": (0.0, math.inf),
    "r_hat": (0.0, math.inf),
    "share_moved": (0.0, 1.0),
    "log_evidence": (-math.inf, math.inf),
    "evidence_error": (0.0, math.inf),
    "efficiency": (0.0, 1.0 + 1e-6),
    "width_error": (0.0, math.inf),
}


def _check_figure(name: str, value: Any, least: float, most: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if value is not None and not (is_number and least <= value <= most):
        received = f"Received: {value!r:.100}. Leave it out where it is not known."
        raise ValueError(f"`{name}` must be a finite number from {least:g} to {most:g}, or null. {received}")


def _plain(value: Any) -> Any:
    """Turns numbers of NumPy into those of Python, and those that are not finite into None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return float(value) if math.isfinite(value) else None


def check_method(method: str) -> str:
    """Checks the name of a posterior, and hands it on.

    Raises:
        ValueError: There is no such.
    """
    check_choice("posterior", method, (*METHODS, AUTO))
    return method
