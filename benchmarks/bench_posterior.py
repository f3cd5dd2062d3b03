"""Posteriors with the memberships summed out: their widths beside NUTS, coverage, calibration, seconds, memory.

Parts: known (standard deviations over those of NUTS, same priors, one process per set); hard (sets where no short
answer is good, and what the draws say); coverage (of 90 % intervals, two groups of about 500 rows); balanced (the
same, exactly 500); calibration (simulation-based, parameters from the prior, 60 rows, with a page of histograms);
recalibrated and bootstrap (designs of two published rivals); speed (effective draws a second, and NUTS's); seconds
(beside the fit alone); memory.

Run: python benchmarks/bench_posterior.py [--quick] [--only PART ...] [--methods METHOD ...] [--sets N] [--workers N]
    [--references FOLDER] [--figure FILE]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import calibration
import common
import numpy as np
import posterior_runs as runs
import rivals
from known_posteriors import HARD, KNOWN, PRIORS

Answer = dict[str, Any]
Line = dict[str, Any]
SETS, RIVALS_SETS, BOOTSTRAP_SETS = 200, 50, 30
# Simulated sets of one process, draws of each, and bins of ranks
CHUNK, NUM_DRAWS, NUM_BINS = 25, 4_000, 10
DISTANCES, COVERED_ROWS, CALIBRATED_ROWS, RECALIBRATED_ROWS = (4.0, 3.0, 2.5), 1_000, 60, 1_000
LENGTHS = {"num_warmup": 1_000, "num_samples": 1_500, "num_chains": 4}
CASES = ("Old Faithful full", "three components", "100000 x 16 x 32")
# Methods that are affordable whatever the size: importance sampling and chains, asked for by name, may take an hour
QUICK_METHODS = ("mean_field", "laplace", "auto")
MEMORY_SIZES = (100_000, 300_000, 1_000_000)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


# --- Running in processes -----------------------------------------------------------------------------------------


def asked(arguments: argparse.Namespace, calls: Iterable[Callable[..., Any]]) -> list[Any]:
    """Returns the answers of calls of `common.in_fresh_process`, as many at a time as the command line says."""
    if arguments.workers == 1:
        return [call() for call in calls]
    with concurrent.futures.ThreadPoolExecutor(arguments.workers) as pool:
        return [
            future.result() for future in [pool.submit(call, environment=os.environ | ONE_THREAD) for call in calls]
        ]


def fresh(function: Callable[..., Any], **asked_for: Any) -> Callable[..., Any]:
    """Returns a call of a function in a process of its own."""
    return functools.partial(common.in_fresh_process, function, limit=7_200, **asked_for)


def over_sets(
    arguments: argparse.Namespace, number: int, function: Callable[..., Any], **asked_for: Any
) -> list[Answer]:
    """Returns the answers for sets 0 to number - 1, in processes of a few sets each."""
    ends = [(first, min(first + CHUNK, number)) for first in range(0, number, CHUNK)]
    calls = [fresh(function, first=first, last=last, **asked_for) for first, last in ends]
    return [answer for answers in asked(arguments, calls) for answer in answers]


def of_methods(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """Returns answers by method, in the order of the first set."""
    found: dict[str, list[Answer]] = {}
    for answer in answers:
        found.setdefault(answer["method"], []).append(answer)
    return found


def sizes(arguments: argparse.Namespace, quick: Any, full: Any) -> Any:
    """Returns a size: a small one with --quick."""
    return quick if arguments.quick else full


# --- Lines of tables ----------------------------------------------------------------------------------------------


def coverage_line(method: str, answers: Sequence[Answer]) -> Line:
    """Returns coverage of all numbers, its standard error over sets, the least and the most of a single number."""
    covered = np.array([list(answer["covered"].values()) for answer in answers], float)
    of_number = covered.mean(axis=0)
    error = float(covered.mean(axis=1).std() / len(covered) ** 0.5)
    line: Line = {"method": method, "sets": len(answers), "coverage": float(covered.mean()), "its error": error}
    return line | {"least": float(of_number.min()), "most": float(of_number.max())}


def told_line(answers: Sequence[Answer]) -> Line:
    """Returns what draws said of themselves over many sets."""
    k_hats = [answer["k-hat"] for answer in answers if answer["k-hat"] is not None]
    return {
        "k-hat < .7": float(np.mean(np.array(k_hats) < 0.7)) if k_hats else None,
        "ess, median": median([answer["ess"] for answer in answers]),
        "r_hat, most": max((answer["r_hat"] for answer in answers if answer["r_hat"] is not None), default=None),
        "warned": float(np.mean([answer["warned"] for answer in answers])),
        "seconds, median": median([answer["seconds"] for answer in answers]),
    }


def median(values: Iterable[float | None]) -> float | None:
    """Returns the median of the values that there are; None of none."""
    found = [value for value in values if value is not None]
    return float(np.median(found)) if found else None


def uniformity(answers: Sequence[Answer]) -> Line:
    """Returns the least p value of uniform ranks over the numbers, its number, and the p value of that many tests."""
    found = {}
    for number in answers[0]["ranks"]:
        ranks = [answer["ranks"][number] for answer in answers]
        found[number] = calibration.chi_square(ranks, runs.NUM_KEPT, NUM_BINS)[1]
    worst = min(found, key=found.__getitem__)
    return {"least p": found[worst], "of": worst, "p of all": min(1.0, found[worst] * len(found))}


# --- Parts --------------------------------------------------------------------------------------------------------


def tables_of_known(arguments: argparse.Namespace) -> dict[str, list[Line]]:
    """Returns ratios to NUTS for each set and kind of priors."""
    names = sizes(arguments, ["2 x 50 at 4"], list(KNOWN))
    lengths = sizes(arguments, LENGTHS | {"num_samples": 100, "num_chains": 2}, LENGTHS)
    options = {"methods": arguments.methods, "num_draws": sizes(arguments, 400, NUM_DRAWS), "lengths": lengths}
    options |= {"references": arguments.references and str(arguments.references.resolve())}
    calls = [fresh(runs.compared, name=name, priors=priors, **options) for name in names for priors in PRIORS]
    lines = [line for lines in asked(arguments, calls) for line in lines]
    return {
        f"Standard deviations over those of NUTS, {kind} priors": [line for line in lines if line["priors"] == kind]
        for kind in PRIORS
    }


def tables_of_hard(arguments: argparse.Namespace) -> dict[str, list[Line]]:
    """Returns what the draws say where no short answer is good; the words stand in notes."""
    names = sizes(arguments, ["K=6 for one group"], list(HARD))
    options = {"num_draws": sizes(arguments, 400, NUM_DRAWS)}
    calls = [fresh(runs.hard, name=name, method=method, **options) for name in names for method in arguments.methods]
    return {"Hard sets: what the draws say": asked(arguments, calls)}


def tables_of_coverage(arguments: argparse.Namespace, are_equal: bool = False) -> dict[str, list[Line]]:
    """Returns coverage of 90 % intervals of two groups, per kind of priors, distance and method."""
    options = {"num_rows": sizes(arguments, 200, COVERED_ROWS), "num_draws": sizes(arguments, 200, 2_000)}
    options |= {"methods": arguments.methods, "are_equal": are_equal}
    lines = []
    for priors, distance in itertools.product(PRIORS, DISTANCES):
        about = {"priors": priors, "distance": distance}
        answers = over_sets(arguments, arguments.sets, runs.covered_groups, **about, **options)
        for method, of_method in of_methods(answers).items():
            lines.append(about | coverage_line(method, of_method) | told_line(of_method))
    groups = "two equally large groups" if are_equal else "two groups"
    return {f"Coverage of 90 % intervals, {options['num_rows']:,} rows of {groups}": lines}


def tables_of_calibration(arguments: argparse.Namespace) -> dict[str, list[Line]]:
    """Returns coverage and uniformity of ranks per method and number, and draws the histograms."""
    options = {"methods": arguments.methods, "num_draws": sizes(arguments, 200, 999)}
    answers = of_methods(over_sets(arguments, arguments.sets, runs.ranked, num_rows=CALIBRATED_ROWS, **options))
    ranks = {
        method: {number: [answer["ranks"][number] for answer in found] for number in found[0]["ranks"]}
        for method, found in answers.items()
    }
    figure = arguments.figure or arguments.results / "bench_posterior.png"
    calibration.draw_histograms(ranks, runs.NUM_KEPT, NUM_BINS, figure)
    title = f"Simulation-based calibration, {CALIBRATED_ROWS} rows, 90 % intervals"
    lines = [coverage_line(method, found) | uniformity(found) | told_line(found) for method, found in answers.items()]
    numbers = []
    for method, found in answers.items():
        for number, of_number in ranks[method].items():
            share = float(np.mean([answer["covered"][number] for answer in found]))
            statistic, p_value = calibration.chi_square(of_number, runs.NUM_KEPT, NUM_BINS)
            line = {"method": method, "number": number, "coverage": share}
            numbers.append(line | {"chi-square": statistic, "p": p_value, "mean rank": float(np.mean(of_number))})
    return {title: lines, f"{title}, by number": numbers}


def tables_of_recalibrated(arguments: argparse.Namespace) -> dict[str, list[Line]]:
    """Returns coverage, width, refits and seconds on the first rival's design."""
    options = {"num_rows": RECALIBRATED_ROWS, "num_draws": sizes(arguments, 200, 2_000)}
    options |= {"methods": arguments.methods, "resamples": sizes(arguments, 20, rivals.RESAMPLES)}
    answers = over_sets(arguments, min(arguments.sets, RIVALS_SETS), runs.beside_recalibrated, **options)
    lines = []
    for method, found in of_methods(answers).items():
        line = coverage_line(method, found)
        line["width, median"] = median([answer["width"] for answer in found])
        line["refits, mean"] = float(np.mean([answer["refits"] for answer in found]))
        line["seconds, mean"] = float(np.mean([answer["seconds"] for answer in found]))
        lines.append({name: value for name, value in line.items() if name not in ("least", "most")})
    return {f"Design of recalibrated variational Bayes, N={RECALIBRATED_ROWS:,}: 95 % intervals of the weight": lines}


