"""What draws from the exact posterior may cost, and so which methods can be afforded without being asked for."""

from __future__ import annotations

from tfgmm.families.variational import VariationalPosterior
from tfgmm.posterior.record import AUTO

# Work is counted in log joints of a row, a component and a draw, of 2 to 5 ns on two cores. A stage takes one or two
# seconds at most, a check less than one, chains some ten seconds.
_STAGE_WORK, _CHECK_WORK, _CHAIN_WORK = 4e8, 3e8, 1e9
_FEATURES_PER_JOINT = 32.0  # more features than these cost more than the exponentials
_MOST_DRAWS, _FEWEST_DRAWS = 4_000, 1_000
_DRAWS_PER_COORDINATE = 120  # below which proposals learn little
_MOST_CHECKED, _FEWEST_CHECKED = 2_000, 16
# Free numbers that proposals can be fitted to
_MOST_ADAPTED = 200
# What a stage may cost where the evidence near one of several optima is all that is asked, and its fewest draws
_RANKING_WORK, _MOST_RANKING, _FEWEST_RANKING = 5e7, 2_000, 500
# N P^2 of a pass of Newton's steps to the mode of such an optimum, up to a tenth of a second; and P
_PASS_WORK, _MOST_RANKED = 3e7, 1_000
NUM_CHAINS, _GRADIENTS_OF_A_CHAIN = 64, 300
# What a gradient costs however few rows there are, and for P^2 numbers of the information; and the most gradients,
# which small tables could take by the million
_LEAST_WORK, _WORK_PER_ENTRY, _MOST_GRADIENTS = 800.0, 0.04, 4_000
# Draws that are kept, numbers in all of them, and products with the information that they take
_MOST_KEPT, _FEWEST_KEPT, _MOST_NUMBERS, _MOST_PRODUCTS = 4_000, 200, 2**24, 2e9


class Budget:
    """What can be afforded for rows and a mixture of this size.

    Args:
        posterior: The family.
        num_data: N, the sum of the weights of the rows.
        num_coordinates: P, the free numbers.
        method: What was asked for: a method that is asked for by name is always affordable.
        least_kept: Number of draws to keep at least.
        num_rows: Number of rows, however often they count: work is for each of them; None for N.
    """

    def __init__(
        self,
        posterior: VariationalPosterior,
        num_data: float,
        num_coordinates: int,
        method: str,
        least_kept: int = 0,
        num_rows: int | None = None,
    ) -> None:
        num_features = posterior.num_features
        columns = num_features if posterior.form == "independent" else num_features * (num_features + 1) // 2
        self._numbers = posterior.num_components * columns
        self._num_rows = num_data if num_rows is None else num_rows
        self._work = self._num_rows * posterior.num_components * (1.0 + (num_features + columns) / _FEATURES_PER_JOINT)
        of_matrices = 0 if posterior.form == "independent" else (posterior.num_components + 1) * num_features**3
        self._work_of_gradient = self._work + _LEAST_WORK + of_matrices + _WORK_PER_ENTRY * num_coordinates**2
        self._least_kept, self.num_data = least_kept, num_data
        self._num_coordinates, self._is_auto = num_coordinates, method == AUTO

    @property
    def stage_draws(self) -> int:
        """Draws of a stage of importance sampling."""
        useful = max(_MOST_DRAWS, _DRAWS_PER_COORDINATE * min(self._num_coordinates, _MOST_ADAPTED))
        affordable = int(_STAGE_WORK / self._work)
        return min(useful, affordable) if self._is_auto else min(useful, max(_MOST_DRAWS, affordable))

    @property
    def num_stages(self) -> int:
        """Stages of importance sampling: with many free numbers proposals cannot learn from draws."""
        return 5 if self._num_coordinates <= _MOST_ADAPTED else 1

    @property
    def can_adapt(self) -> bool:
        """Whether importance sampling is worth while."""
        return self._num_coordinates <= _MOST_ADAPTED and self.stage_draws >= _FEWEST_DRAWS

    @property
    def can_walk(self) -> bool:
        """Whether Markov chains can be afforded."""
        return self._work_of_gradient * NUM_CHAINS * _GRADIENTS_OF_A_CHAIN <= _CHAIN_WORK

    @property
    def most_gradients(self) -> int:
        """Gradients of all chains side by side after which they stop."""
        affordable = int(2.0 * _CHAIN_WORK / (self._work_of_gradient * NUM_CHAINS))
        return min(_MOST_GRADIENTS, max(4 * _GRADIENTS_OF_A_CHAIN, affordable))

    @property
    def num_checked(self) -> int:
        """Draws of the normal distribution at the mode that are weighed."""
        return int(min(_MOST_CHECKED, max(_FEWEST_CHECKED, _CHECK_WORK / self._work)))

    @property
    def can_rank(self) -> bool:
        """Whether the modes near some optima can be afforded, to rank them by their evidence."""
        size = self._num_coordinates
        return size <= _MOST_RANKED and self._num_rows * size**2 <= _PASS_WORK

    @property
    def num_ranking(self) -> int:
        """Draws of a stage of importance sampling near each of these; 0 where Laplace's approximation has to do."""
        affordable = min(_MOST_RANKING, int(_RANKING_WORK / self._work))
        return affordable if self.can_adapt and affordable >= _FEWEST_RANKING else 0

    @property
    def num_kept(self) -> int:
        """Draws that are kept."""
        affordable = min(_MOST_NUMBERS // self._numbers, int(_MOST_PRODUCTS / self._num_coordinates**2))
        return max(self._least_kept, _FEWEST_KEPT, min(_MOST_KEPT, affordable))
