"""Shape and number of components chosen by evidence where the true ones are known, and rows that break other fits.

Every choice is fit_mixture(rows, range(1, 8), covariance="auto"). One component has nobody to be tied to: of one,
"tied" counts as "full", "tied_diag" as "diag" and "tied_spherical" as "spherical".

Run: python benchmarks/bench_choices.py [--quick] [--only shapes|odd] [--package FOLDER]
"""

from __future__ import annotations

import argparse
import collections
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import bench_small
import common
import known_rows
import numpy as np
from known_fits import PACKAGE, both, fitted, rand

SHAPES = ("spherical", "diag", "tied_spherical", "tied_diag", "tied", "full")
# Real tables with few groups and few rows: a choice takes seconds
TABLES = ("iris", "wine", "Old Faithful", "galaxies", "penguins")
SIMULATED = ("spherical", "diag", "tied", "full")
# Sweeps of the Keras model over odd rows, from its own start: not lengthened, so that the bound may not fall
SWEEPS = 60
# Relative fall of a bound that is rounding
ROUNDING = 1e-9

Tables = Iterator[tuple[str, list[dict[str, Any]]]]

# --- Shape and number -------------------------------------------------------------------------------------------------


def chosen(known: known_rows.Known, numbers: range) -> dict[str, Any]:
    """Returns what is recommended, its share, the adjusted Rand index, and seconds."""
    began = time.perf_counter()
    selection = fitted(known.rows, numbers, covariance="auto")
    answer = {"shape": selection.covariance, "K": selection.num_components, "seconds": time.perf_counter() - began}
    table = selection.table
    shares = {(str(line["covariance"]), int(line["num_components"])): float(line["share"]) for line in table}
    groups = selection.best.assign(known.rows)
    index = None if known.groups is None else rand(known.groups, groups)
    of_groups = selection.best_by["icl"]
    icl = None if known.groups is None else rand(known.groups, of_groups.assign(known.rows))
    for_groups = f"{of_groups.covariance} {of_groups.num_components}"
    return answer | {"shares": list(map(list, shares.items())), "rand": index, "icl": for_groups, "icl rand": icl}


def choices_of_tables(most: int, tables: Sequence[str]) -> list[dict[str, Any]]:
    """Returns a line for each real table."""
    chosen(known_rows.shaped("full", 2, 1, 0), range(1, 3))  # what is loaded on first use is an import
    lines = []
    for name, known in known_rows.real_tables().items():
        if name in tables:
            found = chosen(known, range(1, most + 1))
            best = max(share for _, share in found["shares"])
            line = {"table": name, "rows": len(known.rows), "true K": known.num_groups, "shape": found["shape"]}
            line |= {"K": found["K"], "share": best, "adjusted Rand": found["rand"], "by ICL": found["icl"]}
            lines.append(line | {"its Rand": found["icl rand"], "seconds": found["seconds"]})
    return lines


def choices_of_simulations(shape: str, num_features: int, most: int, seeds: int) -> dict[str, Any]:
    """Returns how often the true shape and number are found, for K from 1 to `most` and several seeds each."""
    right: collections.Counter[str] = collections.Counter()
    indices, seconds, misses = [], [], collections.Counter()
    numbers = range(1, most + 3)
    chosen(known_rows.shaped(shape, num_features, 1, 0), range(1, 3))  # what is loaded on first use is an import
    for number in range(1, most + 1):
        for seed in range(seeds):
            known = known_rows.shaped(shape, num_features, number, seed)
            found = chosen(known, numbers)
            true, recommended = named(shape, number), named(found["shape"], found["K"])
            right["K"] += found["K"] == number
            right["shape"] += true[0] == recommended[0]
            right["both"] += true == recommended
            if true != recommended:
                misses[f"{recommended[0]} {recommended[1]} for K={number}"] += 1
            indices.append(found["rand"])
            seconds.append(found["seconds"])
    told = ", ".join(f"{miss} ({times})" if times > 1 else miss for miss, times in misses.items())
    line: dict[str, Any] = {"true": f"{shape}, D={num_features}", "runs": len(indices)}
    line |= {name: right[name] for name in ("K", "shape", "both")} | {"adjusted Rand": float(np.mean(indices))}
    return line | {"median seconds": float(np.median(seconds)), "else": told}


def named(shape: str, number: int) -> tuple[str, int]:
    """Returns a shape and a number, of one component the shape that is not tied."""
    if number > 1:
        return shape, number
    return {"tied": "full"}.get(shape, shape.removeprefix("tied_")), number


def tables_of_shapes(arguments: argparse.Namespace, packages: Mapping[str, Any]) -> Tables:
    """Yields the tables of choices; the package before cannot choose a shape."""
    environment = packages["now"]
    sizes = {"most": 2, "tables": ["iris"]} if arguments.quick else {"most": 7, "tables": TABLES}
    yield "Shape and K by evidence", common.in_fresh_process(choices_of_tables, environment=environment, **sizes)
    most, seeds, columns, shapes = (1, 1, (2,), ("diag",)) if arguments.quick else (5, 2, (2, 4), SIMULATED)
    simulated = [
        common.in_fresh_process(
            choices_of_simulations, environment=environment, shape=shape, num_features=number, most=most, seeds=seeds
        )
        for number in columns
        for shape in shapes
    ]
    yield "The same, simulated, K from 1 to 5, 100 rows each", simulated


