"""Our docstrings as mkdocstrings understands them: examples become blocks of code, "Source: ..." stays a line."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^Example:\n\n(?=>>> )", flags=re.M)
# from a prompt to the next empty line
_DOCTEST = re.compile(r"^(>>> .*(?:\n.+)*)", flags=re.M)


class DocstringsForReaders(griffe.Extension):
    """Rewrites the docstring of every object that griffe reads, before it is split into sections."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Changes the docstring of `obj`, if it has one."""
        if obj.docstring is not None:
            obj.docstring.value = readable(obj.docstring.value)


def readable(docstring: str) -> str:
    """Returns the docstring with every doctest fenced, options for doctest taken out."""
    text = re.sub(r"  # doctest: .*", "", docstring)
    text = _EXAMPLE.sub("**Example**\n\n", text)
    return _DOCTEST.sub(lambda found: f"```pycon\n{textwrap.dedent(found[1])}\n```", text)
