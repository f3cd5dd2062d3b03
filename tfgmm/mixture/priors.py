"""What is believed of a mixture before any row is seen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfgmm.data.readers import read_rows
from tfgmm.data.summary import DataSummary, summarise
from tfgmm.mixture.registry import COVARIANCES

Number = float | tuple[float, ...]
Matrix = tuple[tuple[float, ...], ...]

# Standardised values beyond this are set to it: a single far row must not decide all correlations.
_FARTHEST = 10.0
# Above this many rows per column the prior of a precision matrix fades, down to this share: see `_share_of_prior`.
_ROWS_PER_COLUMN, _LEAST_SHARE = 150.0, 0.005


@dataclasses.dataclass(frozen=True)
class Priors:
    """The prior of every parameter of a mixture, in the units of the data columns.

    Each value is one number for all columns, or one number per column, shape (D,);
    `weight_concentration` is one number for all components, or one per component, shape (K,).

        mu_kd  ~ Normal(loc_mean_d, loc_scale_d)
        tau_kd ~ Gamma(precision_shape_d, rate precision_rate_d)       tau = 1 / scale^2
        theta  ~ Dirichlet(weight_concentration), or breaks of a stick ~ Beta(1, stick_concentration)

    and, for covariance "full" and "tied",

        mu_k ~ Normal(loc_mean, loc_covariance)       Lambda_k ~ Wishart(degrees, inverse_scale^-1)

    Args:
        loc_mean: Means of the component locations, data units.
        loc_scale: Standard deviations of the component locations, data units, positive.
        precision_shape: Gamma shapes of the component precisions, positive.
        precision_rate: Gamma rates of the component precisions, squared data units, positive.
            `precision_rate / precision_shape` is about the variance expected of a component.
        weight_concentration: Dirichlet concentration of the weights, positive.
        stick_concentration: Concentration gamma of stick-breaking weights, one positive number; smaller values expect
            fewer components.
        column_scale: Widths that count as equal for the spherical shapes, data units: a component's standard deviation
            in column d is column_scale_d / sqrt(tau_k), and precision_rate has no unit. Default 1.
        loc_covariance: Covariance of the component locations, (D, D), squared data units; default the diagonal matrix
            of loc_scale^2.
        degrees: Degrees of freedom of the Wishart, above D - 1; default 2 precision_shape + D - 1.
        inverse_scale: Inverse scale of the Wishart, (D, D), squared data units; default the diagonal matrix of
            2 precision_rate. With both defaults, the variance of each column alone has the prior that covariance
            "diag" gives it.

    Raises:
        ValueError: If a value is not finite, or not positive (definite) where it must be.
        TypeError: If a value is not a number.

    Example:

    >>> Priors(loc_mean=(3.5, 70.0), loc_scale=(2.0, 30.0)).loc_scale
    (2.0, 30.0)
    """

    loc_mean: Number = 0.0
    loc_scale: Number = 1.0
    precision_shape: Number = 5.0
    precision_rate: Number = 5.0
    weight_concentration: Number = 2.0
    stick_concentration: float = 1.0
    column_scale: Number = 1.0
    loc_covariance: Matrix | None = None
    degrees: float | None = None
    inverse_scale: Matrix | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in _MATRICES:
                plain: Any = None if value is None else _plain_matrix(field.name, value)
            elif field.name == "degrees" and value is None:
                plain = None
            else:
                plain = _plain_numbers(field.name, value)
                _check_range(field.name, plain, positive=field.name != "loc_mean")
                if field.name in _SINGLE and isinstance(plain, tuple):
                    raise ValueError(
                        f"`priors.{field.name}` must be one number. Received: {len(plain)} numbers. Give the first."
                    )
            object.__setattr__(self, field.name, plain)

    def check_sizes(self, num_components: int, num_features: int) -> None:
        """Checks the sizes of all values.

        Args:
            num_components: K.
            num_features: D.

        Raises:
            ValueError: Unless every value has one number, or one per column (per component for the weights). The
                message names the value, its length and the length it must have.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            of_weights = field.name.startswith("weight")
            needed, letter = (num_components, "K") if of_weights else (num_features, "D")
            if not isinstance(value, tuple) or len(value) == needed:
                continue
            if field.name in _MATRICES:
                raise ValueError(
                    f"`priors.{field.name}` must have shape (D, D) = ({needed}, {needed}). "
                    f"Received: shape ({len(value)}, {len(value)}). Give one line per column."
                )
            raise ValueError(
                f"`priors.{field.name}` must be one number or have shape ({letter},) = ({needed},). "
                f"Received: {len(value)} numbers. Give one number to use it everywhere."
            )
        if self.degrees is not None and self.degrees <= num_features - 1:
            raise ValueError(
                f"`priors.degrees` must be above D - 1 = {num_features - 1}. Received: {self.degrees}. "
                f"Give {num_features + 1}, or leave it out."
            )

    def matrices(self, num_features: int) -> tuple[np.ndarray, float, np.ndarray]:
        """Computes the parameters of the priors for covariance "full" and "tied", with defaults filled in.

        Args:
            num_features: D.

        Returns:
            The covariance of the component locations, (D, D) float64, squared data units; the Wishart's degrees of
            freedom; and its inverse scale, (D, D) float64, squared data units.

        Example:

        >>> Priors(loc_scale=2.0, precision_shape=1.0, precision_rate=3.0).matrices(1)
        (array([[4.]]), 2.0, array([[6.]]))
        """
        shape, rate, scale = (
            np.broadcast_to(np.asarray(value, np.float64), (num_features,))
            for value in (self.precision_shape, self.precision_rate, self.loc_scale)
        )
        covariance = np.diag(np.square(scale)) if self.loc_covariance is None else np.array(self.loc_covariance)
        degrees = 2.0 * float(np.mean(shape)) + num_features - 1.0 if self.degrees is None else self.degrees
        inverse_scale = np.diag(2.0 * rate) if self.inverse_scale is None else np.array(self.inverse_scale)
        return covariance, degrees, inverse_scale

    @classmethod
    def from_data(cls, data: Any, covariance: str = "diag", *, sample: np.ndarray | None = None) -> Priors:
        """Makes weak priors in the units of the data, equivalent whatever those units are.

        In units of each column's spread, measured from its centre: locations Normal(0, 3^2); precisions Gamma(1, 0.02),
        for "full" and "tied" Wishart(D + 1, W0^-1 = 0.05 (D + 1) C) and location covariance 9 C, with C the correlation
        matrix of the data; Dirichlet(1) and stick-breaking gamma 1. Above 150 rows per column W0^-1 fades by the
        factor (150 D / N)^2, down to 0.005.

        Centre and spread are robust (`DataSummary.centre`, `.spread`): a single row at 1e8 changes them little.
        Changing a column's unit or shifting it changes nothing; a rotation changes nothing for "full" and "tied".
        "spherical" means equal in units of each column's spread.

        With about 10 rows per component, a wider precision_rate, 5 times this one, predicted better: choose it with
        `dataclasses.replace`.

        Args:
            data: A `DataSummary`, or rows of any kind that `fit` takes in memory or reads from a file.
            covariance: Covariance shape that the priors are for.
            sample: Rows for the correlations, (n, D), data units; needed for "full" and "tied" with a summary.

        Returns:
            The `Priors`.

        Raises:
            ValueError: If there is no sample where one is needed, or rows are not finite.

        Example:

        >>> small = Priors.from_data([[0.0], [1.0], [2.0]])
        >>> large = Priors.from_data([[0.0], [1e6], [2e6]])
        >>> round(large.loc_scale[0] / small.loc_scale[0])
        1000000
        """
        if not isinstance(data, DataSummary):
            rows = read_rows(data, name="data")
            sample = np.asarray(rows.values, np.float64)
            data = summarise(rows, name="data")
        spread = np.array(data.spread)
        shape = COVARIANCES[covariance]
        rate = 0.02 if shape.is_spherical else tuple(0.02 * np.square(spread))
        priors = cls(tuple(data.centre), tuple(3.0 * spread), 1.0, rate, 1.0)
        if shape.is_spherical:
            return dataclasses.replace(priors, column_scale=tuple(spread))
        if not shape.is_correlated:
            return priors
        if sample is None:
            raise ValueError(
                f'`sample` must be rows of the data for covariance="{covariance}": the priors take correlations '
                "from them. Received: None. Pass some rows, (n, D)."
            )
        shaped = spread[:, None] * _correlations(sample, data) * spread
        factor = 0.05 * (data.num_features + 1) * _share_of_prior(data)
        return dataclasses.replace(
            priors,
            loc_covariance=9.0 * shaped,
            degrees=data.num_features + 1.0,
            inverse_scale=factor * shaped,
        )

    def to_dict(self) -> dict[str, Any]:
        """Turns the values into plain numbers and lists, as JSON holds them; `from_dict` is its inverse.

        Returns:
            The value of every field by its name.

        Example:

        >>> Priors.from_dict(Priors(loc_mean=(1.0, 2.0)).to_dict()).loc_mean
        (1.0, 2.0)
        """
        return {name: _as_lists(value) for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Priors:
        """Restores the `Priors` that `to_dict` was called on.

        Args:
            values: What `to_dict` returned.

        Returns:
            The `Priors`.
        """
        return cls(**values)


_MATRICES = ("loc_covariance", "inverse_scale")
_SINGLE = ("stick_concentration", "degrees")


def _share_of_prior(summary: DataSummary) -> float:
    """Computes the factor of W0^-1 for the number of rows, from 0.005 to 1.

    A prior that helps with few rows hides the narrow directions of a covariance with many. Measured on held-out rows:
    16 columns, 20 rows per component, 15 nats better with factor 1; 32 columns, 5,600 rows, 0.25 nats worse.
    """
    return float(np.clip((_ROWS_PER_COLUMN * summary.num_features / summary.num_data) ** 2, _LEAST_SHARE, 1.0))


def _correlations(sample: np.ndarray, summary: DataSummary) -> np.ndarray:
    """Computes the correlation matrix (D, D), its eigenvalues held above max(1e-10, 0.1 min(1, D / N)).

    Columns without spread correlate with nothing. A few rows show correlations that do not exist: hence the floor.
    """
    standardised = (sample - np.array(summary.centre)) / np.array(summary.spread)
    standardised = np.clip(standardised, -_FARTHEST, _FARTHEST)
    standardised -= standardised.mean(axis=0)
    lengths = np.sqrt(np.sum(np.square(standardised), axis=0))
    standardised /= np.where(lengths > 1e-10, lengths, np.inf)
    correlations = standardised.T @ standardised
    np.fill_diagonal(correlations, 1.0)
    floor = max(1e-10, 0.1 * min(1.0, summary.num_features / summary.num_data))
    values, vectors = np.linalg.eigh(correlations)
    return correlations if values[0] >= floor else (vectors * np.maximum(values, floor)) @ vectors.T


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, tuple) else value


