"""What a mixture can be asked about rows in Python: the same questions for a model and for an exported mixture."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfgmm.common.checks import check_choice, is_instance_of
from tfgmm.common.extras import check_tensorflow
from tfgmm.data.blocks import RowBlock
from tfgmm.data.summary import centre as centre_rows
from tfgmm.mixture import outliers
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.row_scores import Score
from tfgmm.mixture.stored_draws import NUM_DRAWS
from tfgmm.posterior.draws import Draws
from tfgmm.scoring.devices import BlockScorer, block_scorer
from tfgmm.scoring.results import Conditional, Interval
from tfgmm.scoring.scores import as_draws, mapped_over_data, scored

if TYPE_CHECKING:
    from tfgmm.scoring.graph.chunks import Answers

MOST_LEVEL = (NUM_DRAWS - 1) / (NUM_DRAWS + 1)


class Queries:
    """Densities, memberships and their uncertainty, for rows of any kind and number, in data units.

    A subclass provides the four attributes below.
    """

    column_names: Any  # names of the training columns, or None
    plug_in: Callable[[], MixtureDensity]  # at the posterior means
    predictive: Callable[[], MixtureDensity]  # S draws from the posterior
    outlier_table: Callable[[], np.ndarray]

    def plug_in_scorer(self) -> BlockScorer:
        """Makes the scorer of blocks of rows at the posterior means."""
        return block_scorer(self.plug_in())

    def mean_parameters(self) -> Draws:
        """Computes the mixture that `log_prob` scores with, in the form that the pictures of `tfgmm.plot` take.

        Weights, locations and precisions are at their posterior means.

        Returns:
            `Draws` of one draw, data units. Weights are (1, 1, K), locations and scales (1, 1, K, D), and for "full"
            and "tied" covariances (1, 1, K, D, D).
        """
        return as_draws(self.plug_in(), self.column_names)

    def log_prob(self, x: Any, kind: Literal["plug_in", "predictive"] = "plug_in") -> np.ndarray:
        """Computes the log density of each row; both kinds integrate to 1.

        Args:
            x: Rows, (N, D): an array, frame, path or dataset, as `GaussianMixtureModel.fit` takes.
            kind: "plug_in", the density at the posterior means, or "predictive", the density averaged over 64 draws
                from the posterior.

        Returns:
            (N,) float32, nats; NaN for a row with a NaN or infinite value.

        Raises:
            ValueError: The kind is unknown, or the rows have the wrong shape.
        """
        if kind == "plug_in":
            return self._score(x, "log_prob")
        check_choice("kind", kind, ("plug_in", "predictive"))
        return scored(block_scorer(self.predictive()), x, "log_prob", self.column_names)

    def responsibilities(self, x: Any) -> np.ndarray:
        """Computes the probability of each component given the row.

        Args:
            x: Rows, (N, D), of any kind that `log_prob` takes.

        Returns:
            (N, K) float32; each row sums to 1, and a row with a NaN or infinite value gets NaN.
        """
        return self._score(x, "responsibilities")

    def assign(self, x: Any) -> np.ndarray:
        """Finds the most probable component of each row.

        Args:
            x: Rows, (N, D), of any kind that `log_prob` takes.

        Returns:
            (N,) int64; -1 for rows that are not finite.
        """
        return self._score(x, "assignment")

    def outlier(self, x: Any) -> np.ndarray:
        """Computes the tail probability of each row.

        It is the share of rows drawn from the plug-in mixture that are less likely than the row: 0 for an outlier, less
        likely than all of them, 1 for a row at the highest peak. Among rows that do come from the mixture, one in a
        hundred is below 0.01, whatever the units and the number of columns. It is read from the quantiles of 100,000
        draws, which an export stores and a model draws anew (always the same ones). A score of p has a standard error
        of sqrt(p / 100,000), a third of itself at 0.0001; a score below that is only known to be small.

        Args:
            x: Rows, (N, D), of any kind that `log_prob` takes.

        Returns:
            (N,) float32 from 0 to 1; NaN for rows that are not finite.

        Raises:
            ValueError: The export was written by an earlier version, which stored no quantiles.
        """
        table = self.outlier_table()
        return outliers.tail_probabilities(table, self._score(x, "log_density"))

    def interval(self, x: Any, level: float = 0.9) -> Interval:
        """Computes how uncertain the log density and the responsibilities of each row are.

        The answer for each row is the equal-tailed band that holds a share `level` of the posterior, from 64 draws. Its
        ends have a sampling error themselves, a tenth to a fifth of the posterior's width at 0.9. Mean-field posteriors
        are too narrow where components overlap, and so are their bands. This takes about 50 times as long as
        `log_prob`.

        Args:
            x: Rows, (N, D), of any kind that `log_prob` takes.
            level: Share of the posterior within the band, above 0 and at most 0.969, the most that 64 draws can tell.

        Returns:
            An `Interval`, the lower and upper ends of the bands of N rows.

        Raises:
            ValueError: The level is out of its range, or the rows have the wrong shape.

        Example:

        >>> import tfgmm
        >>> model = tfgmm.fit_mixture([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]], 2, restarts=1).model
        >>> band = model.interval([[0.1]], level=0.9)
        >>> bool(band.log_prob_low < model.log_prob([[0.1]]) < band.log_prob_high)
        True
        """
        if isinstance(level, bool) or not isinstance(level, numbers.Real) or not 0.0 < level <= MOST_LEVEL:
            raise ValueError(
                f"`level` must be above 0 and at most {MOST_LEVEL:.3f}. Received: {level!r}. Choose one, e.g. 0.9."
            )
        return Interval(**self._ask(x, self.predictive(), "interval", np.float64(level), True).per_row)

    def marginal_log_prob(self, x: Any, columns: Iterable[int | str]) -> np.ndarray:
        """Computes the log density of some columns of each row, whatever the others are.

        Args:
            x: Rows, (N, D), of any kind that `log_prob` takes. The values in the other columns do not matter and may be
                NaN; a pandas DataFrame need not have these columns.
            columns: Numbers or names of the columns.

        Returns:
            (N,) float32, nats; NaN for a row with a NaN or infinite value in these columns.

        Raises:
            ValueError: A column is unknown, or the rows have the wrong shape.

        Example:

        >>> import tfgmm
        >>> model = tfgmm.GaussianMixtureModel(2, 3, seed=0)
        >>> model.marginal_log_prob([[0.5, float("nan"), 1.5]], columns=[0, 2]).shape
        (1,)
        """
        return self._ask_given(x, columns, "columns", "marginal_log_prob").per_row["log_prob"]

    def conditional(self, x: Any, given: Iterable[int | str]) -> Conditional:
        """Computes the mixture over the other columns, given some columns of each row.

        It tells what is missing in a row: `expectation` is the mean of that mixture, and `weights`, `means` and
        `scales` describe all of it. Also, log_prob = marginal_log_prob(x, given) + conditional(x, given).log_prob.

        `means` has N K D numbers. For the best guess alone in many rows, use `impute`.

        Args:
            x: Rows, (N, D), of any kind that `log_prob` takes. Columns that are not given may be NaN; a pandas
                DataFrame need not have them.
            given: Numbers or names of the columns that are known.

        Returns:
            A `Conditional`, the mixture for each of N rows.

        Raises:
            ValueError: A column is unknown, or the rows have the wrong shape.

        Example:

        >>> import tfgmm
        >>> rows = [[0.0, 1.0], [0.1, 0.9], [0.2, 1.2], [5.0, 8.0], [5.1, 8.1], [5.2, 7.9]]
        >>> model = tfgmm.fit_mixture(rows, 2, restarts=1).model
        >>> model.conditional([[5.1, float("nan")]], given=[0]).expectation.round()
        array([[5., 8.]])
        """
        answers = self._ask_given(x, given, "given", "conditional")
        return Conditional(**answers.per_row, **answers.once)

    def impute(self, x: Any, given: Iterable[int | str]) -> np.ndarray:
        """Replaces the other columns of each row by their mean, given some columns.

        This is the `expectation` of `conditional`, without the rest.

        Args:
            x: Rows, (N, D), as `conditional` takes them.
            given: Numbers or names of the columns that are known.

        Returns:
            (N, D) float64, data units; NaN in rows where a given column is not finite.

        Raises:
            ValueError: A column is unknown, or the rows have the wrong shape.

        Example:

        >>> import tfgmm
        >>> rows = [[0.0, 1.0], [0.1, 0.9], [0.2, 1.2], [5.0, 8.0], [5.1, 8.1], [5.2, 7.9]]
        >>> model = tfgmm.fit_mixture(rows, 2, restarts=1).model
        >>> model.impute([[0.1, float("nan")], [5.1, float("nan")]], given=[0]).round()
        array([[0., 1.],
               [5., 8.]])
        """
        return self._ask_given(x, given, "given", "expectation").per_row["expectation"]

    def _score(self, x: Any, score: Score) -> np.ndarray:
        return scored(self.plug_in_scorer(), x, score, self.column_names)

    def _ask_given(self, x: Any, columns: Any, argument: str, question: str) -> Answers:
        mixture = self.plug_in()
        is_given = column_mask(argument, columns, len(mixture.centre), self.column_names)
        if self.column_names and is_instance_of(x, "pandas", "DataFrame"):
            columns_given = zip(self.column_names, is_given)
            absent = [name for name, needed in columns_given if not needed and name not in x]
            x = x.assign(**dict.fromkeys(absent, np.nan)) if absent else x
        return self._ask(x, mixture, question, is_given, is_given)

    def _ask(self, x: Any, mixture: MixtureDensity, question: str, argument: np.ndarray, needed: Any) -> Answers:
        """Asks one of `graph.questions` about the rows, block by block.

        Args:
            x: Rows, (N, D), of any kind.
            mixture: The mixture, or S of them.
            question: Name in `graph.questions.QUESTIONS`.
            argument: What the question takes beside rows and mixture.
            needed: (D,) bool, or True for all: columns in which a finite number beyond float32 is refused.
        """
        check_tensorflow(f"the question `{question}`")
        from tfgmm.scoring.graph.chunks import Answers
        from tfgmm.scoring.graph.questions import ask

        once: dict[str, np.ndarray] = {}

        def of_block(block: RowBlock) -> dict[str, np.ndarray]:
            answers = ask(question, block, mixture, argument)
            if any(np.isnan(answer).any() for part in answers for answer in part.values()):
                # Refuses what is infinite in float32 only, and says where
                centre_rows(np.where(needed, block.values, mixture.centre), mixture.centre)
            once.update(answers.once)
            return answers.per_row

        per_row = mapped_over_data(mixture.centre, x, of_block, self.column_names)
        return Answers(per_row, once)


def column_mask(argument: str, columns: Any, num_features: int, column_names: Sequence[str] | None) -> np.ndarray:
    """Marks the columns that a list of numbers and names means, (D,) bool.

    Args:
        argument: Name of the argument, for errors.
        columns: Numbers and names of columns.
        num_features: D.
        column_names: Names of all columns, where they have names.

    Raises:
        ValueError: No column has this number or name, or one is there twice.
    """
    known = f"names ({', '.join(column_names)}) or " if column_names else ""
    wanted = f"`{argument}` must be a list of {known}numbers from 0 to {num_features - 1}, each once"
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        raise ValueError(f"{wanted}. Received: {columns!r}. Put what you mean in a list.")
    columns = list(columns)
    if any(isinstance(column, (bool, np.bool_)) for column in columns):
        raise ValueError(f"{wanted}. Received: {columns!r}. Pass np.flatnonzero of a mask.")
    mask = np.zeros(num_features, bool)
    for column in columns:
        place = _place(column, num_features, column_names)
        if place is None or mask[place]:
            raise ValueError(f"{wanted}. Received: {column!r} among {columns!r}. Take it out.")
        mask[place] = True
    return mask


def _place(column: Any, num_features: int, column_names: Sequence[str] | None) -> int | None:
    if isinstance(column, str):
        return list(column_names).index(column) if column_names and column in column_names else None
    try:
        place = operator.index(column)
    except TypeError:
        return None
    return place if 0 <= place < num_features else None
