"""Fits to report on, and a report's page taken apart by Python's own HTML parser."""

from __future__ import annotations

import base64
import functools
import pathlib
import re
import tempfile
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd

import tfgmm
from tfgmm.report import pictures as report_pictures

FAITHFUL = pathlib.Path(__file__).parents[2] / "training" / "data" / "old_faithful.csv"
HOSTILE = (
    "<script>alert(1)</script>",
    "x" * 300,
    "price ($) & $\\frac$",
    "\u6c34\u6e29 (\u00b0C)",
    "a\"b'\u202e\x01</td>",
)
SHOWN = (*HOSTILE[:4], "a\"b'??</td>")  # what steers a screen is a question mark
VOID = {"meta", "img", "br", "link"}


def hostile_frame() -> pd.DataFrame:
    """Returns 240 rows of five columns of very different units, in three groups that lie far apart."""
    generator = np.random.default_rng(0)
    rows = np.concatenate([generator.normal(loc, 1.0, (80, 5)) for loc in 9.0 * generator.normal(size=(3, 5))])
    return pd.DataFrame(rows * [1.0, 10.0, 100.0, 1e3, 1e-4] + [0.0, 0.0, 0.0, 1e6, 0.0], columns=list(HOSTILE))


@functools.cache
def fit_of(name: str) -> tfgmm.FitResult:
    """Returns the fit "faithful", of two columns, or "hostile", of five: once in a process."""
    if name == "faithful":
        return tfgmm.fit_mixture(FAITHFUL, 2, covariance="full", restarts=2)
    return tfgmm.fit_mixture(hostile_frame(), 3, restarts=2)


def text_of(name: str) -> str:
    """Returns the report of that fit, with pictures where these are drawn."""
    return _text_of(name, report_pictures.drawings)


@functools.cache
def _text_of(name: str, drawings: Any) -> str:
    del drawings  # a page made while a test leaves pictures out is not the page of others
    with tempfile.TemporaryDirectory() as folder:
        data = FAITHFUL if name == "faithful" else hostile_frame()
        return tfgmm.write_report(fit_of(name), data, f"{folder}/report.html").read_text("utf-8")


class Page(HTMLParser):
    """A page in parts: `tags` with attributes, `tables` by class as rows of cells, `pre` blocks, all words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.pre: list[str] = []
        self.words = ""
        self._open: list[str] = []
        self._table: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._table = self.tables.setdefault(dict(attributes)["class"], [])
        elif tag == "tr":
            self._table.append([])
        elif tag in ("td", "th"):
            self._table[-1].append("")
        elif tag == "pre":
            self.pre.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" in self._open:
            return
        self.words += data
        if "pre" in self._open:
            self.pre[-1] += data
        elif {"td", "th"} & set(self._open):
            self._table[-1][-1] += " ".join(data.split()) if "\n" in data else data

    def pictures(self) -> list[tuple[str, bytes]]:
        """Returns kind and contents of every picture."""
        found = [
            re.fullmatch(r"data:image/([\w+]+);base64,(.+)", attributes["src"])
            for tag, attributes in self.tags
            if tag == "img"
        ]
        return [(match[1], base64.b64decode(match[2], validate=True)) for match in found if match]


def estimate_in(cell: str) -> tuple[str, str, str]:
    """Returns the three numbers of "median [low, high]" as they are written."""
    [found] = re.findall(r"(\S+) ?\[(\S+), (\S+)\]", cell)
    return found


def half_a_digit(written: str) -> float:
    """Returns half a unit of the last digit of a number, as far as rounding may have moved it."""
    digits, _, exponent = written.partition("e")
    decimals = len(digits.partition(".")[2])
    return 0.5000001 * 10.0 ** (int(exponent or 0) - decimals)