def _plain_matrix(name: str, value: Any) -> Matrix:
    """Turns `value` into a tuple of lines, made exactly symmetric, so that it is hashable and survives JSON."""
    try:
        matrix = np.asarray(value)
        is_numbers = matrix.dtype.kind in "fiu"
    except ValueError:  # lines of different lengths
        is_numbers = False
    if not is_numbers:
        raise TypeError(f"`priors.{name}` must be a matrix of numbers. Received: {value!r}. Give (D, D).")
    matrix = matrix.astype(np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"`priors.{name}` must be a square matrix. Received: shape {matrix.shape}. Give (D, D).")
    scale = np.sqrt(np.abs(np.diag(matrix)))
    is_finite = np.isfinite(matrix).all()
    if not is_finite or (np.abs(matrix - matrix.T) > 1e-9 * np.outer(scale, scale)).any():
        raise ValueError(f"`priors.{name}` must be finite and symmetric. Received: {matrix.tolist()}. Check it.")
    matrix = 0.5 * (matrix + matrix.T)
    if (np.diag(matrix) <= 0).any() or np.linalg.eigvalsh(matrix / np.outer(scale, scale))[0] <= 0:
        raise ValueError(
            f"`priors.{name}` must be positive definite. Received: {matrix.tolist()}. Add to its diagonal."
        )
    return tuple(tuple(line) for line in matrix.tolist())


def _plain_numbers(name: str, value: Any) -> Number:
    """Turns `value` into a Python float or a tuple of them, so that it is hashable and survives JSON."""
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