def tables_of_bootstrap(arguments: argparse.Namespace) -> dict[str, list[Line]]:
    """Returns distances and coverage on the second rival's design, and how many refits it takes."""
    options = {"methods": arguments.methods, "num_draws": sizes(arguments, 200, 5_000)}
    answers = over_sets(arguments, min(arguments.sets, BOOTSTRAP_SETS), runs.beside_bootstrap, **options)
    lines = []
    for method, found in of_methods(answers).items():
        distance = {"distance, median": median([answer["distance"] for answer in found])}
        lines.append(
            coverage_line(method, found) | distance | told_line(found) | {"rival's refits": rivals.BOOTSTRAP_REFITS}
        )
    return {
        "Design of the optimized bootstrap, setting 1: 90 % intervals of locations, distance of predicted rows": lines
    }


def tables_of_speed(arguments: argparse.Namespace) -> dict[str, list[Line]]:
    """Returns effective draws a second on the three-component example, and how many times those of NUTS they are."""
    name, num_draws = sizes(arguments, "2 x 50 at 4", "three components"), sizes(arguments, 400, NUM_DRAWS)
    lengths = sizes(arguments, {"num_samples": 100, "num_chains": 2}, {"num_samples": 1_000, "num_chains": 4})
    methods = [method for method in arguments.methods if method != "mean_field"]
    ways = {"NUTS": fresh(runs.effective_nuts, name=name, **lengths)}
    ways |= {method: fresh(runs.effective_draws, name=name, method=method, num_draws=num_draws) for method in methods}
    lines, reference = [], None
    for way, answers in common.in_turn(ways, arguments.repeats).items():
        line: Line = {
            "way": way,
            **{field: common.median_of(answers, field) for field in ("ess", "seconds", "with fit")},
        }
        rates = {field: line["ess"] / line[field] if line["ess"] else None for field in ("seconds", "with fit")}
        reference = reference or rates["seconds"]
        line["effective/s"] = rates["seconds"]
        line |= {f"times NUTS, {field}": rate and rate / reference for field, rate in rates.items()}
        lines.append(line)
    return {f"{name}: effective draws a second": lines}


