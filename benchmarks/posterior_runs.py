"""What `bench_posterior` measures, each function in a process of its own: arguments and answers are JSON values."""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import calibration
import common
import known_posteriors
import long_chains
import numpy as np
import rivals
from known_fits import fitted as fitted_by_default

METHODS = ("mean_field", "laplace", "importance", "mcmc", "auto")
# What the record of a posterior says, by the name it has here
TOLD = {"k-hat": "k_hat", "ess": "ess", "r_hat": "r_hat", "moved": "share_moved"}
EVIDENCE = {"log evidence": "log_evidence", "its error": "evidence_error"}
# Simulation-based calibration: draws that a truth is ranked among, and points at which the density is asked for
NUM_KEPT, POINTS = 99, np.array([[-3.0], [0.0], [3.0]])

Answer = dict[str, Any]


def fitted(rows: Any, number: int, **options: Any) -> Any:
    """Returns a fit alone, whatever it warns of: no draws from the exact posterior are made in it."""
    return fitted_by_default(rows, number, **{"posterior": "mean_field"} | options)


class Drawn(NamedTuple):
    """Draws, the seconds that they took, and the warnings that came with them."""

    draws: Any
    seconds: float
    warnings: list[str]


def drawn(result: Any, rows: Any, method: str, num_draws: int, seed: int = 0) -> Drawn:
    """Draws from the posterior of a fit by a method."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        began = time.perf_counter()
        draws = result.draws(num_draws, seed=seed, data=rows, posterior=method)
        seconds = time.perf_counter() - began
    return Drawn(draws, seconds, [str(warning.message) for warning in found])


def told(draws: Any, names: Mapping[str, str] = TOLD) -> Answer:
    """Returns what draws say of themselves; None for what their method does not know."""
    values = {name: getattr(draws.posterior, field) for name, field in names.items()}
    return {name: None if value is None or math.isnan(value) else float(value) for name, value in values.items()}


def in_order(draws: Any) -> Any:
    """Returns draws whose components have one order, by mean location in the first column."""
    import tfgmm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of components that are alike: the share of draws moved is in the tables
        aligned = tfgmm.align(draws)
    order = np.argsort(aligned.locs[..., 0].mean(axis=(0, 1)))
    return aligned.permuted(np.broadcast_to(order, aligned.weights.shape))


# --- Against long chains ------------------------------------------------------------------------------------------


def compared(
    name: str,
    priors: str,
    methods: Sequence[str],
    num_draws: int,
    lengths: Mapping[str, int],
    references: str | None = None,
) -> list[Answer]:
    """Returns a line per method: standard deviations over those of NUTS, means, and what the draws say."""
    known = known_posteriors.known(name)
    given = known_posteriors.given_priors(known.rows, priors)
    result = fitted(known.rows, known.num_components, covariance=known.covariance, **given)
    path = references and pathlib.Path(references) / f"{name.replace(' ', '_')}_{priors}.npz"
    exact, seconds = long_chains.long_chains(known, result.priors, lengths, path or None)
    lines = []
    for method in methods:
        found = drawn(result, known.rows, method, num_draws)
        line = {"set": name, "priors": priors, "method": method, "used": found.draws.posterior.method}
        line |= ratios(found.draws, exact, known.rows) | {"in bounds": within(known, found.draws, exact)}
        line |= told(found.draws, TOLD | EVIDENCE) | {"seconds": found.seconds, "warned": bool(found.warnings)}
        lines.append(line)
    of_nuts = {"set": name, "priors": priors, "method": "NUTS", "used": "NUTS"} | judged(exact) | {"seconds": seconds}
    return [*lines, {column: of_nuts.get(column) for column in lines[0]}]


def agreement(draws: Any, exact: Any) -> Any:
    """Returns how draws agree with others, k-hat left out: the draws say it themselves."""
    import tfgmm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tfgmm.compare(dataclasses.replace(draws, sample_stats={}), exact)


def ratios(draws: Any, exact: Any, rows: np.ndarray) -> Answer:
    """Returns ratios of standard deviations and of widths, and differences of means; the last are without labels."""
    found = agreement(draws, exact)
    wide = widths(found.aligned_a) / widths(found.aligned_b)
    points = np.quantile(rows, [0.1, 0.5, 0.9], axis=0)
    ours, theirs = (calibration.label_free(calibration.mixtures_of(of), points) for of in (draws, exact))
    free = np.array([ours[name].std() / theirs[name].std() for name in ours])
    off = np.array([(ours[name].mean() - theirs[name].mean()) / theirs[name].std() for name in ours])
    return {
        "sd, least": float(found.sd_ratios.min()),
        "median": float(np.median(found.sd_ratios)),
        "most": float(found.sd_ratios.max()),
        "means off": float(np.abs(found.mean_differences).max()),
        "90 %, least": float(wide.min()),
        "90 %, most": float(wide.max()),
        "no labels: sd, least": float(free.min()),
        "no labels: most": float(free.max()),
        "no labels: means off": float(np.abs(off).max()),
    }


def widths(draws: Any) -> np.ndarray:
    """Returns the width of the 90 % interval of each number, (numbers,): unlike their spread, it feels no tails."""
    values = draws.numbers()[1]
    low, high = np.quantile(values.reshape(-1, values.shape[-1]), [0.05, 0.95], axis=0)
    return np.asarray(high - low)


def within(known: known_posteriors.KnownPosterior, draws: Any, exact: Any) -> bool | None:
    """Returns whether all ratios are within the bounds of the set's group; None where it has no bounds."""
    if known.group is None:
        return None
    low, high = known_posteriors.BOUNDS[known.group]
    found = agreement(draws, exact).sd_ratios
    return bool(low <= found.min() and found.max() <= high)


