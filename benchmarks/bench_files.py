"""`tfgmm fit FILE` on real files that packages ship, as a stranger would type it: what is used, what is recommended.

The files of scikit-learn are there; those of statsmodels, palmerpenguins and vega_datasets are if these are installed,
or unpacked in a folder: --packages FOLDER. A file that no package of these has is said to be missing.

Run: python benchmarks/bench_files.py [--quick] [--only NAME] [--packages FOLDER] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import common

# package, path below it
FILES = (
    ("sklearn", "datasets/data/iris.csv"),
    ("sklearn", "datasets/data/wine_data.csv"),
    ("sklearn", "datasets/data/breast_cancer.csv"),
    ("sklearn", "datasets/data/linnerud_exercise.csv"),
    ("sklearn", "datasets/data/linnerud_physiological.csv"),
    ("sklearn", "datasets/data/diabetes_data_raw.csv.gz"),
    ("palmerpenguins", "data/penguins.csv"),
    ("palmerpenguins", "data/penguins-raw.csv"),
    ("vega_datasets", "_data/seattle-weather.csv"),
    ("vega_datasets", "_data/seattle-temps.csv"),
    ("vega_datasets", "_data/airports.csv"),
    ("vega_datasets", "_data/iowa-electricity.csv"),
    ("vega_datasets", "_data/la-riots.csv"),
    ("vega_datasets", "_data/stocks.csv"),
    ("vega_datasets", "_data/us-employment.csv"),
    ("statsmodels", "datasets/anes96/anes96.csv"),
    ("statsmodels", "datasets/cancer/cancer.csv"),
    ("statsmodels", "datasets/ccard/ccard.csv"),
    ("statsmodels", "datasets/co2/co2.csv"),
    ("statsmodels", "datasets/copper/copper.csv"),
    ("statsmodels", "datasets/cpunish/cpunish.csv"),
    ("statsmodels", "datasets/danish_data/data.csv"),
    ("statsmodels", "datasets/elnino/elnino.csv"),
    ("statsmodels", "datasets/engel/engel.csv"),
    ("statsmodels", "datasets/fair/fair.csv"),
    ("statsmodels", "datasets/grunfeld/grunfeld.csv"),
    ("statsmodels", "datasets/heart/heart.csv"),
    ("statsmodels", "datasets/longley/longley.csv"),
    ("statsmodels", "datasets/macrodata/macrodata.csv"),
    ("statsmodels", "datasets/modechoice/modechoice.csv"),
    ("statsmodels", "datasets/nile/nile.csv"),
    ("statsmodels", "datasets/randhie/randhie.csv"),
    ("statsmodels", "datasets/spector/spector.csv"),
    ("statsmodels", "datasets/stackloss/stackloss.csv"),
    ("statsmodels", "datasets/star98/star98.csv"),
    ("statsmodels", "datasets/statecrime/statecrime.csv"),
    ("statsmodels", "datasets/strikes/strikes.csv"),
    ("statsmodels", "datasets/sunspots/sunspots.csv"),
)
QUICK = ("linnerud_exercise", "linnerud_physiological")
_LONGEST = 600.0


def found(package: str, path: str, folder: pathlib.Path | None) -> pathlib.Path | None:
    """Returns where a file of a package is, or None."""
    places = [] if folder is None else [folder / package / package, folder / package]
    spec = importlib.util.find_spec(package)
    if spec is not None and spec.origin is not None:
        places.append(pathlib.Path(spec.origin).parent)
    return next((place / path for place in places if (place / path).exists()), None)


def fitted(file: pathlib.Path, out: pathlib.Path, more: Sequence[str]) -> dict[str, Any]:
    """Runs the command and returns what it left; its exit code and last words where it stopped."""
    command = [sys.executable, "-m", "tfgmm", "fit", str(file), "--out", str(out), "--drop-gaps", *more]
    began = time.perf_counter()
    run = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST, check=False)
    answer: dict[str, Any] = {"seconds": time.perf_counter() - began}
    if run.returncode:
        lines = [line.strip(" │╭╮╰╯─") for line in run.stderr.splitlines()]
        return answer | {"error": " ".join(line for line in lines if line).replace(str(file), file.name)}
    config = json.loads((out / "config.json").read_text())
    with open(out / "selection.csv", newline="") as lines_of_fits:
        fits = list(csv.DictReader(lines_of_fits))
    [best] = [line for line in fits if line["recommended"] == "1"]
    return answer | {
        "used": config["settings"]["columns"],
        "left out": config["rows"]["left_out"],
        "suspicious": config["rows"]["suspicious"],
        "dropped": config["rows"]["num_dropped"],
        "shape": best["covariance"],
        "K": int(best["num_components"]),
        "share": float(best["share"]),
        "ICL": min(fits, key=lambda line: float(line["icl"]))["num_components"],
        "words": (out / "summary.txt").read_text(),
    }


COLUMNS = ("used", "left out", "dropped rows", "recommended", "by ICL", "few or repeated values", "follow from others")
COLUMNS += ("suspicious", "seconds", "stopped")


def line_of(name: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Returns a line of the table."""
    line: dict[str, Any] = {"what": name} | dict.fromkeys(COLUMNS)
    if "error" in answer:
        return line | {"seconds": answer.get("seconds"), "stopped": answer["error"][:300]}
    words = " ".join(answer["words"].split())
    return line | {
        "used": len(answer["used"]),
        "left out": ", ".join(answer["left out"]) or None,
        "dropped rows": answer["dropped"],
        "recommended": f"{answer['shape']} {answer['K']} ({answer['share']:.2f})",
        "by ICL": answer["ICL"],
        "few or repeated values": "None of these shares is certain" in words,
        "follow from others": "follow from each other" in words,
        "suspicious": ", ".join(answer["suspicious"]) or None,
        "seconds": answer["seconds"],
    }


def results(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Returns a line for each file."""
    lines = []
    for package, path in FILES:
        name = pathlib.Path(path).name.split(".")[0] if path != "datasets/danish_data/data.csv" else "danish_data"
        if (args.quick and name not in QUICK) or (args.only and args.only != name):
            continue
        file = found(package, path, args.packages)
        if file is None:
            lines.append(line_of(f"{package}: {name}", {"error": "the package is not here"}))
            continue
        out = pathlib.Path(args.out or tempfile.mkdtemp(), name)
        lines.append(line_of(f"{package}: {name}", fitted(file, out, ["--components", "1:2"] if args.quick else [])))
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Prints the table and writes results/bench_files.json."""
    options: dict[str, dict[str, Any]] = {
        "--only": {"help": "name of one file"},
        "--packages": {"type": pathlib.Path, "help": "folder with unpacked packages"},
        "--out": {"type": pathlib.Path, "help": "folder in which the runs are kept"},
    }
    arguments = common.arguments_of(__doc__, options=options)
    report = common.Report("bench_files", arguments)
    report.add("files that packages ship", results(arguments))


if __name__ == "__main__":
    main()
