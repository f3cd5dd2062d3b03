"""What is believed of a mixture before any row is seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfgmm.common.checks import check_choice
from tfgmm.mixture.prior_values import Matrix, Number, as_lists, check_range, check_size, plain_matrix, plain_numbers
from tfgmm.mixture.priors_from_data import LEAST_SCALE, SCALE_STRUCTURES, learned_fields, surveyed

# How alike components may be: steps of a quarter
DEGREE_GRID = tuple(2.0 ** (step / 3) for step in range(31))


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

        scale_structure: "fixed", the precisions have the priors above; or what learns the typical size of a component
            from all of them: "columns" learns a variance per column, "matrix" (of "full" and "tied") a covariance
            matrix, the same whatever the axes are, "both" is one half each ("columns" where there are no matrices).
            precision_rate, degrees and inverse_scale then play no part.
        expected_scale: What the covariance of a component is expected to be, vaguely: variances, one number or (D,), or
            a matrix (D, D); squared data units, without unit for the spherical shapes. Needed unless "fixed".
        hyper_degrees: How firmly `expected_scale` is believed, positive: 1 is hardly at all.
        degree_grid: Values e of how alike the components are, summed over; large ones mean nearly the same covariance.
        least_scale: Share of `expected_scale` that holds up the width of a component, one number or one per column:
            repeated rows would have infinite evidence.
        loc_scale_grid: Multiples of loc_scale (or of the root of loc_covariance) that are summed over; None: 1 alone.
        row_variance: Variance that each row adds to what its component is seen to vary, in data units: one number, one
            per column, or a matrix (D, D). Where rows do not vary at all, as in a constant column, no division into
            components then looks better than another. None: nothing.

    Raises:
        ValueError: If a value is not finite, or not positive (definite) where it must be.
        TypeError: If a value is not a number.

    Source of the learned scales: Richardson and Green 1997; Huang and Wand 2013; see `families.learned_scales`.

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
    scale_structure: str = "fixed"
    expected_scale: Number | Matrix | None = None
    hyper_degrees: float = 1.0
    degree_grid: tuple[float, ...] = DEGREE_GRID
    least_scale: Number = LEAST_SCALE
    loc_scale_grid: tuple[float, ...] | None = None
    row_variance: Number | Matrix | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "scale_structure":
                check_choice("priors.scale_structure", value, SCALE_STRUCTURES)
                continue
            is_matrix = field.name in _MATRICES or (field.name in _MAYBE_MATRICES and np.ndim(value) == 2)
            if value is None and field.name in _OPTIONAL:
                plain: Any = None
            elif is_matrix:
                plain = plain_matrix(field.name, value)
            else:
                plain = plain_numbers(field.name, value)
                check_range(field.name, plain, positive=field.name != "loc_mean")
                if field.name in _SINGLE and isinstance(plain, tuple):
                    raise ValueError(
                        f"`priors.{field.name}` must be one number. Received: {len(plain)} numbers. Give the first."
                    )
                if field.name in _GRIDS and not isinstance(plain, tuple):
                    plain = (plain,)
            object.__setattr__(self, field.name, plain)
        if self.is_learned and self.expected_scale is None:
            raise ValueError(
                f"`priors.expected_scale` must be given for scale_structure={self.scale_structure!r}. Received: None. "
                "Give the variance that a component may have, per column; it is hardly believed."
            )
        if not self.is_learned and self.expected_scale is not None:
            raise ValueError(
                f"`priors.expected_scale` must be left out where the scale is fixed. Received: {self.expected_scale}. "
                f'Give scale_structure="both" to learn it, or precision_rate, or degrees and inverse_scale.'
            )
        given = [name for name in _FIXED_SCALES if getattr(self, name) != _FIXED_SCALES[name]]
        if self.is_learned and given:
            raise ValueError(
                f"`priors.{given[0]}` must be left out where scale_structure={self.scale_structure!r} learns the "
                f"scale. Received: {getattr(self, given[0])}. Give expected_scale alone, or leave scale_structure out."
            )

    @property
    def is_learned(self) -> bool:
        """Whether the typical size of a component is learned from all of them."""
        return self.scale_structure != "fixed"

    def expected_matrix(self, num_features: int) -> np.ndarray:
        """Computes `expected_scale` as a matrix, (D, D) float64."""
        expected = np.asarray(self.expected_scale, np.float64)
        return expected if expected.ndim == 2 else np.diag(np.broadcast_to(expected, (num_features,)))

    def expected_widths(self) -> np.ndarray:
        """Computes about how wide a component is expected to be, one number or (D,), in the units of the precisions."""
        if self.expected_scale is None:
            return np.sqrt(np.array(self.precision_rate) / np.array(self.precision_shape))
        expected = np.array(self.expected_scale)
        return np.sqrt(np.diag(expected) if expected.ndim == 2 else expected)

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
            if isinstance(value, tuple) and field.name not in _GRIDS:
                check_size(field.name, value, needed, letter)
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
    def from_data(
        cls,
        data: Any,
        covariance: str = "diag",
        *,
        sample: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        scale_structure: str = "both",
        sample_weight: Any = None,
        missing: str = "refuse",
    ) -> Priors:
        """Makes priors that learn their scale from the components, equivalent whatever the units of the data are.

        The data say only what is possible: locations are around the centre of the rows, lambda times the spread away,
        and a component is about as wide as all rows together, hardly believed (`hyper_degrees` 1). How wide and how
        alike components are, and lambda, are learned. Dirichlet(1), and stick-breaking gamma 1.

        Centre and spread are robust (`DataSummary.centre`, `.spread`): a single row at 1e8 changes them little.
        Changing a column's unit or shifting it changes nothing, except for the spherical shapes, whose variance is one
        number in data units: standardise columns of different units, or state `Priors(column_scale=...)`.

        Values rounded to a step (whole numbers, answers from 1 to 5, ages at fives) stand for what lies within half a
        step: step^2 / 12 of variance is in `row_variance`, and `least_scale` is at least that share, so that no
        component is taken for narrower than rounding lets the rows tell; see `column_values`. Where rows do not vary,
        in a column of one value, `row_variance` is 1e-6 of the squared spread. For "full" and "tied" it is also at
        least that, or ten times the rounding, along what other columns decide, as a total and its parts do; see
        `relations`. Two distinct rows say nothing of rounding.

        A weight is a number of rows, and a gap says nothing: each column is judged by the values that are there, and
        each pair of columns by the rows that have both. Measurement noise is not taken off: a component may be as wide
        as the noisy rows, which is above what it can be, and hardly believed.

        Args:
            data: A `DataSummary`, or rows of any kind that `fit` takes in memory or reads from a file, all of which
                are looked at.
            covariance: Covariance shape that the priors are for.
            sample: Rows for correlations and rounding, (n, D), data units, NaN where a row has no value; needed for
                "full" and "tied" with a summary.
            weights: (n,) how often each row of `sample` counts, positive. Default: each as often as the others.
            scale_structure: "both"; or "columns" or, for "full" and "tied", "matrix", the same whatever the axes are.
            sample_weight: How often each row of `data` counts, (N,), 0 or more; for tables and files also the name of
                the column that says so.
            missing: "refuse" where a NaN in `data` is an error; "integrate" where it is a gap.

        Returns:
            The `Priors`.

        Raises:
            ValueError: If there is no sample where one is needed, rows are not finite, weights are none or not those
                of the rows, or the structure does not suit the shape.

        Example:

        >>> small = Priors.from_data([[0.0], [1.0], [2.0]])
        >>> large = Priors.from_data([[0.0], [1e6], [2e6]])
        >>> round(large.loc_scale[0] / small.loc_scale[0])
        1000000
        """
        survey = surveyed(data, sample, weights, sample_weight, missing)
        fields = learned_fields(survey.summary, survey.sample, covariance, scale_structure, survey.weights)
        return cls(weight_concentration=1.0, **fields)

    def to_dict(self) -> dict[str, Any]:
        """Turns the values into plain numbers and lists, as JSON holds them; `from_dict` is its inverse.

        Returns:
            The value of every field by its name.

        Example:

        >>> Priors.from_dict(Priors(loc_mean=(1.0, 2.0)).to_dict()).loc_mean
        (1.0, 2.0)
        """
        return {name: as_lists(value) for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Priors:
        """Restores the `Priors` that `to_dict` was called on.

        Args:
            values: What `to_dict` returned.

        Returns:
            The `Priors`.
        """
        return cls(**values)


# What states a scale, and its value where none is stated
_FIXED_SCALES = {"precision_shape": 5.0, "precision_rate": 5.0, "degrees": None, "inverse_scale": None}
_MATRICES = ("loc_covariance", "inverse_scale")
_MAYBE_MATRICES = ("expected_scale", "row_variance")
_SINGLE = ("stick_concentration", "degrees", "hyper_degrees")
_OPTIONAL = (*_MATRICES, *_MAYBE_MATRICES, "degrees", "loc_scale_grid")
_GRIDS = ("degree_grid", "loc_scale_grid")