# --- Odd rows ---------------------------------------------------------------------------------------------------------


def odd_rows() -> dict[str, tuple[np.ndarray, int]]:
    """Returns rows and K by what is odd about them."""
    rng = np.random.default_rng(0)
    plain = rng.normal(np.repeat([[-3.0], [3.0]], 100, axis=0), 1.0, (200, 3))
    first, second = plain[:, :1], plain[:, 1:2]
    return {
        "one row at 1e8": (np.concatenate([plain, np.full((1, 3), 1e8)]), 3),
        "a constant column": (np.concatenate([plain, np.full((200, 1), 7.0)], axis=1), 2),
        "a repeated column": (np.concatenate([plain, first], axis=1), 2),
        "a collinear column": (np.concatenate([plain, first + second], axis=1), 2),
        "5 rows, 40 times each": (np.repeat(plain[:5], 40, axis=0), 3),
        "all rows the same": (np.repeat(plain[:1], 20, axis=0), 2),
        "8 rows, 20 columns": (rng.normal(size=(8, 20)), 2),
        "64 columns": (rng.normal(np.repeat([[-1.0], [1.0]], 150, axis=0), 1.0, (300, 64)), 3),
        "2 rows, K=1": (plain[:2], 1),
        "2 rows, K=2": (plain[:2], 2),
        "1 row": (plain[:1], 1),
    }


def answers_to_odd(most: int | None, is_before: bool) -> list[dict[str, Any]]:
    """Returns a line for each kind of odd rows, over all six shapes."""
    del is_before
    lines = []
    for name, (rows, number) in list(odd_rows().items())[:most]:
        found = {shape: answer_to_odd(rows, number, shape) for shape in SHAPES}
        falls = {shape: answer["fall"] for shape, answer in found.items()}
        is_finite = [answer["finite"] for answer in found.values()]
        line: dict[str, Any] = {"rows": name, "N": len(rows), "D": rows.shape[1], "K": number}
        line |= {"finite": all(is_finite), "monotone": max(falls.values()) <= ROUNDING}
        unfinished = sum(not answer["converged"] for answer in found.values())
        worst = max(falls, key=lambda shape: falls[shape])
        line |= {"largest fall": falls[worst], "of": worst, "fits unfinished": unfinished}
        said = sorted({answer["said"] for answer in found.values() if answer["said"]})
        lines.append(line | {"unexpected": "; ".join(said) or "none"})
    return lines


def answer_to_odd(rows: np.ndarray, number: int, covariance: str) -> dict[str, Any]:
    """Returns whether all numbers of a fit are finite, the largest relative fall of the bound, and what went wrong."""
    import tfgmm

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            result = tfgmm.fit_mixture(rows, number, covariance=covariance)
            model = tfgmm.GaussianMixtureModel(number, rows.shape[1], covariance=covariance, priors=result.priors)
            model.compile()
            swept = model.fit(rows, epochs=SWEEPS, verbose=0).history["elbo"]
        except Exception as error:
            return {
                "finite": False,
                "fall": 0.0,
                "converged": False,
                "said": f"{covariance}: {type(error).__name__}: {error!s:.100}",
            }
    told = [warning for warning in warned if not issubclass(warning.category, UserWarning)]
    bounds = [np.array(result.history["elbo"]), np.array(swept)]
    falls = [float(np.max(-np.diff(bound) / np.abs(bound[:-1]), initial=0.0)) for bound in bounds]
    numbers = [result.log_prob(rows), result.responsibilities(rows), result.plug_in().components["locs"], *bounds]
    numbers += [result.draws(50, seed=0).scales, result.log_prob(rows, kind="predictive")]
    is_finite = all(np.isfinite(values).all() for values in numbers)
    said = f"{covariance}: {told[0].message!s:.60}" if told else ""
    return {"finite": is_finite, "fall": max(falls), "converged": result.converged, "said": said}


def tables_of_odd(arguments: argparse.Namespace, packages: Mapping[str, Any]) -> Tables:
    """Yields the tables of odd rows, of the package and of the one before."""
    now, before = both(packages, answers_to_odd, most=2 if arguments.quick else None)
    yield "Odd rows, all six shapes", now
    if before is not None:
        yield "Odd rows, before", before


# --- Running ----------------------------------------------------------------------------------------------------------


def main() -> None:
    """Prints the tables and writes results/bench_choices.json."""
    parts = {"shapes": tables_of_shapes, "odd": tables_of_odd}
    options: dict[str, dict[str, Any]] = {"--only": {"choices": list(parts), "help": "one part of the tables"}}
    arguments = common.arguments_of(__doc__, options=options | PACKAGE)
    packages = bench_small.packages_of(arguments.package)
    report = common.Report("bench_choices", arguments)
    for part in [arguments.only] if arguments.only else parts:
        for title, lines in parts[part](arguments, packages):
            report.add(title, lines)


if __name__ == "__main__":
    main()
