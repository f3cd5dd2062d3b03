"""`tfgmm info`: the card as a table, whatever it holds, and one line where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tfgmm.cli.app import app
from tfgmm.cli.info import CARD, card_rows


def test_info_prints_the_card(tmp_path: Path) -> None:
    card = {
        "num_components": 3,
        "column_names": ["eruptions", "[red]waiting"],
        "bound": -1132.25,
        "versions": {"tensorflow": "2.21.0"},
        "locs": [[1.0, 2.0], [3.0, 4.0]],
        "seed": None,
        "files": {},
        "fitted": True,
    }
    (tmp_path / CARD).write_text(json.dumps(card))
    result = CliRunner().invoke(app, ["info", str(tmp_path)], env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.stderr
    for text in ("num components", "eruptions, [red]waiting", "-1132.25", "2.21.0", "[1, 2], [3, 4]", "none", "yes"):
        assert text in result.stdout


@pytest.mark.parametrize(
    ("posterior", "words"),
    [
        ({"method": "mcmc", "r_hat": 1.004, "ess": 812.0}, "by Markov chains (r-hat 1.004, 812 effective draws)"),
        ({"method": "mean_field", "asked": "mean_field"}, "--posterior auto gives those of the exact posterior"),
        ({"method": "a later one"}, "a later one"),
        ("something", "something"),
    ],
)
def test_the_intervals_are_told_in_words(tmp_path: Path, posterior: Any, words: str) -> None:
    (tmp_path / CARD).write_text(json.dumps({"posterior": posterior}))
    result = CliRunner().invoke(app, ["info", str(tmp_path)], env={"COLUMNS": "250"})
    assert result.exit_code == 0 and words in result.stdout
    assert ("intervals are those of" in result.stdout) == (words.startswith(("by", "--")))


def test_card_rows_indent_what_is_nested_and_cut_long_lists() -> None:
    rows = list(card_rows({"data": {"num_data": 300000}, "weights": [0.1] * 20}))
    assert rows[:2] == [("data", ""), ("  num data", "300000")]
    assert rows[2][1].endswith("0.1, ... (20 in all)")


def test_card_rows_keep_file_names_and_join_short_parts() -> None:
    card = {"files": {"saved_model.pb": {"bytes": 98, "sha256": "55f7"}}}
    assert list(card_rows(card)) == [("files", ""), ("  saved_model.pb", "bytes 98; sha256 55f7")]


def test_a_card_cannot_steer_the_terminal() -> None:
    [(label, text)] = card_rows({"note\x1b[2J": "\x1b[31mred"})
    assert "\x1b" not in label + text


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_deeply_nested_card_is_cut(tmp_path: Path, opening: str, closing: str) -> None:
    content = f'{{"deep": {opening * 500}1{closing * 500}}}'
    (tmp_path / CARD).write_text(content)
    result = CliRunner().invoke(app, ["info", str(tmp_path)])
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout) < 2000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "an empty folder"),
        (b"{", "must be JSON"),
        (b"", "must be JSON"),
        (b"\xff\xfe", "must be JSON"),
        (b"[" * 100_000, "must be JSON"),
        (b"[1]", "a list"),
    ],
)
def test_bad_card_exits_with_1_and_one_line(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / CARD).write_bytes(content)
    result = CliRunner().invoke(app, ["info", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr
    assert "Received: " in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_what_is_no_folder_exits_with_1(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model"
    if kind == "file":
        path.touch()
    result = CliRunner().invoke(app, ["info", str(path)])
    assert result.exit_code == 1
    assert "`DIR` must be a folder that" in result.stderr
