"""What `fit_mixture` takes beside the rows, the numbers of components and the callbacks: one record, checked once.

Loads no TensorFlow, so that the command line can check what it was given before anything heavy starts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from tfgmm.common.checks import check_choice, check_count, check_seed
from tfgmm.data.containers import check_in_memory
from tfgmm.fit.checkpoint.place import checked_place
from tfgmm.mixture.registry import COVARIANCES, WEIGHT_PRIORS
from tfgmm.posterior.record import MEAN_FIELD, check_method

if TYPE_CHECKING:
    from tfgmm.data.survey import Survey
    from tfgmm.mixture.priors import Priors

AUTO: Final = "auto"  # in place of covariance shapes: all of them
# Components from which a start alone is too seldom the best
FEWEST_THAT_MOVE = 5
# Starts that are tried; and of many rows where components move: more find nothing better there
_RESTARTS, _RESTARTS_THAT_MOVE = 8, 3
CRITERIA_AT = {"mean": "the posterior means", "mode": "the maximum of the likelihood"}


@dataclasses.dataclass(frozen=True, eq=False)
class FitOptions:
    """The options of a fit with any number of components; see `tfgmm.fit_mixture`, whose arguments they are.

    Several shapes are put in the order of the registry, as a tuple of names; "auto" stays, as only the rows tell how
    many columns there are.

    Raises:
        ValueError: An option is out of its range.

    Example:

    >>> FitOptions(covariance="full").max_sweeps
    200
    """

    covariance: str | Sequence[str] = "diag"
    weights: str = "dirichlet"
    priors: Priors | Literal["auto"] = "auto"
    restarts: int | Literal["auto"] = AUTO
    seed: int = 0
    batch_size: int | None = None
    max_sweeps: int = 200
    tolerance: float | None = None
    validation_data: Any = None
    polish_steps: int = 0
    start: Any = "auto"
    criteria_at: str = "mean"
    posterior: str = MEAN_FIELD
    moves: bool | Literal["auto"] = AUTO
    checkpoint: Any = None

    caller_names: ClassVar[Mapping[str, str]] = {}
    """What the caller calls some of them, for errors and warnings; the others are called as here."""
    convergence_warning: ClassVar[type[UserWarning] | None] = None
    """What to warn of a bound that was still rising with; None: `ConvergenceWarning`."""

    def __post_init__(self) -> None:
        for name, least in (("restarts", 1), ("max_sweeps", 1), ("polish_steps", 0)):
            if (name, getattr(self, name)) != ("restarts", AUTO):
                object.__setattr__(self, name, check_count(self.name_of(name), getattr(self, name), least))
        if self.batch_size is not None:
            object.__setattr__(self, "batch_size", check_count("batch_size", self.batch_size))
        object.__setattr__(self, "seed", check_seed(self.seed))
        _check_tolerance(self.tolerance, self.name_of("tolerance"))
        _check_moves(self.moves)
        object.__setattr__(self, "covariance", check_covariance(self.covariance, self.name_of("covariance")))
        check_choice(self.name_of("weights"), self.weights, WEIGHT_PRIORS)
        check_choice("criteria_at", self.criteria_at, CRITERIA_AT)
        check_method(self.posterior)
        check_in_memory("start", self.start)
        object.__setattr__(self, "checkpoint", checked_place(self.checkpoint))

    @classmethod
    def name_of(cls, option: str) -> str:
        """Says what the caller calls an option, or another argument of `fit_mixture`."""
        return cls.caller_names.get(option, option)

    def priors_for(self, survey: Survey, shape: str) -> Priors:
        """Makes the priors of a fit of one covariance shape: those given, or priors from the data."""
        from tfgmm.mixture.priors import Priors

        if isinstance(self.priors, Priors):
            return self.priors
        return Priors.from_data(survey.summary, shape, sample=survey.sample, weights=survey.weights)

    def has_moves(self, num_components: int) -> bool:
        """Whether components move between restarts and sweeps: those of one cluster to another.

        Args:
            num_components: K.

        Example:

        >>> FitOptions().has_moves(2), FitOptions().has_moves(8), FitOptions(moves=False).has_moves(8)
        (False, True, False)
        """
        if self.moves != AUTO:
            return bool(self.moves)
        return isinstance(self.start, str) and num_components >= FEWEST_THAT_MOVE

    def num_restarts(self, num_components: int, is_sample: bool) -> int:
        """Says how many starts are tried: as many as were asked for, or fewer where moves make further ones needless.

        Args:
            num_components: K.
            is_sample: Whether they look at a sample of the rows.

        Example:

        >>> FitOptions().num_restarts(8, False), FitOptions().num_restarts(8, True), FitOptions().num_restarts(2, True)
        (8, 3, 8)
        """
        if isinstance(self.restarts, int):
            return self.restarts
        return _RESTARTS_THAT_MOVE if is_sample and self.has_moves(num_components) else _RESTARTS

    @property
    def is_choice_of_shapes(self) -> bool:
        """Whether shapes are to be compared, and not one is given."""
        return self.covariance == AUTO or not isinstance(self.covariance, str)

    def shapes(self, num_features: int) -> tuple[str, ...]:
        """Lists the covariance shapes that are asked for, in the order of the registry.

        Args:
            num_features: D. One column has no correlations, and one width: of "auto" the shapes that differ are left.

        Example:

        >>> FitOptions(covariance="auto").shapes(1), FitOptions(covariance=("full", "diag")).shapes(1)
        (('diag', 'tied_diag'), ('diag', 'full'))
        """
        if self.covariance != AUTO:
            return (self.covariance,) if isinstance(self.covariance, str) else tuple(self.covariance)
        if num_features > 1:
            return tuple(COVARIANCES)
        return tuple(name for name, shape in COVARIANCES.items() if not (shape.is_spherical or shape.is_correlated))

    def check_suits_any_shape(self) -> None:
        """Checks that the start suits any covariance shape.

        Raises:
            ValueError: It is made of locations.
        """
        if not isinstance(self.start, str):
            raise ValueError(
                '`start` must be "auto", "k-means++" or "random" with several covariance shapes. Received: an array. '
                "Leave it out, or fit each shape by itself."
            )

    def check_suits_any_number(self) -> None:
        """Checks that start and priors suit any number of components.

        Raises:
            ValueError: One of them is for a certain number of components.
        """
        if not isinstance(self.start, str):
            raise ValueError(
                '`start` must be "auto", "k-means++" or "random" with several numbers of components. Received: an '
                "array. Leave it out, or fit each number by itself."
            )
        concentration = getattr(self.priors, "weight_concentration", None)
        if isinstance(concentration, tuple):
            raise ValueError(
                "`priors.weight_concentration` must be one number with several numbers of components. "
                f"Received: {len(concentration)} numbers. Give one for all components."
            )


def check_num_components(num_components: Any, name: str = "num_components") -> int | tuple[int, ...]:
    """Checks K, or several, which it puts in ascending order."""
    if isinstance(num_components, (str, bytes)) or not isinstance(num_components, Iterable):
        return check_count(name, num_components)
    numbers = tuple(sorted({check_count(name, number) for number in num_components}))
    if not numbers:
        raise ValueError(f"`{name}` must name at least one number. Received: none. Try range(1, 11).")
    return numbers


def check_covariance(covariance: Any, argument: str = "covariance") -> str | tuple[str, ...]:
    """Checks a covariance shape, or several, which it puts in the order of the registry, each once; or "auto".

    Raises:
        ValueError: A shape is unknown, or there is none.

    Example:

    >>> check_covariance("full"), check_covariance(["full", "diag", "full"])
    ('full', ('diag', 'full'))
    """
    if isinstance(covariance, (str, bytes)) or not isinstance(covariance, Iterable):
        if covariance != AUTO:
            _check_shape(covariance, f"{covariance!r}", argument)
        return str(covariance)
    asked = list(covariance)
    if not asked:
        raise ValueError(f'`{argument}` must name at least one shape. Received: none. Try "auto".')
    for name in asked:
        _check_shape(name, f"{name!r} in {asked!r:.200}", argument)
    return tuple(name for name in COVARIANCES if name in asked)


def _check_shape(name: Any, received: str, argument: str) -> None:
    if not isinstance(name, str) or name not in COVARIANCES:
        names = ", ".join(repr(shape) for shape in COVARIANCES)
        raise ValueError(
            f"`{argument}` must be one of {names}; or a list of them; or {AUTO!r} for all. Received: {received}. "
            "Choose among them."
        )


def _check_tolerance(tolerance: float | None, name: str) -> None:
    is_number = isinstance(tolerance, (int, float)) and not isinstance(tolerance, bool)
    if tolerance is not None and not (is_number and math.isfinite(tolerance) and tolerance > 0):
        raise ValueError(f"`{name}` must be positive and finite. Received: {tolerance!r}. Leave it out for 1e-7.")


def _check_moves(moves: Any) -> None:
    if not isinstance(moves, bool) and moves != AUTO:
        raise ValueError(
            f'`moves` must be True, False or "auto". Received: {moves!r}. Leave it out for moves where there are '
            f"{FEWEST_THAT_MOVE} components or more."
        )
