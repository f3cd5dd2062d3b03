"""What a mixture can be asked about rows in Python: the same questions for a model and for an exported mixture."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfgmm.common.checks import check_choice
from tfgmm.data.blocks import RowBlock
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.row_scores import Score
from tfgmm.posterior.draws import Draws
from tfgmm.scoring.asked import ask_of_data
from tfgmm.scoring.chosen_columns import column_mask, with_columns
from tfgmm.scoring.devices import BlockScorer, block_scorer
from tfgmm.scoring.filled import Filling, filled_data
from tfgmm.scoring.results import Conditional, Interval
from tfgmm.scoring.scores import as_draws, check_range, mapped_over_data, name_of, scored
from tfgmm.scoring.tails import tail_scores

if TYPE_CHECKING:
    from tfgmm.scoring.graph.chunks import Answers

KINDS = ("plug_in", "predictive")


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

    def log_prob(self, x: Any, kind: Literal["plug_in", "predictive"] = "plug_in", noise: Any = None) -> np.ndarray:
        """Computes the log density of each row; both kinds integrate to 1.

        The density of a row with gaps is that of the columns that it has, whatever the others are. With `noise` it is
        the density of what is measured; without it, of the true values.

        Args:
            x: Rows, (N, D): an array, frame, path or dataset, as `GaussianMixtureModel.fit` takes; NaN is a gap.
            kind: "plug_in", the density at the posterior means, or "predictive", the density averaged over 64 draws
                from the posterior.
            noise: Measurement noise of the rows, data units: standard deviations (N, D), covariances (N, D, D), or for
                frames and files {column: column of its standard deviation}. Infinite noise makes a value a gap.
                Default: there is none.

        Returns:
            (N,) float32, nats; NaN for a row without any value, or with an infinite one.

        Raises:
            ValueError: The kind is unknown, or the rows or their noise have the wrong shape.
            TypeError: Noise is asked for by name where columns have none.

        Example:

        >>> import tfgmm
        >>> model = tfgmm.GaussianMixtureModel(2, 2, seed=0)
        >>> bool(model.log_prob([[0.5, float("nan")]]) == model.marginal_log_prob([[0.5, 0.0]], columns=[0]))
        True
        """
        check_choice("kind", kind, KINDS)
        scorer = self.plug_in_scorer() if kind == "plug_in" else block_scorer(self.predictive())
        return scored(scorer, x, "log_prob", self.column_names, noise)

    def responsibilities(self, x: Any, noise: Any = None) -> np.ndarray:
        """Computes the probability of each component given the row: given the columns that it has.

        Args:
            x: Rows, (N, D), of any kind that `log_prob` takes.
            noise: Measurement noise of the rows, as `log_prob` takes it.

        Returns:
            (N, K) float32; each row sums to 1. A row without any value gets the weights, one with an infinite value
            NaN.
        """
        return self._score(x, "responsibilities", noise)

    def assign(self, x: Any, noise: Any = None) -> np.ndarray:
        """Finds the most probable component of each row, given the columns that it has.

        Args:
            x: Rows, (N, D), of any kind that `log_prob` takes.
            noise: Measurement noise of the rows, as `log_prob` takes it.

        Returns:
            (N,) int64; -1 for a row without any value, or with an infinite one.
        """
        return self._score(x, "assignment", noise)

    def outlier(self, x: Any) -> np.ndarray:
        """Computes the tail probability of each row.

        It is the share of rows drawn from the plug-in mixture that are less likely than the row: 0 for an outlier, less
        likely than all of them, 1 for a row at the highest peak. Among rows that do come from the mixture, one in a
        hundred is below 0.01, whatever the units and the number of columns. It is read from the quantiles of 100,000
        draws, which an export stores and a model draws anew (always the same ones). A score of p has a standard error
        of sqrt(p / 100,000), a third of itself at 0.0001; a score below that is only known to be small.

        A row with gaps is compared with 10,000 of the draws in the columns that it has. Each choice of columns takes as
        long as scoring these, once for a mixture.

        Args:
            x: Rows, (N, D), of any kind that `log_prob` takes; without measurement noise.

        Returns:
            (N,) float32 from 0 to 1; NaN for a row without any value, or with an infinite one.

        Raises:
            ValueError: The export was written by an earlier version, which stored no quantiles.
        """
        mixture, table, scorer = self.plug_in(), self.outlier_table(), self.plug_in_scorer()

        def of_block(block: RowBlock) -> dict[str, np.ndarray]:
            by_name, num_bad = scorer.scores(block, ["log_density"])
            check_range(block, num_bad, scorer.centre, name_of(x))
            return {"outlier": tail_scores(mixture, table, block.values, by_name["log_density"])}

        return mapped_over_data(scorer.centre, x, of_block, self.column_names)["outlier"]

    def interval(self, x: Any, level: float = 0.9) -> Interval:
        """Computes how uncertain the log density and the responsibilities of each row are.

        The answer for each row is the equal-tailed band that holds a share `level` of the posterior, from 64 draws, or
        up to 256 where the fit carries those of the exact posterior (`fit_mixture(..., posterior="auto")`). Its ends
        have a sampling error themselves: at 0.9 a tenth to a fifth of the posterior's width with 64 draws, half of that
        with 256. Mean-field posteriors are too narrow where components overlap, and so are their bands. This takes
        about 50 times as long as `log_prob`, or up to 200 times.

        Args:
            x: Rows, (N, D), of any kind that `log_prob` takes; of a row with gaps, the columns that it has count.
            level: Share of the posterior within the band, above 0 and at most what S draws can tell, (S - 1) / (S + 1):
                0.969 of 64, 0.992 of 256.

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
        mixtures = self.predictive()
        num_draws = len(mixtures.log_weights)
        most = (num_draws - 1) / (num_draws + 1)
        if isinstance(level, bool) or not isinstance(level, numbers.Real) or not 0.0 < level <= most:
            raise ValueError(
                f"`level` must be above 0 and at most {most:.3f}. Received: {level!r}. Choose one, e.g. 0.9."
            )
        return Interval(**self._ask(x, mixtures, "interval", np.float64(level), True).per_row)

    def marginal_log_prob(self, x: Any, columns: Iterable[int | str]) -> np.ndarray:
        """Computes the log density of some columns of each row, whatever the others are.

        Args:
            x: Rows, (N, D), of any kind that `log_prob` takes. The values in the other columns do not matter and may be
                NaN; a pandas DataFrame need not have these columns.
            columns: Numbers or names of the columns.

        Returns:
            (N,) float32, nats; NaN for a row with a NaN or infinite value in these columns. (`log_prob` takes rows with
            gaps.)

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

    def impute(
        self,
        x: Any,
        given: Iterable[int | str] | None = None,
        num_draws: int | None = None,
        seed: int | None = None,
        noise: Any = None,
        kind: Literal["plug_in", "predictive"] = "plug_in",
    ) -> np.ndarray:
        """Fills the gaps of rows: with their mean given the columns that the row has, or with draws.

        One mean for each gap is the best guess, and says nothing of how sure it is: rows filled so are too regular for
        any further analysis. For that, take several draws, analyse each completed copy, and combine what is found
        (multiple imputation, Rubin 1987), with `kind="predictive"`, so that copies differ as the parameters may too.

        Args:
            x: Rows, (N, D), of any kind that `log_prob` takes; NaN is a gap.
            given: Numbers or names of columns. Then the other columns are replaced in every row, whatever they hold,
                given these (the `expectation` of `conditional`), and a pandas DataFrame need not have them. Default:
                the gaps are filled, and nothing else.
            num_draws: Number of completed copies, S; None, the default, for means.
            seed: Seed of the draws; the same seed gives the same copies, in whatever blocks the rows come. None draws
                others each time.
            noise: Measurement noise of the rows, as `log_prob` takes it; gaps are filled with true values, given what
                was measured, which stays as it is.
            kind: "plug_in", the mixture at the posterior means, or "predictive": means under the average of 64 draws
                from the posterior, and each completed copy under one of these draws.

        Returns:
            (N, D) float64, data units; with `num_draws` (S, N, D). A row without any value gets the mean of the
            mixture, or a row drawn from it. NaN stays where another value of the row is infinite, and with `given` in
            rows where a given column is not finite.

        Raises:
            ValueError: A column is unknown, the rows have the wrong shape, or there is a `seed` without `num_draws`.

        Example:

        >>> import tfgmm
        >>> rows = [[0.0, 1.0], [0.1, 0.9], [0.2, 1.2], [5.0, 8.0], [5.1, 8.1], [5.2, 7.9]]
        >>> model = tfgmm.fit_mixture(rows, 2, restarts=1).model
        >>> model.impute([[0.1, float("nan")], [float("nan"), 8.0]]).round()
        array([[0., 1.],
               [5., 8.]])
        >>> model.impute([[0.1, float("nan")]], num_draws=5, seed=0).shape
        (5, 1, 2)
        """
        check_choice("kind", kind, KINDS)
        filling = Filling.checked(num_draws, seed)
        if given is not None and filling.num_draws is None and noise is None and kind == "plug_in":
            return self._ask_given(x, given, "given", "expectation").per_row["expectation"]
        mixture = self.plug_in() if kind == "plug_in" else self.predictive()
        if given is None:
            return filled_data(mixture, x, filling, self.column_names, noise)
        is_given = column_mask("given", given, len(mixture.centre), self.column_names)
        x = with_columns(x, self.column_names, is_given)
        return filled_data(mixture, x, filling, self.column_names, noise, is_given)

    def _score(self, x: Any, score: Score, noise: Any) -> np.ndarray:
        return scored(self.plug_in_scorer(), x, score, self.column_names, noise)

    def _ask_given(self, x: Any, columns: Any, argument: str, question: str) -> Answers:
        mixture = self.plug_in()
        is_given = column_mask(argument, columns, len(mixture.centre), self.column_names)
        x = with_columns(x, self.column_names, is_given)
        return self._ask(x, mixture, question, is_given, is_given)

    def _ask(self, x: Any, mixture: MixtureDensity, question: str, argument: np.ndarray, needed: Any) -> Answers:
        return ask_of_data(x, mixture, question, argument, needed, self.column_names)
