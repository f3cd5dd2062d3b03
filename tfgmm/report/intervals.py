"""How good the intervals of a page are, in words for people who have not heard of posteriors."""

from __future__ import annotations

from tfgmm.posterior.record import (
    FEWEST_EFFECTIVE,
    LARGEST_K_HAT,
    LARGEST_R_HAT,
    LEAST_EFFICIENCY,
    MEAN_FIELD,
    PosteriorRecord,
)

_TOO_NARROW = (
    "The intervals are those of the fit itself, the mean-field posterior. It takes the memberships of rows and the "
    "components for independent of each other: where components overlap the intervals are too narrow, in bad cases a "
    "quarter as wide as they should be."
)
_EXACT = "The exact posterior, which allows for that, is drawn from"
_HOW = {
    "result": "by result.with_posterior(rows), or by tfgmm fit in a shell.",
    "result.best.model": "by result.best.with_posterior(rows), or by tfgmm fit in a shell.",
    None: 'where the rows are fitted: by tfgmm fit in a shell, or by tfgmm.fit_mixture(..., posterior="auto").',
}
_CHECKS = {
    "importance": f"k-hat below {LARGEST_K_HAT:g} and {FEWEST_EFFECTIVE:g} effective draws or more",
    "mcmc": f"r-hat below {LARGEST_R_HAT:g} and {FEWEST_EFFECTIVE:g} effective draws or more",
    "laplace": f"{100.0 * LEAST_EFFICIENCY:.0f} % of the draws effective or more, k-hat below {LARGEST_K_HAT:g}",
}


def about_intervals(posterior: PosteriorRecord, exporting: str | None) -> list[str]:
    """Writes how the intervals came about and how good they are, in whole sentences.

    Args:
        posterior: How the draws were made that they are read from.
        exporting: How Python calls the mixture, see `Fitted`; None for an export.
    """
    if posterior.method == MEAN_FIELD:
        return [_TOO_NARROW, f"{_EXACT} {_HOW.get(exporting, _HOW[None])}"]
    [how, *_] = posterior.sentences()
    sentences = [f"{how[:1].upper()}{how[1:]}. They allow for overlapping components, and so do bands in pictures."]
    if posterior.is_trusted:
        return [*sentences, f"The draws passed their check ({_CHECKS[posterior.method]}): the widths can be believed."]
    return [
        *sentences,
        f"The draws did not pass their check ({_CHECKS[posterior.method]}): see what to be careful about.",
    ]
