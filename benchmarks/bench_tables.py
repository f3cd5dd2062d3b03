"""Rows with weights, gaps and measurement noise: against scikit-learn, its imputers, astroML, and EM in plain loops.

Weights: scikit-learn has none, so it is given each row as often as it counts. Gaps: one value in ten is taken out of
complete rows; the fit is compared with the fit to the complete rows, in standard deviations of the latter's posterior,
and its imputations with those of scikit-learn's imputers. Noise: extreme deconvolution (Bovy, Hogg and Roweis 2011),
against astroML's where it is installed, and against its EM in plain loops. Sweeps: seconds of one, beside one over the
same rows without weights, gaps and noise.

Run: python benchmarks/bench_tables.py [--quick] [--repeats 3] [--only weights|gaps|noise|sweeps]
"""

from __future__ import annotations

import functools
import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import common
import numpy as np
import plain_em
from scipy.optimize import linear_sum_assignment

PARTS = ("weights", "gaps", "noise", "sweeps")
RESTARTS = 8
# Steps of astroML's EM, which is its default, and of the plain loops
STEPS = 100
MISSING = 0.1  # of all values
NUM_PATTERNS = 50
# Rows of the fits that sweeps are timed at
SOME_ROWS = 2_000


def seconds_and_answer(call: Callable[[], Any]) -> tuple[float, Any]:
    """Returns the seconds of a call and what it answers; warnings, such as of few iterations, are let go."""
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = call()
    return time.perf_counter() - began, answer


def from_components(num_features: int, num_components: int, seed: int) -> common.Mixture:
    """Returns a mixture of correlated components that overlap a little."""
    rng = np.random.default_rng(seed)
    means = rng.normal(0.0, 2.0, (num_components, num_features))
    factors = rng.normal(0.0, 0.5, (num_components, num_features, num_features)) + np.eye(num_features)
    weights = rng.dirichlet(np.full(num_components, 5.0))
    return common.Mixture(weights, means, factors @ factors.transpose(0, 2, 1))