def tables_of_seconds(arguments: argparse.Namespace) -> dict[str, list[Line]]:
    """Returns seconds of a fit alone, and what draws by each method add, in one process per case."""
    cases = sizes(arguments, ["Old Faithful full", "2000 x 4 x 4"], CASES)
    lines = []
    for case in cases:
        methods = [one for one in arguments.methods if one in QUICK_METHODS or case in KNOWN]
        options = {"methods": methods, "num_draws": sizes(arguments, 200, 1_000), "rounds": arguments.repeats}
        found = fresh(runs.seconds_beside, name=case, **options)()
        alone = found["times"].pop("fit alone")["median"]
        for way, times in found["times"].items():
            line = {"rows": case, "way": way, "used": found["used"].get(way), "fit alone": alone}
            lines.append(line | {"with it": times["median"], "added": times["median"] - alone})
    return {"Seconds beside the fit alone, 1,000 draws": lines}


def tables_of_memory(arguments: argparse.Namespace) -> dict[str, list[Line]]:
    """Returns by how much memory rises while Laplace draws are made, for more and more rows."""
    num_features, number = sizes(arguments, (4, 4), (16, 32))
    method = "laplace" if "laplace" in arguments.methods else arguments.methods[0]
    options = {"num_features": num_features, "number": number, "method": method, "num_draws": 1_000}
    counts = sizes(arguments, (2_000, 4_000), MEMORY_SIZES)
    cases = itertools.product(counts, (False, True))
    lines = [fresh(runs.memory_of, num_rows=count, from_file=from_file, **options)() for count, from_file in cases]
    return {f"Memory of draws, D={num_features} K={number}": lines}


