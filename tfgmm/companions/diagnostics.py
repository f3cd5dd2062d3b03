"""Whether chains can be trusted: effective draws, agreement of chains, divergences; and a warning in plain words."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from tfgmm.common.words import beside
from tfgmm.posterior.alignment import AlignedDraws
from tfgmm.posterior.convergence import FEWEST_DRAWS, bulk_sizes, r_hats, tail_sizes
from tfgmm.posterior.draws import Draws

# Vehtari, Gelman, Simpson, Carpenter and Buerkner 2021, "Rank-normalization, folding, and localization", for four
# chains or more. The halves of one good chain of 1,000 draws sometimes differ more than that.
_LARGEST_R_HAT, _LEAST_PER_CHAIN = 1.01, 100.0
_LARGEST_R_HAT_OF_FEW_CHAINS = 1.05
_MANY_CHAINS = 4
_HARDLY = 1e-9  # share of the mean below which a standard deviation is rounding


@dataclasses.dataclass(frozen=True, eq=False)
class Diagnosis:
    """How well chains have explored the posterior, for each of P numbers.

    Args:
        names: Name of each number, such as "locs[0, 1]" for component 0, column 1.
        mean, sd: Mean and standard deviation over all draws, (P,), data units.
        ess_bulk: Effective draws for means, (P,); more than there are draws, where these swing from side to side.
        ess_tail: Effective draws for the 5 % or the 95 % quantile, whichever has fewer, (P,).
        r_hat: How much wider the chains are together than each alone, (P,); 1 where they agree.
        num_divergent: Number of draws whose path diverged.
        num_chains: Number of chains, C.
        num_draws: Number of draws of each chain, S.
        is_aligned: Whether the components have the same meaning in all draws.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    sd: np.ndarray
    ess_bulk: np.ndarray
    ess_tail: np.ndarray
    r_hat: np.ndarray
    num_divergent: int
    num_chains: int
    num_draws: int
    is_aligned: bool = False

    def problems(self) -> tuple[str, ...]:
        """Lists what is wrong, one sentence each; the tuple is empty where all is well."""
        sentences = []
        if self.num_divergent:
            total = self.num_chains * self.num_draws
            sentences.append(
                f"{self.num_divergent:,} of {total:,} draws diverged: parts of the posterior may be missing. Raise "
                "target_accept_prob, or look at the priors"
            )
        is_known = np.isfinite(self.r_hat) & np.isfinite(self.ess_bulk) & np.isfinite(self.ess_tail)
        if self.num_draws < FEWEST_DRAWS:
            sentences.append(f"{self.num_draws} draws of a chain are too few to tell anything. Draw more")
        elif not is_known.all():
            sentences += self._unknown(~is_known)
        if is_known.any():
            sentences += self._disagreement(is_known) + self._shortness(is_known)
        return tuple(sentences)

    def _unknown(self, is_unknown: np.ndarray) -> list[str]:
        """Says why some numbers have no effective draws: they do not vary, or the draws are too few to tell."""
        varies = self.sd > _HARDLY * np.abs(self.mean)
        sentences = []
        stuck, untold = np.flatnonzero(is_unknown & ~varies), np.flatnonzero(is_unknown & varies)
        if len(stuck):
            vary = "number hardly varies" if len(stuck) == 1 else "numbers hardly vary"
            sentences.append(
                f"{len(stuck)} {vary}, such as {self.names[stuck[0]]}, whose standard deviation is "
                f"{self.sd[stuck[0]]:.2g}: a chain is stuck, or a column is constant. Look at the rows and the priors"
            )
        if len(untold):
            others = f", and of {len(untold) - 1} more," if len(untold) > 1 else ""
            sentences.append(
                f"the effective draws of {self.names[untold[0]]}{others} cannot be told from {self.num_draws} draws. "
                "Draw more"
            )
        return sentences

    def _disagreement(self, is_known: np.ndarray) -> list[str]:
        """Says what is wrong between chains, or between the halves of one; an empty list where they agree."""
        worst = int(np.argmax(np.where(is_known, self.r_hat, -np.inf)))
        limit = _LARGEST_R_HAT if self.num_chains >= _MANY_CHAINS else _LARGEST_R_HAT_OF_FEW_CHAINS
        if self.r_hat[worst] <= limit:
            return []
        fix = "Draw more"
        if self.num_chains > 1 and self.is_aligned:
            fix = "They may be at different modes. Draw more, or look at each chain by itself"
        elif self.num_chains > 1:
            fix = "If they number the components differently, tfgmm.align(draws) mends it; else draw more"
        who = "chains, or halves of a chain, disagree" if self.num_chains > 1 else "the halves of the chain disagree"
        return [
            f"{who}: r_hat is {beside(self.r_hat[worst], limit)} for {self.names[worst]}, and should be at most "
            f"{limit}. {fix}"
        ]

    def _shortness(self, is_known: np.ndarray) -> list[str]:
        """Says what is wrong with the number of effective draws; an empty list where there are enough."""
        least = np.where(is_known, np.minimum(self.ess_bulk, self.ess_tail), np.inf)
        lowest, wanted = int(np.argmin(least)), _LEAST_PER_CHAIN * self.num_chains
        if least[lowest] >= wanted:
            return []
        worth, total = beside(float(least[lowest]), wanted), self.num_chains * self.num_draws
        return [
            f"{total:,} draws are worth only {worth} independent ones for {self.names[lowest]}, and should be worth "
            f"{wanted:,.0f}. Draw more"
        ]

    def __str__(self) -> str:
        lines = [f"{'':18}{'mean':>11}{'sd':>11}{'ess_bulk':>10}{'ess_tail':>10}{'r_hat':>8}"]
        columns = zip(self.names, self.mean, self.sd, self.ess_bulk, self.ess_tail, self.r_hat)
        lines += [f"{name:18}{m:11.4g}{s:11.4g}{b:10,.0f}{t:10,.0f}{r:8.3f}" for name, m, s, b, t, r in columns]
        return "\n".join([*lines, f"{self.num_divergent} divergent draws of {self.num_chains} x {self.num_draws}"])


