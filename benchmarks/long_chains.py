"""Long chains of NUTS that posteriors are compared with, kept in a folder, as they take minutes."""

from __future__ import annotations

import pathlib
import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from known_posteriors import KnownPosterior

    import tfgmm


class LongChains(NamedTuple):
    """Draws of NUTS, and the seconds that they took, compiling included."""

    draws: tfgmm.Draws
    seconds: float


def long_chains(
    known: KnownPosterior, priors: Any, lengths: Mapping[str, int], path: pathlib.Path | None
) -> LongChains:
    """Returns the chains of a set: read from a file where it exists, sampled and written where it does not.

    Args:
        known: The set.
        priors: Priors of the fit.
        lengths: Options of `sample_nuts`.
        path: The file, .npz; None to sample and keep nothing.
    """
    if path is not None and path.exists():
        return read(path)
    found = sampled(known, priors, lengths)
    if path is not None:
        write(found, path)
    return found


def sampled(known: KnownPosterior, priors: Any, lengths: Mapping[str, int]) -> LongChains:
    """Returns chains of NUTS, with short steps where nothing is promised of the set."""
    from tfgmm.companions import numpyro_mixture

    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draws = numpyro_mixture.sample_nuts(
            known.rows,
            known.num_components,
            covariance=known.covariance,
            priors=priors,
            target_accept_prob=0.95 if known.group is None else None,
            progress=False,
            **lengths,
        )
    return LongChains(draws, time.perf_counter() - began)


def write(chains: LongChains, path: pathlib.Path) -> None:
    """Writes chains to a file."""
    draws = chains.draws
    full = {} if draws.covariances is None else {"covariances": draws.covariances}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, weights=draws.weights, locs=draws.locs, scales=draws.scales, seconds=chains.seconds, **full)


def read(path: pathlib.Path) -> LongChains:
    """Reads chains from a file that `write` wrote."""
    import tfgmm

    with np.load(path) as found:
        parts = {name: found[name] for name in ("weights", "locs", "scales", "covariances") if name in found}
        return LongChains(tfgmm.Draws(**parts), float(found["seconds"]))
