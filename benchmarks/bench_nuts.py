"""Effective draws a second of NUTS on the worked example, against the example as written for NumPyro.

Every run is a fresh process. It goes from the rows to the draws: compiling and warming up are part of it, imports are
not. Effective draws are those of the worst number, by ArviZ: for means, for ranks (bulk) and for 5 % and 95 %
quantiles (tail). Draws that swing from side to side are worth more than independent ones for means, not for quantiles.

Run: python benchmarks/bench_nuts.py [--quick] [--repeats 3]
"""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable
from typing import Any

import common
import numpy as np

KINDS = ("mean", "bulk", "tail")


def worked_rows(num_data: int) -> np.ndarray:
    """Returns the rows of the worked example, (num_data,)."""
    np.random.seed(42)  # noqa: NPY002  the legacy generator is part of the example
    drawn = np.random.choice(3, size=num_data, p=np.array([0.2, 0.3, 0.5]))  # noqa: NPY002
    means, sds = np.array([-1.0, 1.0, 4.0]), np.array([0.2, 0.9, 0.5])
    return np.random.normal(means[drawn], sds[drawn], size=num_data)  # noqa: NPY002


def judged(seconds: float, found: dict[str, np.ndarray], num_divergent: int) -> dict[str, Any]:
    """Returns seconds and what ArviZ says of draws by name, (C, S, ...) each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ArviZ 0.23 announces its next version on import
        import arviz

    answer = {kind: float(arviz.ess(found, method=kind).to_array().min()) for kind in KINDS}
    num_chains = len(next(iter(found.values())))
    r_hat = float(arviz.rhat(found).to_array().max()) if num_chains > 1 else None  # of one chain it tells nothing
    return {"seconds": seconds, "r_hat": r_hat, "divergent": num_divergent, **answer}


def run_worked_example(num_data: int, num_warmup: int, num_samples: int) -> dict[str, Any]:
    """Returns how the example does as it is written, but for its prints and its progress bar."""
    import jax
    import numpyro
    from jax import numpy as jnp
    from numpyro import distributions as dist
    from numpyro.infer import MCMC, NUTS

    class MixtureGaussian(dist.Distribution):
        def __init__(self, loc: Any, scale: Any, mixing_probs: Any, validate_args: Any = None) -> None:
            shape = jax.lax.broadcast_shapes(jnp.shape(loc), jnp.shape(scale), jnp.shape(mixing_probs))
            self._gaussian = dist.Normal(loc=loc, scale=scale).expand(shape)
            self._categorical = dist.Categorical(jnp.broadcast_to(mixing_probs, shape))
            super().__init__(batch_shape=shape[:-1], validate_args=validate_args)

        def log_prob(self, value: Any) -> Any:
            return jax.nn.logsumexp(self._categorical.logits + self._gaussian.log_prob(value[..., None]), axis=-1)

    def model(k: int, x: Any) -> None:
        prob_cluster = numpyro.sample("prob_cluster", dist.Dirichlet(concentration=jnp.ones(k)))
        with numpyro.plate("k_plate", k):
            loc = numpyro.sample("loc", dist.Normal(loc=0.0, scale=10.0))
            scale = numpyro.sample("scale", dist.HalfCauchy(scale=10))
        numpyro.sample("x", MixtureGaussian(loc, scale, prob_cluster), obs=x)

    rows = worked_rows(num_data)
    began = time.perf_counter()
    sampler = MCMC(NUTS(model), num_warmup=num_warmup, num_samples=num_samples, progress_bar=False)
    sampler.run(jax.random.PRNGKey(42), x=rows, k=3)
    found = {name: np.asarray(value) for name, value in sampler.get_samples(group_by_chain=True).items()}
    seconds = time.perf_counter() - began
    return judged(seconds, found, int(sampler.get_extra_fields()["diverging"].sum()))


def run_tfgmm(num_data: int, num_warmup: int, num_samples: int, num_chains: int) -> dict[str, Any]:
    """Returns how `sample_nuts` does with its defaults."""
    import sklearn.cluster  # noqa: F401  k-means++ is loaded on first use: an import, not work

    from tfgmm.companions import numpyro_mixture

    rows = worked_rows(num_data)
    lengths = {"num_warmup": num_warmup, "num_samples": num_samples, "num_chains": num_chains}
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of too few draws, where --quick asks for few
        draws = numpyro_mixture.sample_nuts(rows, 3, **lengths, progress=False)
    found = {"weights": draws.weights, "locs": draws.locs, "scales": draws.scales}
    return judged(time.perf_counter() - began, found, int(draws.sample_stats["diverging"].sum()))


def main() -> None:
    """Prints a table and writes results/bench_nuts.json."""
    arguments = common.arguments_of(__doc__)
    report = common.Report("bench_nuts", arguments)
    lengths = (200, 50, 50) if arguments.quick else (2500, 1000, 2000)
    sizes = dict(zip(("num_data", "num_warmup", "num_samples"), lengths))
    ways: dict[str, Callable[[], Any]] = {
        "worked example, 1 chain": functools.partial(common.in_fresh_process, run_worked_example, **sizes)
    }
    for chains in (1, 4):
        run = functools.partial(common.in_fresh_process, run_tfgmm, **sizes, num_chains=chains)
        ways[f"tfgmm, {chains} chain{'s' * (chains > 1)}"] = run
    answers = common.in_turn(ways, arguments.repeats)
    rates = {
        way: {kind: float(np.median([a[kind] / a["seconds"] for a in found])) for kind in KINDS}
        for way, found in answers.items()
    }
    first = next(iter(rates.values()))
    lines = [
        {
            "way": way,
            "seconds": common.median_of(found, "seconds"),
            **{f"{kind}/s": rates[way][kind] for kind in KINDS},
            **{f"times, {kind}": rates[way][kind] / first[kind] for kind in KINDS},
            "r_hat": common.median_of(found, "r_hat"),
            "divergent": sum(answer["divergent"] for answer in found),
        }
        for way, found in answers.items()
    ]
    report.add(f"N={sizes['num_data']:,}, K=3, one column: effective draws a second of the worst number", lines)


if __name__ == "__main__":
    main()
