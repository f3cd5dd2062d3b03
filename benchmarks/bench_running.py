"""Rows that come in parts: how far `partial_fit` ends from the fit of all rows, drift, and groups that stay away.

Run: python benchmarks/bench_running.py [--quick] [--only parts | drift | away]
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import common
import numpy as np

import tfgmm

NUM_PARTS, SIZE, NUM_HELD_OUT = 100, 1_000, 20_000
NUM_COMPONENTS = 8


def main() -> None:
    """Prints the tables and writes results/bench_running.json."""
    options = {"--only": {"choices": ["parts", "drift", "away"], "help": "one table alone"}}
    arguments = common.arguments_of(__doc__, options=options)
    report = common.Report("bench_running", arguments)
    warnings.simplefilter("ignore")  # photographs have few different values, and heavy tails far rows
    ways = {"parts": parts, "drift": drift, "away": away}
    for name, way in ways.items():
        if arguments.only in (None, name):
            way(report, arguments.quick)


# --- Shuffled parts against the fit of all rows --------------------------------------------------------------------


def overlapped(seed: int, num_rows: int, gap: float = 0.7, degrees: float | None = None) -> np.ndarray:
    """Returns rows of eight columns from eight round components whose centres overlap; with t noise where asked."""
    rng = np.random.default_rng(seed)
    weights, locs = rng.dirichlet(np.full(NUM_COMPONENTS, 5.0)), gap * rng.normal(size=(NUM_COMPONENTS, 8))
    noise = rng.normal(size=(num_rows, 8))
    if degrees:
        noise /= np.sqrt(rng.chisquare(degrees, (num_rows, 1)) / degrees)
    return locs[rng.choice(NUM_COMPONENTS, num_rows, p=weights)] + noise


def patches(seed: int, num_rows: int) -> np.ndarray:
    """Returns patches, 2 x 4 grey pixels, of the two photographs that scikit-learn ships, at random places."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(seed)
    images = np.stack([image.mean(axis=2) for image in load_sample_images().images])
    image, down, right = rng.integers(0, [len(images), images.shape[1] - 1, images.shape[2] - 3], (num_rows, 3)).T
    return np.stack([images[image, down + i, right + j] for i in range(2) for j in range(4)], axis=1)


def parts(report: common.Report, quick: bool) -> None:
    """Adds the table of shuffled parts."""
    kinds: dict[str, tuple[Callable[[int, int], np.ndarray], str]] = {
        "overlapped, full": (overlapped, "full"),
        "overlapped, diag": (overlapped, "diag"),
        "heavy tails (t, 5), full": (lambda seed, number: overlapped(seed, number, degrees=5.0), "full"),
        "heavy tails (t, 5), diag": (lambda seed, number: overlapped(seed, number, degrees=5.0), "diag"),
        "patches of photographs, full": (patches, "full"),
    }
    lines = []
    for kind, (rows_of, shape) in list(kinds.items())[: 1 if quick else None]:
        for seed in range(1 if quick else 3):
            size = SIZE // 50 if quick else SIZE
            rows = rows_of(seed, NUM_PARTS * size + NUM_HELD_OUT)
            lines.append({"rows": kind, "seed": seed, **ends(rows[:-NUM_HELD_OUT], rows[-NUM_HELD_OUT:], shape)})
    notes = [
        "nats a row that the fit of all rows, seed 0, is better by on 20,000 other rows; below 0, worse",
        "seconds and the median of a part are of processor time",
    ]
    report.add(f"{NUM_PARTS} parts of {SIZE:,} rows, {NUM_COMPONENTS} components, 8 columns", lines, notes)


def ends(rows: np.ndarray, held_out: np.ndarray, shape: str) -> dict[str, Any]:
    """Fits rows at once, with two seeds, and in parts, and compares them on other rows."""
    start = time.process_time()
    whole = tfgmm.BayesianGaussianMixture(NUM_COMPONENTS, covariance_type=shape).fit(rows)
    seconds, times = time.process_time() - start, []
    other = tfgmm.BayesianGaussianMixture(NUM_COMPONENTS, covariance_type=shape, random_state=1).fit(rows)
    running = tfgmm.BayesianGaussianMixture(NUM_COMPONENTS, covariance_type=shape)
    scores = []
    for part in np.split(rows, NUM_PARTS):
        start = time.process_time()
        running.partial_fit(part)
        times.append(time.process_time() - start)
        if not scores:
            scores.append(running.score(held_out))
    wanted = whole.score(held_out)
    return {
        "in parts": wanted - running.score(held_out),
        "all rows, seed 1": wanted - other.score(held_out),
        "first part alone": wanted - scores[0],
        "fit, seconds": seconds,
        "parts, seconds": sum(times),
        "a part, ms": 1e3 * float(np.median(times)),
    }


