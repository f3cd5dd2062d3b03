"""When components move, and of how many restarts."""

from __future__ import annotations

from tfgmm.data.survey import Survey
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.options import FitOptions
from tfgmm.fit.restarts import MoveRule

# Restarts that move, and moves in turn that are taken back before one has no more
_FEW_ROWS = MoveRule(num_starts=3, seed=0, most_failures=8)
# On a sample each costs more, and of rows that come from a mixture no move that brought something came after a failure
_SAMPLE = MoveRule(num_starts=2, seed=0, most_failures=4)


def move_rule(q: VariationalPosterior, survey: Survey, options: FitOptions) -> MoveRule | None:
    """Says how components move between the stages of restarts; None where they do not.

    Args:
        q: Posterior of the fit.
        survey: Survey of its rows.
        options: Options of the fit.
    """
    if not options.has_moves(q.num_components):
        return None
    return (_SAMPLE if survey.is_sample else _FEW_ROWS)._replace(seed=options.seed)