def diagnose(draws: Draws) -> Diagnosis:
    """Computes effective draws and r_hat of every number, and counts divergences.

    They are rank-normalised and split, as ArviZ computes them, but ArviZ is not imported. For draws that are not
    aligned they also say whether chains number the components alike: compare `diagnose(tfgmm.align(draws))`.

    Args:
        draws: Draws of any sampler.

    Returns:
        `Diagnosis`; `print` shows it as a table.

    Source: Vehtari, Gelman, Simpson, Carpenter and Buerkner 2021, "Rank-normalization, folding, and localization".

    Example:

    >>> rng = np.random.default_rng(0)
    >>> draws = Draws(np.ones((4, 500, 1)), rng.normal(size=(4, 500, 1, 1)), 1 + rng.uniform(size=(4, 500, 1, 1)))
    >>> found = diagnose(draws)
    >>> found.names, found.problems()
    (('locs[0, 0]', 'scales[0, 0]'), ())
    """
    names, values = draws.numbers()
    diverging = draws.sample_stats.get("diverging")
    return Diagnosis(
        names,
        values.mean(axis=(0, 1)),
        values.std(axis=(0, 1)),
        bulk_sizes(values),
        tail_sizes(values),
        r_hats(values),
        0 if diverging is None else int(np.sum(diverging)),
        draws.num_chains,
        draws.num_draws,
        isinstance(draws, AlignedDraws),
    )


def warn_if_bad(draws: Draws, from_modes: bool, *, stacklevel: int) -> None:
    """Warns of what `diagnose` finds wrong.

    Args:
        draws: Draws to diagnose.
        from_modes: Whether the chains started at a mode; where not, the warning names modes as a reason.
        stacklevel: Stack level of `warnings.warn` in here, so that the user's line is shown.
    """
    problems = list(diagnose(draws).problems())
    if problems:
        if not from_modes:
            problems.append('with start="mode" all chains start near the best mode that was found')
        sentences = ". ".join(problem[0].upper() + problem[1:] for problem in problems)
        warnings.warn(f"{sentences}.", UserWarning, stacklevel=stacklevel)
