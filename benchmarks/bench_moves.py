"""Moves between components: how often the best optimum is found, what that takes, and the fixed cost of a fit.

Rows of K components in D columns: means Normal(0, spread), standard deviations exp(Normal(-.3, .3)), equal weights;
full: covariances A A'. A fit counts as found where its bound is at least that of the fit started at the components
that the rows come from, without moves, less 1e-4 nats per row. Seeds are those of the rows.

Run: python benchmarks/bench_moves.py [--quick] [--only optima|rival|fixed|small|choice] [--seeds 5] [--recipe NUMBER]
"""

from __future__ import annotations

import functools
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import common
import known_rows
import numpy as np

FOUND = 1e-4  # nats per row


class Recipe(NamedTuple):
    """Sizes of a simulated set."""

    num_components: int
    num_features: int
    spread: float
    covariance: str = "diag"
    num_rows: int = 100_000

    def __str__(self) -> str:
        return f"K={self.num_components} D={self.num_features} spread {self.spread:g}, {self.covariance}"

    def rows(self, seed: int, num_held_out: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns rows, the component of each, and held-out rows."""
        rng, shape = np.random.default_rng(seed), (self.num_components, self.num_features)
        means, scales = rng.normal(0, self.spread, shape), np.exp(rng.normal(-0.3, 0.3, shape))
        total = self.num_rows + num_held_out
        groups = rng.integers(0, self.num_components, total)
        noise = rng.standard_normal((total, self.num_features))
        if self.covariance == "full":
            factors = rng.normal(0, 0.5, (*shape, self.num_features)) + np.eye(self.num_features)
            noise = np.einsum("nij,nj->ni", factors[groups], noise)
        else:
            noise *= scales[groups]
        rows = means[groups] + noise
        return rows[: self.num_rows], groups[: self.num_rows], rows[self.num_rows :]


RECIPES = (
    Recipe(128, 8, 3.0),
    Recipe(128, 16, 3.0),
    Recipe(64, 8, 1.5),
    Recipe(128, 8, 2.0),
    Recipe(64, 8, 3.0, "full"),
)
QUICK = (Recipe(12, 2, 6.0, num_rows=4_000),)


def spent(way: Callable[[], Any]) -> tuple[float, float, Any]:
    """Returns the seconds of a call, those of all processors together, and what it returned."""
    began, worked = time.perf_counter(), time.process_time()
    answer = way()
    return time.perf_counter() - began, time.process_time() - worked, answer


def medians_in_turn(ways: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Returns medians of the seconds, and of those of all processors together, of calls in turn after a first one."""
    found: dict[str, list[tuple[float, float, Any]]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            found[name].append(spent(way))
    return {
        f"{name}{what}": statistics.median(one[number] for one in answers[1:])
        for name, answers in found.items()
        for number, what in enumerate((", s", ", cpu"))
    }


# --- Optima -----------------------------------------------------------------------------------------------------


def optimum(recipe: list[Any], seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """Returns how far a fit ends above the one started at the components that the rows come from, and its seconds."""
    import sklearn.cluster  # noqa: F401  k-means++ is loaded on first use: an import, not work

    import tfgmm

    of = Recipe(*recipe)
    rows, groups, _ = of.rows(seed)
    fit = functools.partial(tfgmm.fit_mixture, rows, of.num_components, covariance=of.covariance)
    known = fit(start=groups, moves=False)
    seconds, cpu, found = spent(functools.partial(fit, **options))
    swaps = sum(len(move.deleted) for move in getattr(found.restarts[0], "moves", ()))
    return {"above": (found.elbo - known.elbo) / len(rows), "seconds": seconds, "cpu": cpu, "swaps": swaps}


def compare_optima(report: common.Report, recipe: Recipe, num_seeds: int, ways: Mapping[str, dict[str, Any]]) -> None:
    """Adds a table: one line per way."""
    lines = []
    for name, options in ways.items():
        answers = [
            common.in_fresh_process(optimum, recipe=list(recipe), seed=seed, options=options)
            for seed in range(num_seeds)
        ]
        above = [answer["above"] for answer in answers]
        lines.append(
            {
                "way": name,
                "found": f"{sum(value >= -FOUND for value in above)} of {num_seeds}",
                "worst, nats per row": min(above),
                "mean, nats per row": statistics.mean(above),
                **{
                    field: statistics.median(answer[field] for answer in answers)
                    for field in ("seconds", "cpu", "swaps")
                },
            }
        )
    report.add(f"{recipe}, N={recipe.num_rows:,}: bound beside that from the components themselves", lines)


# --- Against scikit-learn -----------------------------------------------------------------------------------------


def ours(recipe: list[Any], seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """Returns the seconds of a fit, and its held-out density."""
    import sklearn.cluster  # noqa: F401

    import tfgmm

    of = Recipe(*recipe)
    rows, _, held_out = of.rows(seed, 20_000)
    fit = functools.partial(tfgmm.fit_mixture, rows, of.num_components, covariance=of.covariance, **options)
    seconds, cpu, found = spent(fit)
    return {"seconds": seconds, "cpu": cpu, "held_out": common.mean_log_density(common.plug_in(found), held_out)}


def peers(recipe: list[Any], seed: int) -> dict[str, Any]:
    """Returns the seconds of scikit-learn's one start, stopped by its tolerance, and its held-out density."""
    from sklearn.mixture import GaussianMixture

    of = Recipe(*recipe)
    rows, _, held_out = of.rows(seed, 20_000)
    peer = GaussianMixture(of.num_components, covariance_type=of.covariance, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds, cpu, _ = spent(functools.partial(peer.fit, rows))
    answer = {"seconds": seconds, "cpu": cpu, "held_out": float(peer.score(held_out))}
    return {**answer, "iterations": int(peer.n_iter_)}


def compare_rival(report: common.Report, recipe: Recipe, num_seeds: int) -> None:
    """Adds a table: seconds and held-out densities of both, seed by seed."""
    lines = []
    for seed in range(num_seeds):
        shared = {"recipe": list(recipe), "seed": seed}
        one = common.in_fresh_process(ours, **shared, options={})
        other = common.in_fresh_process(peers, **shared)
        lines.append(
            {
                "seed": seed,
                "seconds": one["seconds"],
                "peer's": other["seconds"],
                "share of its time": one["seconds"] / other["seconds"],
                "cpu": one["cpu"],
                "peer's cpu": other["cpu"],
                "held out, nats per row": one["held_out"],
                "peer's nats per row": other["held_out"],
                "peer's iterations": other["iterations"],
            }
        )
    report.add(f"{recipe}, N={recipe.num_rows:,}: against GaussianMixture, one start, its tolerance", lines)


# A prototype's single starts ended too low in one of four
STUCK_CASE = "300,000 x 16"

# --- The fixed cost -----------------------------------------------------------------------------------------------


def fixed_rows(name: str) -> tuple[np.ndarray, int]:
    """Returns rows and K."""
    if name == "20,000 x 8":
        return Recipe(8, 8, 3.0, num_rows=20_000).rows(0)[0], 8
    independent, dependent = common.two_problems(quick=False)
    of = dependent if name == "90,000 x 32" else independent
    return of.rows()[0], of.num_components


def fixed(name: str, repeats: int) -> dict[str, Any]:
    """Returns the seconds of fits, ours and scikit-learn's, in turn in one process."""
    import sklearn.cluster  # noqa: F401
    from sklearn.mixture import GaussianMixture

    import tfgmm

    rows, number = fixed_rows(name)
    ways: dict[str, Callable[[], Any]] = {
        "default": functools.partial(tfgmm.fit_mixture, rows, number),
        "moves=False": functools.partial(tfgmm.fit_mixture, rows, number, moves=False),
        "restarts=1": functools.partial(tfgmm.fit_mixture, rows, number, restarts=1),
        "scikit-learn": lambda: GaussianMixture(number, covariance_type="diag", random_state=0).fit(rows),
    }
    return medians_in_turn(ways, repeats)


def compare_fixed(report: common.Report, repeats: int) -> None:
    """Adds a table: seconds of one fit of three sets."""
    lines = [
        {"rows, diag": name, **common.in_fresh_process(fixed, name=name, repeats=repeats)}
        for name in ("90,000 x 32", STUCK_CASE, "20,000 x 8")
    ]
    report.add("Seconds of one fit, and of all processors together", lines)


# --- Small tables -------------------------------------------------------------------------------------------------


def worked_example() -> np.ndarray:
    """Returns the rows of the worked example."""
    import bench_blog

    return np.asarray(bench_blog.worked_example_rows(), np.float64)


def rows_of_table(name: str) -> np.ndarray:
    """Returns the rows of a table by its name."""
    if name == STUCK_CASE:
        return fixed_rows(name)[0]
    return worked_example() if name == "worked example" else known_rows.real_tables()[name].rows


def small(name: str, covariance: str, number: int, num_seeds: int) -> dict[str, Any]:
    """Returns in how many seeds a fit reaches the best bound of 100 restarts, and of restarts of these seeds."""
    import tfgmm

    rows = rows_of_table(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = functools.partial(tfgmm.fit_mixture, rows, number, covariance=covariance)
        began = time.perf_counter()
        fits = [fit(seed=seed) for seed in range(num_seeds)]
        seconds = (time.perf_counter() - began) / num_seeds
        bounds = np.array([found.elbo for found in fits])
        plain = np.array([fit(seed=seed, moves=False).elbo for seed in range(num_seeds)])
        moving = np.array([fit(seed=seed, moves=True).elbo for seed in range(num_seeds)])
        many = fit(restarts=100, seed=1000, moves=False).elbo
    best = max(many, bounds.max(), plain.max(), moving.max())
    is_found = {
        "found": bounds,
        "moves=False": plain,
        "moves=True": moving,
    }
    near = max(0.1, 1e-5 * len(rows))  # what the sweeps over all rows leave after restarts on a sample
    counts = {key: f"{int(np.sum(value > best - near))} of {num_seeds}" for key, value in is_found.items()}
    return {**counts, "worst, nats": float(bounds.min() - best), "100 restarts, nats": many - best, "seconds": seconds}


SMALL = (
    ("worked example", "diag", 3),
    (STUCK_CASE, "diag", 32),
    ("Old Faithful", "diag", 2),
    ("Old Faithful", "diag", 4),
    ("Old Faithful", "full", 2),
    ("galaxies", "diag", 3),
    ("galaxies", "diag", 6),
    ("iris", "full", 3),
    ("iris", "diag", 3),
    ("wine", "full", 3),
    ("wine", "diag", 3),
    ("breast cancer, 10 columns", "diag", 8),
    ("digits, 16 directions", "diag", 10),
)


def compare_small(report: common.Report, num_seeds: int) -> None:
    """Adds a table: one line per table, shape and K."""
    lines = [
        {
            "table, K": f"{name}, {covariance}, {number}",
            **common.in_fresh_process(small, name=name, covariance=covariance, number=number, num_seeds=num_seeds),
        }
        for name, covariance, number in SMALL
    ]
    report.add("Small tables: seeds that reach the best bound known, within 0.1 nats", lines)


def choice(most: int, repeats: int) -> dict[str, Any]:
    """Returns the seconds of choosing K from 1 to `most` on Old Faithful, cross-validated."""
    import tfgmm

    rows = np.loadtxt(known_rows.DATA / "old_faithful.csv", delimiter=",", skiprows=1)
    numbers = range(1, most + 1)
    ways = {
        "default": functools.partial(tfgmm.fit_mixture, rows, numbers),
        "moves=False": functools.partial(tfgmm.fit_mixture, rows, numbers, moves=False),
    }
    return medians_in_turn(ways, repeats)


def main() -> None:
    """Prints the tables and writes results/bench_moves.json."""
    options: dict[str, dict[str, Any]] = {
        "--only": {"choices": ("optima", "rival", "fixed", "small", "choice"), "help": "one part alone"},
        "--seeds": {"type": int, "default": 5, "help": "seeds of each set"},
        "--recipe": {"type": int, "help": "one recipe alone, counted from 0"},
        "--restarts": {"type": int, "nargs": "*", "default": [], "help": "numbers of restarts to measure beside"},
    }
    arguments = common.arguments_of(__doc__, options=options)
    report = common.Report("bench_moves", arguments)
    recipes = QUICK if arguments.quick else RECIPES
    if arguments.recipe is not None:
        recipes = recipes[arguments.recipe : arguments.recipe + 1]
    seeds = 2 if arguments.quick else arguments.seeds
    ways: dict[str, dict[str, Any]] = {"default": {}, "moves=False": {"moves": False}}
    ways |= {f"restarts={number}": {"restarts": number} for number in arguments.restarts}
    parts: dict[str, Callable[[], Any]] = {
        "optima": lambda: [compare_optima(report, recipe, seeds, ways) for recipe in recipes],
        "rival": lambda: compare_rival(report, recipes[0], seeds),
        "fixed": lambda: None if arguments.quick else compare_fixed(report, arguments.repeats),
        "small": lambda: compare_small(report, seeds),
        "choice": lambda: report.add(
            "Seconds of choosing K from 1 to 10 on Old Faithful",
            [common.in_fresh_process(choice, most=3 if arguments.quick else 10, repeats=arguments.repeats)],
        ),
    }
    for name, part in parts.items():
        if arguments.only in (None, name):
            part()


if __name__ == "__main__":
    main()
