"""Answers where the right one is known: groups of many kinds, and narrow groups and their widths.

Default calls of fit_mixture; scikit-learn's GaussianMixture in the same run. --groups names a folder of folders of sets
with known groups, NAME.data.gz and NAME.labels0.gz, labels1.gz, ... (gagolews/clustering-data-v1 on GitHub has such);
without it that part is left out. With --package the package of another folder runs too: "before".

Run: python benchmarks/bench_answers.py [--quick] [--only PART] [--groups FOLDER] [--package FOLDER]
"""

from __future__ import annotations

import argparse
import collections
import functools
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import bench_small
import common
import known_rows
import numpy as np
from known_fits import PACKAGE, both, fitted, line_of_both, of_sklearn, rand

# Kinds of start, restarts and seed: about 100 starts, none of them one of the default call
MANY_STARTS = (("auto", 40, 1), ("k-means++", 40, 2), ("random", 20, 3))
# Nats per row below which a bound counts as the best, and adjusted Rand index by which a set is worse
NEAR, WORSE = 1e-4, 0.05


# --- Sets with known groups -------------------------------------------------------------------------------------------


def groups_found(folder: str, most: int | None, is_before: bool) -> list[dict[str, Any]]:
    """Returns for each right answer of each set what the fits with its number of groups found."""
    answers = []
    for name, rows, truths in list(known_rows.sets_of(folder))[:most]:
        of_number = functools.cache(functools.partial(fits_of, rows, is_before=is_before))
        for truth in truths:
            found, groups = of_number(int(truth.max()))
            indices = {way: rand(truth - 1, of_way) for way, of_way in groups.items()}
            known = None if is_before else bound_from(rows, truth - 1)
            answers.append({"set": name, "rows": len(rows), "known": known, **found, **indices})
    return answers


def fits_of(rows: np.ndarray, number: int, is_before: bool) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns bounds and seconds of ours and the peer's, and the groups of each."""
    began = time.perf_counter()
    ours = fitted(rows, number, covariance="full")
    found, groups = {"K": number, "seconds": time.perf_counter() - began}, {"ours": ours.assign(rows)}
    if is_before:
        return found, groups
    began = time.perf_counter()
    groups["peer"] = of_sklearn(rows, number, n_init=30)
    found["peer seconds"] = time.perf_counter() - began
    many = [
        fitted(rows, number, covariance="full", start=start, restarts=count, seed=seed).elbo
        for start, count, seed in MANY_STARTS
    ]
    bounds = {"bound": ours.elbo, "best": max(ours.elbo, *many), "peers": bound_from(rows, groups["peer"])}
    return found | bounds, groups


def bound_from(rows: np.ndarray, groups: np.ndarray) -> float | None:
    """Returns the bound that sweeps reach from these groups; None where a row or a group is missing."""
    number = int(groups.max()) + 1
    if groups.min() < 0 or len(np.unique(groups)) < number:
        return None
    return float(fitted(rows, number, covariance="full", start=groups).elbo)