PARTS: Mapping[str, Callable[[argparse.Namespace], dict[str, list[Line]]]] = {
    "known": tables_of_known,
    "hard": tables_of_hard,
    "coverage": tables_of_coverage,
    "balanced": functools.partial(tables_of_coverage, are_equal=True),
    "calibration": tables_of_calibration,
    "recalibrated": tables_of_recalibrated,
    "bootstrap": tables_of_bootstrap,
    "speed": tables_of_speed,
    "seconds": tables_of_seconds,
    "memory": tables_of_memory,
}


def main() -> None:
    """Prints the tables, writes results/bench_posterior.json and the page of histograms."""
    options: dict[str, dict[str, Any]] = {
        "--only": {"nargs": "+", "choices": list(PARTS), "help": "some parts"},
        "--methods": {"nargs": "+", "choices": runs.METHODS, "default": list(runs.METHODS), "help": "some methods"},
        "--sets": {"type": int, "default": None, "help": f"simulated sets, {SETS}; quick 4"},
        "--workers": {"type": int, "default": 1, "help": "processes at a time, each with one thread if several"},
        "--references": {
            "type": pathlib.Path,
            "metavar": "FOLDER",
            "help": "where chains of NUTS are kept",
        },
        "--figure": {"type": pathlib.Path, "metavar": "FILE", "help": "the page of histograms"},
    }
    arguments = common.arguments_of(__doc__, options=options)
    arguments.sets = arguments.sets or sizes(arguments, 4, SETS)
    report = common.Report("bench_posterior", arguments)
    for part in arguments.only or PARTS:
        for title, lines in PARTS[part](arguments).items():
            words = [f"{line['set']}, {line['method']}: {word}" for line in lines for word in line.pop("words", [])]
            report.add(title, lines, words)


if __name__ == "__main__":
    main()
