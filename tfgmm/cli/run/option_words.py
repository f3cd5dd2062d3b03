"""What functions say of their arguments, in the words of `tfgmm fit`."""

from __future__ import annotations

import re

from tfgmm.cli import shared
from tfgmm.cli.run.posterior_words import posterior_in_our_words

# What functions call their arguments, and what the command line calls them
_OPTIONS = {
    "`data`": "`DATA`",
    "`num_components`": "`--components`",
    "`validation_data`": "`--validation`",
    "num_components=": "--components ",
    "`max_sweeps`": "`--max-sweeps`",
    "`criteria_at`": "`--criteria-at`",
    'Leave out criteria_at="mode"': "Leave out --criteria-at",
    "max_sweeps, or tolerance": "--max-sweeps",
    **{f"`{name}`": f"`--{name}`" for name in ("checkpoint", "columns", "config", "covariance", "missing", "moves")},
    **{f"`{name}`": f"`--{name}`" for name in ("noise", "posterior", "restarts", "seed")},
    "`sample_weight`": "`--weights`",
    "`weights`": "`--weight-prior`",
    **{f"`{name}`": f"`--{name}`" for name in ("delimiter", "decimal", "encoding")},
    "`skip_rows`": "`--skip-rows`",
}


def in_our_words(text: str) -> str:
    """Rewrites what a function says of its arguments in the words of the command line."""
    for name, option in _OPTIONS.items():
        text = text.replace(name, option)
    text = shared.with_drop_gaps(posterior_in_our_words(text))
    return re.sub(r"columns=\[(.*?)\]", lambda match: f"--columns {_as_option(match[1])}", text)


def _as_option(names: str) -> str:
    """Writes the names of a Python list as `--columns` takes them."""
    return names.replace("', '", ",").replace("'", '"')