def lines_of_sets(now: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns a line per set: its best index over its right answers, and bounds beside ours, nats per row."""
    of_set, of_before = (collections.defaultdict(list) for _ in range(2))
    for answers, by_name in ((now, of_set), (before, of_before)):
        for answer in answers:
            by_name[answer["set"]].append(answer)
    lines = []
    for name, answers in of_set.items():
        best = {way: max(answer[way] for answer in answers) for way in ("ours", "peer")}
        line = {"set": name, "rows": answers[0]["rows"], **best}
        line["before"] = max(answer["ours"] for answer in of_before[name]) if before else None
        line["worse"] = best["ours"] < best["peer"] - WORSE
        shown = max(answers, key=lambda answer: answer["peer"])
        line |= {"K": shown["K"], "our bound": shown["bound"], "from peer's groups": shown["peers"]}
        line["from known groups"] = shown["known"]
        line["below best, nats per row"] = max((at["best"] - at["bound"]) / at["rows"] for at in answers)
        lines.append(line | {"fits": len({answer["K"] for answer in answers})})
    return lines


def tables_of_groups(arguments: argparse.Namespace, packages: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Returns a line per set, and a line of them all."""
    if arguments.groups is None:
        return {}
    asked = {"folder": str(arguments.groups), "most": 2 if arguments.quick else None}
    now, before = both(packages, groups_found, **asked)
    lines = lines_of_sets(now, before or [])
    fits = {(answer["set"], answer["K"]): answer for answer in now}.values()
    means = {way: float(np.mean([line[way] for line in lines])) for way in ("ours", "peer")}
    means["before"] = float(np.mean([line["before"] for line in lines])) if before else None
    near = [answer["best"] - answer["bound"] <= NEAR * answer["rows"] for answer in fits]
    known = [answer for answer in now if answer["known"] is not None]
    above = [answer["known"] - answer["best"] > NEAR * answer["rows"] for answer in known]
    counts = {"sets": len(lines), **means, "worse by .05": sum(line["worse"] for line in lines)}
    counts |= {"fits": len(near), "at the best of 100": sum(near), "known groups": len(known), "higher": sum(above)}
    seconds = {f"{of}seconds": sum(answer[f"{of}seconds"] for answer in fits) for of in ("", "peer ")}
    return {"Sets with known groups, full, K given": lines, "All sets": [counts | seconds]}


# --- Narrow groups ----------------------------------------------------------------------------------------------------


def narrow_choices(covariance: str, seeds: int, is_before: bool) -> dict[str, Any]:
    """Returns what is chosen for groups of 100 rows at 0, 1, 20 and 21, standard deviation 0.05."""
    del is_before
    numbers, indices = [], []
    truth = np.repeat(np.arange(4), 100)
    for seed in range(seeds):
        noise = np.random.default_rng(seed).normal(0, 0.05, (400, 1))
        rows = np.array([0.0, 1.0, 20.0, 21.0])[truth][:, None] + noise
        best = fitted(rows, range(1, 8), covariance=covariance).best
        numbers.append(best.num_components)
        indices.append(rand(truth, best.assign(rows)))
    counts = collections.Counter(numbers)
    chosen = ", ".join(f"{number} ({times})" for number, times in sorted(counts.items()))
    return {"chosen": chosen, "K=4": counts[4], "adjusted Rand": float(np.mean(indices)), "runs": seeds}


def widths(covariance: str, num_features: int, seeds: int, is_before: bool) -> dict[str, Any]:
    """Returns how often the 95 % interval of a width of 0.01, from 50 rows, holds it, and lies in 0.007 to 0.014.

    Beside it the interval that the rows of the group give by themselves, every group known.
    """
    del is_before
    found: dict[str, list[Any]] = {"ours": [], "group alone": []}
    for seed in range(seeds):
        noise = np.random.default_rng(seed).normal(0, 0.01, (2, 50, num_features))
        rows = (noise + np.array([0.0, 10.0])[:, None, None]).reshape(100, num_features)
        draws = fitted(rows, 2, covariance=covariance).draws(2000, seed=0).scales[0]
        found["ours"].append(np.quantile(draws, [0.025, 0.975], axis=0).reshape(2, -1))
        found["group alone"].append(interval_of(noise).reshape(2, -1))
    answer: dict[str, Any] = {"intervals": 2 * num_features * seeds}
    for way, intervals in found.items():
        low, high = np.concatenate(intervals, axis=1)
        answer |= {f"{way}: hold": int(np.sum((low < 0.01) & (high > 0.01)))}
        answer |= {f"{way}: inside": int(np.sum((low > 0.007) & (high < 0.014)))}
    low, high = np.median(np.concatenate(found["ours"], axis=1), axis=1)
    return answer | {"ours: median low": float(low), "median high": float(high)}


def interval_of(noise: np.ndarray) -> np.ndarray:
    """Returns the 95 % interval of the standard deviation of each group and column, (2, K, D), from (K, n, D)."""
    from scipy.stats import chi2

    freedom = noise.shape[1] - 1
    squares = noise.var(axis=1, ddof=1) * freedom
    return np.sqrt(squares / chi2.ppf([0.975, 0.025], freedom)[:, None, None])


def clusters(number: int, apart: float, covariance: str, seeds: int, is_before: bool) -> dict[str, Any]:
    """Returns the adjusted Rand index of round clusters, from the default starts and the true centres."""
    indices: dict[str, list[float]] = collections.defaultdict(list)
    nearest, below = [], []
    for seed in range(seeds):
        known = known_rows.round_clusters(number, apart, seed)
        ours = fitted(known.rows, number, covariance=covariance)
        at_truth = fitted(known.rows, number, covariance=covariance, start=known.truth.means)
        indices["ours"].append(rand(known.groups, ours.assign(known.rows)))
        indices["from true centres"].append(rand(known.groups, at_truth.assign(known.rows)))
        if not is_before:
            peer = of_sklearn(known.rows, number, covariance_type=covariance, n_init=8)
            indices["peer"].append(rand(known.groups, peer))
        gaps = np.linalg.norm(known.truth.means[:, None] - known.truth.means, axis=-1)
        nearest.append(float(gaps[np.triu_indices(number, 1)].min()))
        below.append((at_truth.elbo - ours.elbo) / len(known.rows))
    answer: dict[str, Any] = {way: float(np.mean(found)) for way, found in indices.items()}
    least = {"least": min(indices["ours"]), "least, true centres": min(indices["from true centres"])}
    return answer | least | {"below true centres, nats per row": max(below), "nearest centres": min(nearest)}


def tables_of_narrow(arguments: argparse.Namespace, packages: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Returns the tables of narrow groups."""
    ask = functools.partial(line_of_both, packages)
    few, some, many = (1, 1, 2) if arguments.quick else (5, 10, 20)
    numbers = (5,) if arguments.quick else (30, 100)
    return {
        "Groups at 0, 1, 20, 21, sd .05, K from 1 to 7": [
            ask(shape, narrow_choices, covariance=shape, seeds=few) for shape in ("diag", "full")
        ],
        "2 groups of 50 rows, sd .01, 10 apart in each column": [
            ask(f"{shape}, D={columns}", widths, covariance=shape, num_features=columns, seeds=many)
            for shape in ("diag", "full")
            for columns in (1, 2)
        ],
        "Round clusters, sd .3, in a 100 x 100 square, K given": [
            ask(f"K={number}, {apart:g} apart, {shape}", clusters, **sizes, covariance=shape, seeds=some)
            for number in numbers
            for apart in (0.0, 2.0)
            for sizes in [{"number": number, "apart": apart}]
            for shape in ("diag", "full")
        ],
    }


# --- Running ----------------------------------------------------------------------------------------------------------


def main() -> None:
    """Prints the tables and writes results/bench_answers.json."""
    parts = {"groups": tables_of_groups, "narrow": tables_of_narrow}
    options: dict[str, dict[str, Any]] = {
        "--only": {"choices": list(parts), "help": "one part of the tables"},
        "--groups": {"type": pathlib.Path, "metavar": "FOLDER", "help": "sets with known groups"},
    }
    arguments = common.arguments_of(__doc__, options=options | PACKAGE)
    packages = bench_small.packages_of(arguments.package)
    report = common.Report("bench_answers", arguments)
    for part in [arguments.only] if arguments.only else parts:
        for title, lines in parts[part](arguments, packages).items():
            report.add(title, lines)


if __name__ == "__main__":
    main()