def judged(exact: Any) -> Answer:
    """Returns r_hat, effective draws and share moved of the worst number of long chains, by ArviZ."""
    import tfgmm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ArviZ 0.23 announces its next version on import
        import arviz

        aligned = tfgmm.align(exact)
        found = {"weights": aligned.weights, "locs": aligned.locs, "scales": aligned.scales}
        size, r_hat = arviz.ess(found).to_array().min(), arviz.rhat(found).to_array().max()
    return {"ess": float(size), "r_hat": float(r_hat), "moved": float(aligned.share_moved)}


def hard(name: str, method: str, num_draws: int) -> Answer:
    """Returns what the draws of a set say of themselves where no short answer is good, and every warning."""
    known = known_posteriors.known(name)
    result = fitted(known.rows, known.num_components, covariance=known.covariance)
    found = drawn(result, known.rows, method, num_draws)
    says = told(found.draws)
    doubts = (says["k-hat"] or 0) >= 0.7, (says["r_hat"] or 1) > 1.05, (says["moved"] or 0) > 0.05
    line = {"set": name, "method": method, "used": found.draws.posterior.method, **says, "seconds": found.seconds}
    return line | {"doubtful figure": any(doubts), "warned": bool(found.warnings), "words": found.warnings}


# --- Simulated sets -----------------------------------------------------------------------------------------------


def covered_groups(
    distance: float,
    num_rows: int,
    priors: str,
    first: int,
    last: int,
    methods: Sequence[str],
    num_draws: int,
    are_equal: bool = False,
) -> list[Answer]:
    """Returns per set and method which of the numbers of two groups lie in their 90 % intervals."""
    truth = {"weight": 0.5, "loc 0": 0.0, "loc 1": distance, "scale 0": 1.0, "scale 1": 1.0}
    answers = []
    for seed in range(first, last):
        rows = known_posteriors.simulated_groups(distance, num_rows, seed, are_equal)
        result = fitted(rows, 2, **known_posteriors.given_priors(rows, priors))
        for method in methods:
            found = drawn(result, rows, method, num_draws, seed)
            draws = in_order(found.draws)
            parts = [draws.weights[..., 0], *np.moveaxis(draws.locs[..., 0], 2, 0)]
            parts += [*np.moveaxis(draws.scales[..., 0], 2, 0)]
            covered = {name: calibration.is_covered(truth[name], part) for name, part in zip(truth, parts)}
            answers.append(answer_of(method, found) | {"covered": covered})
    return answers


def answer_of(method: str, found: Drawn) -> Answer:
    """Returns what every simulated set tells of a method beside its own figures."""
    return {"method": method, **told(found.draws), "seconds": found.seconds, "warned": bool(found.warnings)}