# --- A mean that drifts --------------------------------------------------------------------------------------------


def drift(report: common.Report, quick: bool) -> None:
    """Adds the table of a mean that drifts by ten standard deviations over the stream."""
    lines = []
    for factor in (1.0, 0.9999, 0.999, 0.998, 0.99):
        errors = [lag(factor, seed, 100 if quick else SIZE) for seed in range(1 if quick else 3)]
        figures = zip(("drifting mean", "mean at rest", "score"), np.mean(errors, axis=0))
        lines.append({"forgetting factor": factor, **dict(figures)})
    notes = [
        "means: distance from where they are at the end, standard deviations; score: of the next 10,000 rows, nats a",
        "row below the mixture that they come from; means of three seeds",
    ]
    report.add(f"one of three means drifts by 10 standard deviations over {NUM_PARTS} parts", lines, notes)


def lag(factor: float, seed: int, size: int) -> tuple[float, float, float]:
    """Follows a stream; returns how far the means are off at its end, and the score."""
    running = tfgmm.BayesianGaussianMixture(3, forgetting_factor=factor)
    for part in stream(seed, size):
        running.partial_fit(part)
    rng = np.random.default_rng([seed, 1])
    locs = np.array([[14.0, 0.0], [0.0, -4.0], [0.0, 4.0]])
    following = locs[rng.integers(3, size=10_000)] + rng.normal(size=(10_000, 2))
    squares = ((following[:, None] - locs) ** 2).sum(axis=2)
    best = np.log(np.exp(-0.5 * squares).mean(axis=1)) - np.log(2 * np.pi)
    distances = np.linalg.norm(running.means_[:, None] - locs, axis=2).min(axis=0)
    return distances[0], distances[1:].max(), float(best.mean()) - running.score(following)


def stream(seed: int, size: int) -> Iterator[np.ndarray]:
    """Yields parts of three groups, of which the first drifts from 4 to 14."""
    rng = np.random.default_rng(seed)
    for number in range(NUM_PARTS):
        along = 4.0 + 10.0 * (number + np.arange(size) / size) / NUM_PARTS
        locs = np.zeros((size, 3, 2))
        locs[:, 0, 0], locs[:, 1, 1], locs[:, 2, 1] = along, -4.0, 4.0
        chosen = locs[np.arange(size), rng.integers(3, size=size)]
        yield chosen + rng.normal(size=(size, 2))


# --- A group that the last part lacks ------------------------------------------------------------------------------


def away(report: common.Report, quick: bool) -> None:
    """Adds the table of a group that the last of twenty parts lacks: by `partial_fit`, and by the Keras model."""
    lines = []
    for seed in range(1 if quick else 3):
        rng = np.random.default_rng(seed)
        locs = np.array([[-4.0, 0.0], [4.0, 0.0], [0.0, 5.0]])
        groups = [rng.choice(3, SIZE, p=[0.5, 0.3, 0.2]) for _ in range(19)] + [rng.integers(2, size=SIZE)]
        stream_of_parts = [locs[group] + rng.normal(size=(SIZE, 2)) for group in groups]
        share = float(np.mean(np.concatenate(groups) == 2))
        running = tfgmm.BayesianGaussianMixture(3)
        for part in stream_of_parts:
            running.partial_fit(part)
        model = tfgmm.GaussianMixtureModel(3, 2, covariance="full", seed=seed)
        model.compile(num_data=20 * SIZE, step_sizes=tfgmm.StepSizes())
        for part in stream_of_parts:
            model.fit(part, epochs=1, verbose=0)
        forgetful = tfgmm.BayesianGaussianMixture(3, forgetting_factor=0.999)
        for part in stream_of_parts:
            forgetful.partial_fit(part)
        lines.append(
            {
                "seed": seed,
                "share of the group": share,
                "partial_fit": weight_near(running.result_),
                "forgetting factor 0.999": weight_near(forgetful.result_),
                "model.fit, StepSizes": weight_near(model),
            }
        )
    report.add("weight of a group that the last of 20 parts lacks", lines, ["weight of the component nearest to it"])


def weight_near(fitted: Any) -> float:
    """Returns the weight of the components near the group; 0 where none is within a width."""
    mixture = fitted.plug_in()
    distances = np.linalg.norm(mixture.components["locs"] + mixture.centre - np.array([0.0, 5.0]), axis=1)
    return float(np.exp(mixture.log_weights)[distances < 1.0].sum())


if __name__ == "__main__":
    main()
