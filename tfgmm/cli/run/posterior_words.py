"""What is said of posteriors, in the words of the command line."""

from __future__ import annotations

import re


def posterior_in_our_words(text: str) -> str:
    """Rewrites the choice of a posterior alone.

    Example:

    >>> posterior_in_our_words('ask for posterior="importance" or "mcmc"')
    'ask for --posterior importance or mcmc'
    """
    text = re.sub(r'posterior="(\w+)" or "(\w+)"', r"--posterior \1 or \2", text)
    return re.sub(r'posterior="(\w+)"', r"--posterior \1", text)
