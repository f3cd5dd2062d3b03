"""When components move unless somebody says so."""

from __future__ import annotations

from tfgmm.data.survey import Survey
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.options import FitOptions
from tfgmm.fit.restarts import MoveRule
from tfgmm.mixture.registry import COVARIANCES

_MOST_COLUMNS = 30  # correlated ones; of more, halves take longer than all sweeps


def move_rule(q: VariationalPosterior, survey: Survey, options: FitOptions, num_starts: int) -> MoveRule | None:
    """Says how components move between the stages of restarts; None where they do not.

    Unless it is asked for, they stay where gains cannot be trusted or cost too much. On a sample a gain need not be one
    over all rows (200,000 rows of 5 clusters, K = 12: up to 197 nats lost), and noise hides what fits badly.

    Args:
        q: Posterior of the fit.
        survey: Survey of its rows.
        options: Options of the fit.
        num_starts: Number of restarts that move.
    """
    is_costly = COVARIANCES[q.covariance].is_correlated and q.num_features > _MOST_COLUMNS
    is_doubtful = survey.is_sample or survey.noise is not None or is_costly
    if not options.has_moves(q.num_components) or (is_doubtful and options.moves is not True):
        return None
    return MoveRule(num_starts, options.seed)