def ranked(first: int, last: int, num_rows: int, methods: Sequence[str], num_draws: int) -> list[Answer]:
    """Returns per set and method ranks and coverage of numbers without labels; parameters come from the prior."""
    import tfgmm

    priors = tfgmm.Priors(
        loc_mean=0.0, loc_scale=3.0, precision_shape=5.0, precision_rate=5.0, weight_concentration=2.0
    )
    answers = []
    for seed in range(first, last):
        rng = np.random.default_rng([seed, num_rows])
        mixture = calibration.drawn_from_prior(priors, 2, rng)
        rows = calibration.rows_of(mixture, num_rows, rng)
        truth = numbers_of(mixture, rows)
        result = fitted(rows, 2, priors=priors)
        for method in methods:
            found = drawn(result, rows, method, num_draws, seed)
            numbers = numbers_of(calibration.mixtures_of(found.draws), rows)
            ranks = {name: calibration.rank(truth[name][0], numbers[name], NUM_KEPT, rng) for name in truth}
            covered = {name: calibration.is_covered(truth[name][0], numbers[name]) for name in truth}
            answers.append(answer_of(method, found) | {"ranks": ranks, "covered": covered})
    return answers


def numbers_of(mixtures: calibration.Mixtures, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the numbers that are ranked: those without labels, and the log likelihood of the rows."""
    numbers = calibration.label_free(mixtures, POINTS)
    return numbers | {"log likelihood": calibration.log_densities(mixtures, rows).sum(axis=1)}


# --- Rivals -------------------------------------------------------------------------------------------------------


def beside_recalibrated(
    first: int, last: int, num_rows: int, methods: Sequence[str], num_draws: int, resamples: int
) -> list[Answer]:
    """Returns per set and method whether the 95 % interval of the weight holds it, its width, refits and seconds."""
    answers = []
    for seed in range(first, last):
        rows = rivals.recalibrated_rows(num_rows, seed)
        began = time.perf_counter()
        result = fitted(rows, 2, covariance="full")
        of_fit = time.perf_counter() - began
        for method in methods:
            found = drawn(result, rows, method, num_draws, seed)
            tail = (1 - rivals.LEVEL) / 2
            ends = np.quantile(in_order(found.draws).weights[..., 0], [tail, 1 - tail])
            answers.append(interval_of(method, ends, 0, of_fit + found.seconds))
        rival = rivals.recalibrated(rows, seed, resamples)
        answers.append(interval_of("recalibrated", (rival.low, rival.high), rival.refits, rival.seconds))
    return answers


def interval_of(method: str, ends: Sequence[float], refits: int, seconds: float) -> Answer:
    """Returns an interval of the weight as it is judged."""
    low, high = map(float, ends)
    covered = low <= rivals.WEIGHT <= high
    return {"method": method, "covered": {"weight": covered}, "width": high - low, "refits": refits, "seconds": seconds}


def beside_bootstrap(first: int, last: int, methods: Sequence[str], num_draws: int) -> list[Answer]:
    """Returns per set and method the distance of predicted rows from the target's, and coverage of the locations."""
    answers = []
    for seed in range(first, last):
        design = rivals.bootstrap_design(seed)
        prior = rivals.bootstrap_prior(*design.rows.shape)
        target = rivals.given_groups(design, prior, num_draws, seed)
        twice = rivals.given_groups(design, prior, num_draws, seed + 10_000)
        began = time.perf_counter()
        result = fitted(design.rows, 2, covariance="full", priors=priors_like(prior, design.rows.shape[1]))
        of_fit = time.perf_counter() - began
        predicted = rivals.predicted(target, seed)
        for method in methods:
            found = drawn(result, design.rows, method, num_draws, seed)
            mixtures = calibration.mixtures_of(in_order(found.draws))
            answer = answer_of(method, found) | {
                "distance": rivals.sliced_distance(rivals.predicted(mixtures, 1), predicted)
            }
            answers.append(answer | {"covered": covered_locs(mixtures, design), "seconds": of_fit + found.seconds})
        again = rivals.sliced_distance(rivals.predicted(twice, 2), predicted)
        empty = dict.fromkeys(answers[-1]) | {"method": "target again", "distance": again, "warned": False}
        answers.append(empty | {"covered": covered_locs(target, design), "seconds": 0.0})
    return answers


def covered_locs(mixtures: calibration.Mixtures, design: rivals.Design) -> dict[str, bool]:
    """Returns which locations lie in their 90 % intervals."""
    found = {}
    for index in np.ndindex(design.truth.locs.shape[1:]):
        found[str(index)] = calibration.is_covered(design.truth.locs[(0, *index)], mixtures.locs[(slice(None), *index)])
    return found


def priors_like(prior: rivals.ConjugatePrior, num_features: int) -> Any:
    """Returns our priors that are nearest to the rival's, whose prior of a location hangs on the covariance."""
    import tfgmm

    return tfgmm.Priors(
        loc_mean=0.0,
        loc_scale=prior.weight**-0.5,
        degrees=prior.degrees,
        inverse_scale=tuple(map(tuple, np.eye(num_features).tolist())),
        weight_concentration=prior.concentration,
    )


# --- Seconds and memory -------------------------------------------------------------------------------------------


def case_of(name: str) -> tuple[np.ndarray, int, str]:
    """Returns rows, K and shape of a case whose seconds are taken."""
    if name in known_posteriors.KNOWN:
        known = known_posteriors.known(name)
        return known.rows, known.num_components, known.covariance
    num_rows, num_features, number = map(int, name.split(" x "))
    problem = common.Problem("axis-aligned", num_rows, num_features, number, 1)
    return problem.rows()[0], number, "diag"


def seconds_beside(name: str, methods: Sequence[str], num_draws: int, rounds: int) -> Answer:
    """Returns seconds of a fit alone, of a fit with its posterior, and with draws by each method, taken in turn."""
    import sklearn.cluster  # noqa: F401  k-means++ is loaded on first use: an import, not work

    rows, number, shape = case_of(name)

    def fit_and_draw(method: str) -> str:
        result = fitted(rows, number, covariance=shape)
        return str(drawn(result, rows, method, num_draws).draws.posterior.method)

    fit = functools.partial(fitted, rows, number, covariance=shape)
    ways = {"fit alone": fit, "fit, posterior='auto'": functools.partial(fit, posterior="auto")}
    ways |= {method: functools.partial(fit_and_draw, method) for method in methods}
    times = common.timed_in_turn(ways, rounds)
    return {"times": times, "used": {method: fit_and_draw(method) for method in methods}}


def memory_of(
    num_rows: int, num_features: int, number: int, method: str, num_draws: int, from_file: bool = False
) -> Answer:
    """Returns by how much the memory of a process rises while draws are made, MiB, and the seconds."""
    problem = common.Problem("axis-aligned", num_rows, num_features, number, 1)
    rows, _, truth = problem.rows()
    with tempfile.TemporaryDirectory() as folder:
        data = parquet_of(rows, pathlib.Path(folder) / "rows.parquet") if from_file else rows
        line = {"rows": num_rows, "from": "Parquet" if from_file else "memory", "MiB of rows": rows.nbytes / 2**20}
        del rows
        result = fitted(data, number, start=truth.means, max_sweeps=20)
        pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts anew
        before = status_of("VmRSS")
        found = drawn(result, data, method, num_draws)
        rise = status_of("VmHWM") - before
    return line | {"used": found.draws.posterior.method, "rise, MiB": rise, "seconds": found.seconds}


def parquet_of(rows: np.ndarray, path: pathlib.Path) -> str:
    """Writes rows in groups of 100,000, and returns the name of the file."""
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({f"x{column}": values for column, values in enumerate(rows.T)})
    parquet.write_table(table, path, row_group_size=100_000)
    return str(path)


def status_of(field: str) -> float:
    """Returns a field of the process's status that is in kB, as MiB."""
    for line in pathlib.Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


def effective_draws(name: str, method: str, num_draws: int) -> Answer:
    """Returns effective draws of a method, its seconds, and those with the fit."""
    import sklearn.cluster  # noqa: F401  k-means++ is loaded on first use: an import, not work

    rows, number, shape = case_of(name)
    began = time.perf_counter()
    result = fitted(rows, number, covariance=shape)
    of_fit = time.perf_counter() - began
    found = drawn(result, rows, method, num_draws)
    return {"ess": told(found.draws)["ess"], "seconds": found.seconds, "with fit": of_fit + found.seconds}


def effective_nuts(name: str, num_samples: int, num_chains: int) -> Answer:
    """Returns effective draws of NUTS with the same priors, and its seconds: compiling and warming up are part."""
    import sklearn.cluster  # noqa: F401  k-means++ is loaded on first use: an import, not work

    from tfgmm.companions import numpyro_mixture

    rows, number, shape = case_of(name)
    priors = fitted(rows, number, covariance=shape).priors
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draws = numpyro_mixture.sample_nuts(
            rows,
            number,
            covariance=shape,
            priors=priors,
            num_samples=num_samples,
            num_chains=num_chains,
            progress=False,
        )
    seconds = time.perf_counter() - began
    return {"ess": judged(draws)["ess"], "seconds": seconds, "with fit": seconds}