def drawn(mixture: common.Mixture, num_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Returns rows (N, D) from a mixture."""
    factors = np.linalg.cholesky(mixture.covariances)
    component = rng.choice(len(mixture.weights), num_rows, p=mixture.weights)
    standard = rng.standard_normal((num_rows, mixture.means.shape[1]))
    return mixture.means[component] + np.einsum("nij,nj->ni", factors[component], standard)


# --- Weights ----------------------------------------------------------------------------------------------------


def weights_table(quick: bool, repeats: int) -> list[dict[str, Any]]:
    """Returns a line for each shape: ours with weights, ours and scikit-learn's on repeated rows."""
    num_rows = 500 if quick else 3_000
    rng = np.random.default_rng(0)
    rows = drawn(from_components(4, 4, seed=1), num_rows, rng)
    counts = rng.integers(0, 10, num_rows)
    return [_weights_line(rows, counts, covariance, repeats) for covariance in ("diag", "full")]


def _weights_line(rows: np.ndarray, counts: np.ndarray, covariance: str, repeats: int) -> dict[str, Any]:
    from sklearn.mixture import GaussianMixture

    import tfgmm

    repeated = np.repeat(rows, counts, axis=0)
    fit = functools.partial(tfgmm.fit_mixture, num_components=4, covariance=covariance, criteria_at="mode")
    peer = GaussianMixture(4, covariance_type=covariance, n_init=RESTARTS, random_state=0, tol=1e-5, max_iter=500)
    ways = {
        "weights": functools.partial(fit, rows, sample_weight=counts),
        "repeated rows": functools.partial(fit, repeated),
        "scikit-learn, repeated rows": functools.partial(peer.fit, repeated),
    }
    times, found = _median_times(ways, repeats)
    ours = {name: found[name].log_likelihood / len(repeated) for name in ("weights", "repeated rows")}
    return {
        "rows": f"{len(rows):,} for {len(repeated):,}, {covariance}",
        "seconds": times["weights"],
        "repeated, times": times["repeated rows"] / times["weights"],
        "scikit-learn, times": times["scikit-learn, repeated rows"] / times["weights"],
        "nats per row": ours["weights"],
        "repeated, nats per row": ours["repeated rows"],
        "scikit-learn, nats per row": peer.score(repeated),
    }


def _median_times(ways: Mapping[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Returns the median seconds of each way, called in turn, and its last answer."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers = {}
    for _ in range(repeats):
        for name, way in ways.items():
            taken, answers[name] = seconds_and_answer(way)
            seconds[name].append(taken)
    return {name: statistics.median(values) for name, values in seconds.items()}, answers


# --- Gaps -------------------------------------------------------------------------------------------------------


def gaps_tables(quick: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns how far the fit to rows with gaps is from that to complete rows, and the errors of imputations."""
    import tfgmm

    num_rows, num_features = (1_500, 4) if quick else (20_000, 8)
    rng = np.random.default_rng(0)
    complete = drawn(from_components(num_features, 4, seed=2), num_rows, rng)
    rows = np.where(rng.random(complete.shape) < MISSING, np.nan, complete)
    fit = functools.partial(tfgmm.fit_mixture, num_components=4, covariance="full")
    taken, with_gaps = seconds_and_answer(functools.partial(fit, rows))
    of_complete, whole = seconds_and_answer(functools.partial(fit, complete))
    kept = ~np.isnan(rows).any(axis=1)
    of_kept, dropped = seconds_and_answer(functools.partial(fit, rows[kept]))
    lines = [
        {"fit": name, "seconds": seconds, "rows": num, **distances(whole, result)}
        for name, seconds, num, result in (
            ("gaps integrated out", taken, num_rows, with_gaps),
            ("rows with gaps dropped", of_kept, int(kept.sum()), dropped),
            ("the complete rows", of_complete, num_rows, whole),
        )
    ]
    return lines, imputation_lines(rows, complete, with_gaps, taken)


def distances(reference: Any, other: Any) -> dict[str, float]:
    """Returns how far the parameters of a fit are from those of another, in standard deviations of its posterior."""
    draws = reference.draws(2_000, seed=0)
    centre, own = reference.mean_parameters(), other.mean_parameters()
    away = np.square(centre.locs[0, 0][:, None] - own.locs[0, 0]).sum(axis=-1)
    order = linear_sum_assignment(away)[1]
    found = {}
    for name in ("weights", "locs", "covariances"):
        sd = getattr(draws, name)[0].std(axis=0)
        far = (getattr(own, name)[0, 0][order] - getattr(centre, name)[0, 0]) / sd
        found[f"{name}, rms"] = float(np.sqrt(np.mean(np.square(far))))
        found[f"{name}, worst"] = float(np.abs(far).max())
    return found


def imputation_lines(rows: np.ndarray, complete: np.ndarray, result: Any, taken: float) -> list[dict[str, Any]]:
    """Returns the errors of imputations, in standard deviations of their columns, and seconds with what they need."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    is_gap, spread = np.isnan(rows), complete.std(axis=0)
    ways: dict[str, Callable[[], np.ndarray]] = {
        "tfgmm, the fit included": functools.partial(result.impute, rows),
        "KNNImputer": functools.partial(KNNImputer().fit_transform, rows),
        "IterativeImputer": functools.partial(IterativeImputer(random_state=0).fit_transform, rows),
        "means of columns": functools.partial(SimpleImputer().fit_transform, rows),
    }
    lines = []
    for name, way in ways.items():
        seconds, filled = seconds_and_answer(way)
        errors = ((np.asarray(filled) - complete) / spread)[is_gap]
        seconds += taken if name.startswith("tfgmm") else 0.0
        error = {"rms error, spreads": float(np.sqrt(np.mean(np.square(errors))))}
        lines.append({"imputation": name, "seconds": seconds, **error, "values": int(is_gap.sum())})
    return lines


# --- Noise ------------------------------------------------------------------------------------------------------


def noisy_rows(num_rows: int, num_features: int) -> tuple[np.ndarray, np.ndarray, common.Mixture]:
    """Returns rows with correlated noise that differs from row to row, its covariances, and what is behind them."""
    rng = np.random.default_rng(0)
    truth = from_components(num_features, 3, seed=3)
    factors = rng.normal(0.0, 0.4, (num_rows, num_features, num_features)) * np.exp(
        rng.normal(size=(num_rows, 1, 1)) / 2
    )
    noise = factors @ factors.swapaxes(1, 2) + 0.01 * np.eye(num_features)
    errors = np.einsum("nij,nj->ni", np.linalg.cholesky(noise), rng.standard_normal((num_rows, num_features)))
    return drawn(truth, num_rows, rng) + errors, noise, truth


def noise_table(quick: bool, repeats: int) -> list[dict[str, Any]]:
    """Returns a line for each way of extreme deconvolution."""
    import tfgmm

    num_rows, num_features = (300, 2) if quick else (5_000, 4)
    rows, noise, truth = noisy_rows(num_rows, num_features)
    judged = functools.partial(plain_em.log_likelihood, rows, noise=noise, weights=np.ones(num_rows))
    fit = functools.partial(tfgmm.fit_mixture, rows, 3, covariance="full", noise=noise)
    ways: dict[str, Callable[[], Any]] = {"fit_mixture": fit}
    ways["fit_mixture, at the mode"] = functools.partial(fit, criteria_at="mode")
    if importlib.util.find_spec("astroML"):
        ways["astroML's XDGMM"] = functools.partial(_astroml, rows, noise)
    times, found = _median_times(ways, repeats)
    seconds, run = seconds_and_answer(functools.partial(_plain, rows, noise, 3 if quick else STEPS))
    times["EM in plain loops"], found["EM in plain loops"] = seconds, run.mixture
    lines = []
    for name, answer in found.items():
        if name == "fit_mixture, at the mode":
            likelihood = answer.log_likelihood
        else:
            likelihood = judged(mixture=as_plain(answer))
        lines.append({"way": name, "seconds": times[name], "times ours": times[name] / times["fit_mixture"]})
        lines[-1]["nats per row"] = likelihood / num_rows
    lines.append({"way": "the mixture behind the rows", "seconds": 0.0, "times ours": 0.0})
    lines[-1]["nats per row"] = judged(mixture=plain_em.Mixture(*truth)) / num_rows
    return lines


def as_plain(answer: Any) -> plain_em.Mixture:
    """Returns the mixture of any of the ways."""
    if isinstance(answer, plain_em.Mixture):
        return answer
    if hasattr(answer, "alpha"):
        return plain_em.Mixture(answer.alpha, answer.mu, answer.V)
    return plain_em.Mixture(*common.plug_in(answer))


def _astroml(rows: np.ndarray, noise: np.ndarray) -> Any:
    from astroML.density_estimation import XDGMM

    return XDGMM(3, max_iter=STEPS, random_state=0).fit(rows, noise)


def _plain(rows: np.ndarray, noise: np.ndarray, steps: int) -> plain_em.Run:
    """Returns where EM ends from the start that astroML takes."""
    from sklearn.mixture import GaussianMixture

    start = GaussianMixture(3, max_iter=10, random_state=0).fit(rows)
    mixture = plain_em.Mixture(start.weights_, start.means_, start.covariances_)
    return plain_em.fit(rows, mixture, noise=noise, max_steps=steps)


# --- Sweeps -----------------------------------------------------------------------------------------------------


def sweeps_table(quick: bool, repeats: int) -> list[dict[str, Any]]:
    """Returns the seconds of a sweep over rows that carry something, beside those over plain rows, by shape."""
    num_rows, num_features, num_components = (3_000, 4, 3) if quick else (200_000, 8, 8)
    rng = np.random.default_rng(0)
    rows = drawn(from_components(num_features, num_components, seed=4), num_rows, rng)
    some = np.where(rng.random(rows.shape) < MISSING, np.nan, rows)
    patterns = rng.random((5 if quick else NUM_PATTERNS, num_features)) < MISSING
    few_patterns = np.where(patterns[rng.integers(0, len(patterns), num_rows)], np.nan, rows)
    sds = np.exp(rng.normal(-1.0, 0.3, rows.shape))
    by_shape: dict[str, dict[str, dict[str, Any]]] = {
        "diag": {
            "plain": {"data": rows},
            "weights": {"data": rows, "sample_weight": rng.integers(1, 5, num_rows)},
            "gaps": {"data": some},
            "noise": {"data": rows, "noise": sds},
        },
        "full": {
            "plain": {"data": rows},
            "weights": {"data": rows, "sample_weight": rng.integers(1, 5, num_rows)},
            f"gaps, {len(patterns)} patterns": {"data": few_patterns},
        },
    }
    by_shape["full, row by row"] = row_by_row(quick, rng)
    lines = []
    for title, cases in by_shape.items():
        shape = title.partition(",")[0]
        ways = {name: sweep_of(shape, num_components, case) for name, case in cases.items()}
        times = common.timed_in_turn(ways, 2 if quick else 3 * repeats)
        for name, found in times.items():
            seconds, plain = found["median"], times["plain"]["median"]
            lines.append({"shape": title, "rows": name, "seconds": seconds, "times plain": seconds / plain})
    return lines


def row_by_row(quick: bool, rng: np.random.Generator) -> dict[str, dict[str, Any]]:
    """Returns rows that are dear where columns correlate: most have gaps, or noise, of their own; or share noise."""
    num_rows, num_features = (500, 4) if quick else (20_000, 16)
    rows = drawn(from_components(num_features, 3 if quick else 8, seed=4), num_rows, rng)
    sds = np.exp(rng.normal(-1.0, 0.3, rows.shape))
    return {
        "plain": {"data": rows},
        "gaps, 3 of 10 values": {"data": np.where(rng.random(rows.shape) < 3 * MISSING, np.nan, rows)},
        "noise": {"data": rows, "noise": sds},
        "noise of 8 instruments": {"data": rows, "noise": sds[rng.integers(0, 8, num_rows)]},
    }


def sweep_of(shape: str, num_components: int, case: Mapping[str, Any]) -> Callable[[], Any]:
    """Returns what sums over rows, sorted once, as sweeps of a fit do, at the posterior of a fit to some of them."""
    import tfgmm
    from tfgmm.data.blocks import RowBlock
    from tfgmm.families.natural_gradient import place_at
    from tfgmm.mixture import RowGroups

    some = {name: values[:SOME_ROWS] for name, values in case.items()}
    fit = functools.partial(tfgmm.fit_mixture, some.pop("data"), num_components, covariance=shape, restarts=1, **some)
    q = seconds_and_answer(fit)[1].variational
    values = np.float32(case["data"] - q.centre)
    weights = np.float64(case["sample_weight"]) if "sample_weight" in case else None
    groups = RowGroups(q.form, RowBlock(values, weights, case.get("noise")), q.gap_columns)
    coefficients = [part[None] for part in place_at(q, q.values()).coefficients]
    return functools.partial(groups.sums, coefficients, np.float32)


# --- All --------------------------------------------------------------------------------------------------------


def main() -> None:
    """Prints the tables and writes results/bench_tables.json."""
    only = {"--only": {"choices": PARTS, "default": None, "help": "one part alone"}}
    arguments = common.arguments_of(__doc__, options=only)
    report = common.Report("bench_tables", arguments)
    chosen = PARTS if arguments.only is None else (arguments.only,)
    if "weights" in chosen:
        lines = weights_table(arguments.quick, arguments.repeats)
        report.add("Weights, K=4 D=4: seconds of fit_mixture, others beside it", lines)
    if "gaps" in chosen:
        fits, imputations = gaps_tables(arguments.quick)
        title = "One value in ten missing, K=4, full: away from the fit to complete rows, in its standard deviations"
        report.add(title, fits)
        report.add("Imputation of these values", imputations)
    if "noise" in chosen:
        notes = [] if importlib.util.find_spec("astroML") else ["astroML is not installed"]
        lines = noise_table(arguments.quick, arguments.repeats)
        report.add("Extreme deconvolution, K=3, correlated noise row by row", lines, notes)
    if "sweeps" in chosen:
        report.add("A sweep over rows that carry something", sweeps_table(arguments.quick, arguments.repeats))


if __name__ == "__main__":
    main()
