"""What is believed of a mixture before any row is seen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

Number = float | tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Priors:
    """The prior of every parameter of a mixture, in the units of the data columns.

    Each value is one number for all columns, or one number per column, shape (D,);
    `weight_concentration` is one number for all components, or one per component, shape (K,).

        mu_kd  ~ Normal(loc_mean_d, loc_scale_d)
        tau_kd ~ Gamma(precision_shape_d, rate precision_rate_d)       tau = 1 / scale^2
        theta  ~ Dirichlet(weight_concentration)

    Args:
        loc_mean: means of the component locations, data units.
        loc_scale: standard deviations of the component locations, data units, positive.
        precision_shape: Gamma shapes of the component precisions, positive.
        precision_rate: Gamma rates of the component precisions, squared data units, positive.
            `precision_rate / precision_shape` is about the variance expected of a component.
        weight_concentration: Dirichlet concentration of the weights, positive.

    Raises:
        ValueError: a value is not finite, or not positive where it must be.
        TypeError: a value is not a number.

    Example:

    >>> Priors(loc_mean=(3.5, 70.0), loc_scale=(2.0, 30.0)).loc_scale
    (2.0, 30.0)
    """

    loc_mean: Number = 0.0
    loc_scale: Number = 1.0
    precision_shape: Number = 5.0
    precision_rate: Number = 5.0
    weight_concentration: Number = 2.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = _plain_numbers(field.name, getattr(self, field.name))
            _check_range(field.name, value, positive=field.name != "loc_mean")
            object.__setattr__(self, field.name, value)

    def check_sizes(self, num_components: int, num_features: int) -> None:
        """Returns nothing when every value has one number, or one per column (per component for the weights).

        Raises:
            ValueError: names the value, its length and the length it must have.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            of_weights = field.name.startswith("weight")
            needed, letter = (num_components, "K") if of_weights else (num_features, "D")
            if isinstance(value, tuple) and len(value) != needed:
                raise ValueError(
                    f"`priors.{field.name}` must be one number or have shape ({letter},) = ({needed},). "
                    f"Received: {len(value)} numbers. Give one number to use it everywhere."
                )

    def to_dict(self) -> dict[str, Any]:
        """Returns the values as plain numbers and lists, as written to JSON; `from_dict` is its inverse.

        Example:

        >>> Priors.from_dict(Priors(loc_mean=(1.0, 2.0)).to_dict()).loc_mean
        (1.0, 2.0)
        """
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Priors:
        """Returns the `Priors` that `to_dict` wrote down."""
        return cls(**values)


def _plain_numbers(name: str, value: Any) -> Number:
    """Returns `value` as a Python float or a tuple of them, so that it is hashable and survives JSON."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    items = list(plain) if isinstance(plain, Sequence) and not isinstance(plain, (str, bytes)) else [plain]
    if any(isinstance(item, bool) or not isinstance(item, (int, float)) for item in items):
        raise TypeError(
            f"`priors.{name}` must be a number or a flat list of numbers. Received: {value!r}. "
            "Give one number for all columns, or one per column."
        )
    numbers = tuple(float(item) for item in items)
    return numbers if isinstance(plain, Sequence) else numbers[0]


def _check_range(name: str, value: Number, positive: bool) -> None:
    numbers = value if isinstance(value, tuple) else (value,)
    if not numbers:
        raise ValueError(f"`priors.{name}` must hold at least one number. Received: an empty list. Leave it out.")
    for number in numbers:
        if not math.isfinite(number) or (positive and number <= 0):
            wanted = "positive and finite" if positive else "finite"
            raise ValueError(
                f"`priors.{name}` must be {wanted}. Received: {number}. Choose a {wanted} number in data units."
            )
