"""Held-out density and groups of default fits, the number of components given: on real tables, and on 16 columns.

Real tables are divided into five folds; columns are in units of their spread. The simulated tables have 3,000 rows held
out, and three sets each. Densities are mean logarithms, nats per row: ours at the posterior means and, "predictive",
averaged over the posterior; scikit-learn's GaussianMixture and BayesianGaussianMixture, eight starts, at what they
fitted. With --package the package of another folder answers too: "before".

Run: python benchmarks/bench_prediction.py [--quick] [--only real|simulated] [--package FOLDER]
"""

from __future__ import annotations

import argparse
import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bench_small
import common
import known_rows
import numpy as np
from known_fits import PACKAGE, both, fitted, rand

FOLDS, SETS, HELD_OUT = 5, 3, 3000
SHAPES = ("diag", "full")
PEERS = ("GaussianMixture", "BayesianGaussianMixture")
# Nats per row by which a table is worse than before
WORSE = 0.02

Split = tuple[np.ndarray, np.ndarray]
# Rows to fit, K and shape in; what scores held-out rows, by the name of the score, and finds groups, out
Way = Callable[[np.ndarray, int, str], tuple[dict[str, Callable[[np.ndarray], Any]], Callable[[np.ndarray], Any]]]


def our_way(rows: np.ndarray, number: int, covariance: str) -> Any:
    """Fits ours."""
    result = fitted(rows, number, covariance=covariance)
    return {"": result.log_prob, "predictive": functools.partial(result.log_prob, kind="predictive")}, result.assign


def peers_way(rows: np.ndarray, number: int, covariance: str, estimator: str) -> Any:
    """Fits one of scikit-learn's; scores are those of the mixture at its parameters, which integrates to 1."""
    from sklearn import mixture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = getattr(mixture, estimator)
        model = chosen(n_components=number, covariance_type=covariance, n_init=8, random_state=0, max_iter=300).fit(
            rows
        )
    of = common.Mixture(model.weights_, model.means_, model.covariances_)
    return {"": functools.partial(common.mean_log_density, of)}, model.predict


def measured(way: Way, known: known_rows.Known, splits: Sequence[Split], covariance: str) -> dict[str, float | None]:
    """Returns mean held-out densities over splits, and the adjusted Rand index of a fit to the rows of `known`."""
    scores: dict[str, list[float]] = {}
    of_all_rows = way(known.rows, known.num_groups, covariance)
    for train, held_out in splits:
        fit = of_all_rows if train is known.rows else way(train, known.num_groups, covariance)
        for name, score in fit[0].items():
            scores.setdefault(name, []).append(float(np.mean(score(held_out))))
    found: dict[str, float | None] = {name: float(np.mean(values)) for name, values in scores.items()}
    return found | {"rand": None if known.groups is None else rand(known.groups, of_all_rows[1](known.rows))}


def of_all(cases: Sequence[tuple[str, Any, list[Split]]], is_before: bool) -> list[dict[str, Any]]:
    """Returns for each case and shape what ours and, unless before, the peers answer."""
    ways: dict[str, Way] = {"ours": our_way}
    if not is_before:
        ways |= {peer: functools.partial(peers_way, estimator=peer) for peer in PEERS}
    return [
        {"table": name, "rows": len(known.rows), "D": known.rows.shape[1], "K": known.num_groups, "shape": covariance}
        | {of: measured(way, known, splits, covariance) for of, way in ways.items()}
        | {"truth": _at_truth(known, splits)}
        for name, known, splits in cases
        for covariance in SHAPES
    ]


def _at_truth(known: known_rows.Known, splits: Sequence[Split]) -> float | None:
    if known.truth is None:
        return None
    return float(np.mean([common.mean_log_density(known.truth, held_out) for _, held_out in splits]))


# --- Tables -----------------------------------------------------------------------------------------------------------


def real(quick: bool, is_before: bool) -> list[dict[str, Any]]:
    """Returns the answers to real tables, in five folds."""
    cases = []
    for name, known in known_rows.real_tables().items():
        folds = np.array_split(np.random.default_rng(0).permutation(len(known.rows)), FOLDS)
        splits = [(np.delete(known.rows, fold, axis=0), known.rows[fold]) for fold in folds]
        cases.append((name, known, splits))
    return of_all(cases[:1] if quick else cases, is_before)


def simulated(quick: bool, is_before: bool) -> list[dict[str, Any]]:
    """Returns the answers to simulated tables, means over sets."""
    lines = []
    for is_round in (True, False):
        for rows_each in (20,) if quick else (20, 50, 1000):
            name = f"4 x {rows_each:,}, {'round' if is_round else 'narrow directions'}"
            cases = []
            for seed in range(1 if quick else SETS):
                known = known_rows.sixteen_columns(is_round, rows_each, seed)
                held_out = known_rows.drawn(known.truth, HELD_OUT // 4, np.random.default_rng(seed + 100)).rows
                cases.append((name, known, [(known.rows, held_out)]))
            answers = of_all(cases, is_before)
            lines += [mean_of([answer for answer in answers if answer["shape"] == shape]) for shape in SHAPES]
    return lines


def mean_of(answers: Sequence[Any]) -> Any:
    """Returns the mean of numbers in records of one form; other values as the first has them."""
    first = answers[0]
    if isinstance(first, dict):
        return {name: mean_of([answer[name] for answer in answers]) for name in first}
    return float(np.mean(answers)) if isinstance(first, float) else first


def line_of(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns a line: densities of all, how much ours gained since before, and adjusted Rand indices."""
    line = {name: now[name] for name in ("table", "rows", "D", "K", "shape")}
    nats = "{}, nats per row".format
    line |= {nats("now"): now["ours"][""], "predictive, nats per row": now["ours"]["predictive"]}
    if before is not None:
        line |= {nats("before"): before["ours"][""], nats("before, predictive"): before["ours"]["predictive"]}
        gains = [now["ours"][kind] - before["ours"][kind] for kind in ("", "predictive")]
        line |= {"gain": gains[0], "gain, predictive": gains[1], "worse": min(gains) < -WORSE}
    line |= {nats(peer.replace("Mixture", "")): now[peer][""] for peer in PEERS}
    line |= {nats("truth"): now["truth"], "Rand": now["ours"]["rand"]}
    if before is not None:
        line["Rand before"] = before["ours"]["rand"]
    return line | {f"Rand {peer.replace('Mixture', '')}": now[peer]["rand"] for peer in PEERS}


def main() -> None:
    """Prints the tables and writes results/bench_prediction.json."""
    parts = {"real": real, "simulated": simulated}
    options: dict[str, dict[str, Any]] = {"--only": {"choices": list(parts), "help": "one part of the tables"}}
    arguments: argparse.Namespace = common.arguments_of(__doc__, options=options | PACKAGE)
    packages = bench_small.packages_of(arguments.package)
    report = common.Report("bench_prediction", arguments)
    titles = {"real": "Real tables, five folds", "simulated": "16 columns, 4 components, 3,000 rows held out"}
    for part in [arguments.only] if arguments.only else parts:
        now, before = both(packages, parts[part], quick=arguments.quick)
        report.add(titles[part], [line_of(*pair) for pair in zip(now, before or [None] * len(now))])


if __name__ == "__main__":
    main()
