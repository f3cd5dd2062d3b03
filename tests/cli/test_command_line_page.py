"""docs/command_line.md shows what the commands print. As a script, this file runs them and renews the page."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import tempfile

import pytest
from printed_output import assert_shows
from typer.testing import CliRunner

from tfgmm.cli import app as cli
from tfgmm.common.atomic_file import written_whole

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "command_line.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCK = re.compile(r"^```txt\n\$ ([^\n]+)\n(.*?)```$", flags=re.M | re.S)  # a line that was typed, and what it printed
BLOCKS = BLOCK.findall(TEXT)
HERE = "/home/you/tfgmm"  # the folder where the page's examples were run, as the page calls it
RENEW = (
    "docs/command_line.md is behind. Renew it: PYTHONPATH=.:tests/helpers python tests/cli/test_command_line_page.py"
)
# differs from run to run, or from release to release
WHEN_AND_VERSION = re.compile(r"\d{4}-\d\d-\d\dT[\d:+]+|\d+\.\d+\.\d+")

NAMES = [command.name or command.callback.__name__ for command in cli.app.registered_commands]


def printed(line: str) -> str:
    """Returns what a line of the page prints in the current folder, on a terminal of 80 columns."""
    typed, _, cut = line.partition(" | ")
    words = shlex.split(typed)
    if words[0] == "head":
        text, cut = pathlib.Path(words[2]).read_text(encoding="utf-8"), f"head {words[1]}"
    else:
        assert words[0] == "tfgmm", line
        text = CliRunner().invoke(cli.app, words[1:], env={"COLUMNS": "80"}, prog_name="tfgmm").output
    lines = text.replace(os.getcwd(), HERE).rstrip().splitlines()
    end, _, number = cut.partition(" -")
    part = {"head": slice(int(number or 0)), "tail": slice(-int(number or 0), None), "": slice(None)}[end]
    return "\n".join(lines[part]) + "\n"


def is_help(line: str) -> bool:
    return line.endswith("--help")


def test_help_on_the_page_is_what_the_commands_print() -> None:
    told = {line: text for line, text in BLOCKS if is_help(line)}
    assert sorted(told) == sorted(["tfgmm --help", *(f"tfgmm {name} --help" for name in NAMES)])
    for line, text in told.items():
        assert text == printed(line), RENEW


def test_every_command_has_a_section_with_an_example() -> None:
    for name in NAMES:
        section = re.search(rf"^## {name}\n(.*?)^## ", TEXT, flags=re.M | re.S)
        assert section is not None, name
        lines = [line for line, _ in BLOCK.findall(section[1])]
        assert re.match(rf"tfgmm {name}\b(?! --help)", lines[0]) and f"tfgmm {name} --help" in lines
        assert "It leaves " in section[1] and f"[`{name}`](#{name})" in TEXT


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures_left")
def test_examples_on_the_page_print_what_it_says(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "training").symlink_to(ROOT / "training")
    monkeypatch.chdir(tmp_path)
    for line, text in BLOCKS:
        if not is_help(line):
            found, told = (WHEN_AND_VERSION.sub("#", words) for words in (printed(line), text))
            assert_shows(found, told)


def _renew() -> None:
    """Runs everything that the page shows, in a folder of its own, and writes the page with the output."""
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "training").symlink_to(ROOT / "training")
        os.chdir(folder)
        text = BLOCK.sub(lambda found: f"```txt\n$ {found[1]}\n{printed(found[1])}```", TEXT)
        with written_whole(PAGE, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8")
        os.chdir(ROOT)


if __name__ == "__main__":
    _renew()
