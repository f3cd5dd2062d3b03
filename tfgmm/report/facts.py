"""What a report says of a fit, as the words and numbers that its page shows; no markup, no pictures."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfgmm.common.words import printable, shown_number
from tfgmm.fit import sentences_on_moves
from tfgmm.mixture.registry import COVARIANCES, WEIGHT_PRIORS
from tfgmm.plot.colours import OWN, component_colours
from tfgmm.report import row_facts
from tfgmm.report.intervals import about_intervals

if TYPE_CHECKING:
    from tfgmm.data.survey import Survey
    from tfgmm.posterior.draws import Draws
    from tfgmm.report.subject import FitRecord, Fitted

LEVELS = (0.99, 0.9, 0.5)
FEW_DRAWS = 100  # with fewer, the ends of a 95 % interval are those of one or two of them
MOST_LINES = 1_000  # of a table; more than that nobody reads


class Estimate(NamedTuple):
    """Median and 95 % interval of a number, as text."""

    middle: str
    low: str
    high: str


class Line(NamedTuple):
    """One column of one component: its mean and its standard deviation, data units."""

    column: str
    mean: Estimate
    scale: Estimate


@dataclasses.dataclass(frozen=True)
class Component:
    """One component as its part of the table shows it."""

    number: int
    colour: str
    weight: Estimate
    num_rows: str
    lines: tuple[Line, ...]


class Membership(NamedTuple):
    """How sure the rows are that belong to one component rather than to another; `shares` are those above LEVELS."""

    number: int
    colour: str
    num_rows: str
    shares: tuple[str, ...]


def fitted_on(fitted: Fitted) -> list[tuple[str, str]]:
    """Says what was fitted on what, as pairs of a word and what it is."""
    pairs = [
        ("Rows", row_facts.rows_and_sum(fitted.num_data, fitted.summary).removesuffix(" rows")),
        *row_facts.pairs(fitted.summary),
        ("Columns", f"{fitted.num_features:,}"),
        ("Components", f"{fitted.num_components:,}, of which {fitted.num_occupied:,} have rows"),
        ("Shape", f"{fitted.covariance}: {COVARIANCES[fitted.covariance].words}"),
        ("Weights", f"{fitted.weights}: {WEIGHT_PRIORS[fitted.weights].words}"),
        ("Free parameters", f"{fitted.num_parameters:,}"),
        *fitted.criteria.items(),
    ]
    if fitted.summary is not None and fitted.summary.fingerprint is not None:
        pairs.append(("Fingerprint of the rows", printable(fitted.summary.fingerprint)))
    return pairs


def columns(fitted: Fitted, survey: Survey) -> list[tuple[str, ...]]:
    """Lists name, mean, standard deviation, smallest and largest value of every column, as text, data units.

    Where rows have gaps the number of them in each column comes first.
    """
    summary = survey.summary
    of_columns = zip(fitted.column_names, summary.mean, summary.scale, summary.minimum or (), summary.maximum or ())
    listed = [
        (name, *(shown_number(value, scale / 100.0) for value in (mean, scale, low, high)))
        for name, mean, scale, low, high in of_columns
    ]
    if summary.gap_columns:
        listed = [(name, f"{gaps:,}", *figures) for (name, *figures), gaps in zip(listed, summary.gaps)]
    return listed[:MOST_LINES]


def components(fitted: Fitted, draws: Draws) -> tuple[list[Component], int]:
    """Lists the components by weight, the largest first, and counts those that find no room in the table.

    Intervals hold 95 % of the draws; for a fit, those that `result.summary()` takes too, so that both say the same.
    """
    names = fitted.column_names
    order = np.argsort(-draws.weights[0].mean(axis=0))
    chosen = order[: max(1, MOST_LINES // len(names))]
    counts = fitted.expected_counts
    colours = component_colours(len(order), OWN)
    listed = [
        Component(
            int(k), colours[k], estimate(draws.weights[0, :, k]), f"{_count(counts[k])}", _lines(draws, int(k), names)
        )
        for k in chosen
    ]
    return listed, len(order) - len(chosen)


def _lines(draws: Draws, k: int, names: tuple[str, ...]) -> tuple[Line, ...]:
    return tuple(
        Line(name, estimate(draws.locs[0, :, k, index]), estimate(draws.scales[0, :, k, index]))
        for index, name in enumerate(names[:MOST_LINES])
    )


def estimate(values: np.ndarray) -> Estimate:
    """Computes median and 95 % interval of draws (S,), with two digits of the interval's width.

    Example:

    >>> estimate(np.linspace(0.0, 100.0, 101))
    Estimate(middle='50', low='2', high='98')
    """
    low, middle, high = (float(value) for value in np.quantile(values, [0.025, 0.5, 0.975]))
    if not high > low:  # a single component has the weight 1 in all draws
        return Estimate(*(f"{value:.6g}" for value in (middle, low, high)))
    return Estimate(*(shown_number(value, high - low) for value in (middle, low, high)))


def _count(rows: float) -> str:
    return f"{rows:,.0f}" if rows >= 10.0 or rows == round(rows) else f"{rows:,.1f}"


def memberships(responsibilities: np.ndarray, weights: np.ndarray | None = None) -> list[Membership]:
    """Counts for each component, largest first, the rows that are most probably its own, and says how surely.

    Args:
        responsibilities: Memberships of rows of the data, (n, K); rows sum to 1.
        weights: For how many rows each counts, (n,); None for one.

    Example:

    >>> [(line.number, line.num_rows, line.shares) for line in memberships(np.array([[0.95, 0.05], [0.6, 0.4]]))]
    [(0, '2', ('0.0 %', '50.0 %', '100.0 %')), (1, '0', ('-', '-', '-'))]
    """
    best, owner = responsibilities.max(axis=1), responsibilities.argmax(axis=1)
    counted_as = np.ones(len(best)) if weights is None else weights
    num_components = responsibilities.shape[1]
    counts = np.bincount(owner, counted_as, minlength=num_components)
    colours = component_colours(num_components, OWN)
    return [
        Membership(int(k), colours[k], row_facts.amount(counts[k]), _shares(best[owner == k], counted_as[owner == k]))
        for k in np.argsort(-counts, kind="stable")[:MOST_LINES]
    ]


def _shares(best: np.ndarray, weights: np.ndarray) -> tuple[str, ...]:
    return tuple(percent(_share(best > level, weights)) if len(best) else "-" for level in LEVELS)


def _share(is_so: np.ndarray, weights: np.ndarray) -> float:
    """Computes the share of rows for which something is so."""
    return float(weights[is_so].sum() / weights.sum())


def percent(share: float) -> str:
    """Writes a share as text, such as "97.1 %"."""
    return f"{100.0 * share:.1f} %"


def python_lines(
    model_path: pathlib.Path | None, exporting: str | None = "result", has_gaps: bool = False, has_noise: bool = False
) -> list[str]:
    """Writes the lines of Python that load the mixture and score rows with it; `errors` is the noise of the rows.

    Example:

    >>> python_lines(pathlib.Path("geyser.keras"))[1]
    "scorer = tfgmm.load_model('geyser.keras')"
    """
    name = "mixture" if model_path is None else os.fspath(model_path)
    loader = "load_model" if model_path is not None and _is_keras_file(model_path) else "load_scorer"
    line = f"tfgmm.export_model({exporting}, {name!r})  # once, where the fit is"
    return [
        "import tfgmm",
        *(["", line, ""] if model_path is None and exporting else []),
        f"scorer = tfgmm.{loader}({name!r})",
        "scorer.log_prob(rows)  # log density of each row, nats",
        "scorer.responsibilities(rows)  # probability of each component; rows sum to 1",
        "scorer.assign(rows)  # the most probable component",
        "scorer.outlier(rows)  # near 0 for a row that does not belong",
        *(["scorer.impute(rows)  # gaps filled by what the other values of a row say"] if has_gaps else []),
        *(["scorer.log_prob(rows, noise=errors)  # of rows with measurement noise"] if has_noise else []),
    ]


def shell_line(model_path: pathlib.Path | None) -> str | None:
    """Writes the command that scores a file with an exported folder; None where there is none to type."""
    name = "mixture" if model_path is None else os.fspath(model_path)
    if not name.isprintable() or (model_path is not None and _is_keras_file(model_path)):
        return None
    return (
        f"tfgmm score --model {shlex.quote(name)} --in rows.csv --out scored.parquet "
        "--columns log_prob,assignment,outlier"
    )


def context(fitted: Fitted, survey: Survey, responsibilities: np.ndarray) -> dict[str, Any]:
    """Collects all facts by the names that the template has for them."""
    draws = fitted.interval_draws()
    listed, left_out = components(fitted, draws)
    best, weights = responsibilities.max(axis=1), row_facts.row_weights(survey)
    return {
        "fitted_on": fitted_on(fitted),
        "columns": columns(fitted, survey),
        "components": listed,
        "components_left_out": left_out,
        "columns_left_out": max(0, fitted.num_features - MOST_LINES),
        "num_components": fitted.num_components,
        "num_occupied": fitted.num_occupied,
        "num_draws": draws.num_draws,
        "few_draws": draws.num_draws < FEW_DRAWS,
        "about_intervals": about_intervals(fitted.posterior, fitted.exporting),
        "memberships": memberships(responsibilities, weights),
        "levels": LEVELS,
        "sure": percent(_share(best > LEVELS[1], weights)),
        "about_memberships": row_facts.notes_on_memberships(survey),
        "rows": row_facts.lead(survey.summary),
        "has_gaps": bool(survey.summary.gap_columns),
        "has_noise": fitted.has_noise,
        "are_far_rows_known": survey.noise is None,
        "kept_in": fitted.kept_in,
        "record": None if fitted.record is None else record(fitted.record),
    }


def record(fit: FitRecord) -> dict[str, Any]:
    """Says how the fit came about, by the names that the template has for it."""
    return {
        "converged": fit.converged,
        "is_level": fit.is_level,
        "last_loss": f"{fit.history['loss'][-1]:.4f}",
        "num_sweeps": len(fit.history["elbo"]),
        "num_restarts": len(fit.restarts),
        "moves": [f"{sentence.capitalize()}." for sentence in sentences_on_moves(fit.moves)],
    }


def _is_keras_file(path: pathlib.Path) -> bool:
    return path.suffix == ".keras" and not path.is_dir()  # a folder may still have to be written
