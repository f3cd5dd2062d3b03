"""What `tfgmm fit` refuses, in one line, before TensorFlow takes its seconds."""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from exports import PACKAGE_ROOT
from typer.testing import CliRunner

from tfgmm.cli import app as cli

GEYSER = PACKAGE_ROOT / "training" / "data" / "old_faithful.csv"


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, ["fit", *map(str, arguments)])


def written(name: str, content: bytes) -> Callable[[pathlib.Path], list[str]]:
    def write(folder: pathlib.Path) -> list[str]:
        (folder / name).write_bytes(content)
        return [str(folder / name), "--components", "2"]

    return write


def with_options(*options: str) -> Callable[[pathlib.Path], list[str]]:
    return lambda folder: [str(GEYSER), *options]


def config(content: Any) -> Callable[[pathlib.Path], list[str]]:
    def write(folder: pathlib.Path) -> list[str]:
        (folder / "config.json").write_text(content if isinstance(content, str) else json.dumps(content))
        return ["--config", str(folder / "config.json")]

    return write


A_RUN = {"format": "tfgmm.run", "format_version": 1}
REFUSALS: dict[str, tuple[Callable[[pathlib.Path], list[str]], int, str]] = {
    "no such file": (lambda folder: [str(folder / "none.csv"), "--components", "2"], 1, "`DATA`.*not found"),
    "a folder without tables": (lambda folder: [str(folder), "--components", "2"], 1, "`DATA`.*no such file"),
    "a file of another kind": (written("a.txt", b"1"), 1, "`DATA`.*ends in .csv"),
    "all text": (written("a.csv", b"a,b\nx,y\n"), 1, "`DATA`.*column 'a' \\(text"),
    "a header only": (written("a.csv", b"a,b\n"), 1, "`DATA`.*no rows"),
    "nothing": (written("a.csv", b""), 1, "`DATA`.*empty"),
    "not UTF-8": (written("a.csv", "a,b\n1,\xe9\n".encode("latin-1")), 1, "`DATA`.*UTF-8"),
    "a damaged file": (written("a.parquet", b"PAR1PAR1"), 1, "`DATA`.*damaged"),
    "no components": (with_options("--components", "0"), 2, "`--components`.*at least 1.*0"),
    "components of text": (with_options("--components", "some"), 2, "`--components`.*'some'"),
    "a falling range of components": (with_options("--components", "10:1"), 2, "`--components`.*'10:1'"),
    "a range of components without ends": (with_options("--components", ":"), 2, "`--components`.*':'"),
    "a range of components without an end": (with_options("--components", "1:"), 2, "`--components`.*'1:'"),
    "a range of components with a step": (with_options("--components", "1:2:3"), 2, "`--components`.*'1:2:3'"),
    "a range of letters": (with_options("--components", "a:b"), 2, "`--components`.*'a:b'.*1:10"),
    "components from zero": (with_options("--components", "0:3"), 2, "`--components`.*at least 1.*0"),
    "a list of components with a gap": (with_options("--components", "2,,4"), 2, "`--components`.*'2,,4'"),
    "too many numbers of components": (with_options("--components", "1:999999999"), 2, "`--components`.*at most 1,000"),
    "no sweeps": (with_options("--components", "2", "--max-sweeps", "0"), 2, "`--max-sweeps`.*at least 1.*0"),
    "no data": (lambda folder: ["--components", "2"], 2, "`DATA` must be given"),
    "an unknown covariance": (with_options("--components", "2", "--covariance", "round"), 2, "`--covariance`.*'round'"),
    "an unknown covariance among several": (
        with_options("--covariance", "full,round"), 2, "`--covariance`.*list of them.*'round' in \\['full', 'round'\\]"
    ),
    "covariance of nothing": (with_options("--covariance", ","), 2, "`--covariance` must name at least one shape"),
    "auto among shapes": (with_options("--covariance", "auto,full"), 2, "`--covariance`.*Received: 'auto' in"),
    "unknown prior": (with_options("--components", "2", "--weight-prior", "none"), 2, "`--weight-prior`.*'none'"),
    "no restarts": (with_options("--components", "2", "--restarts", "0"), 2, "`--restarts`.*0"),
    "a negative seed": (with_options("--components", "2", "--seed", "-1"), 2, "`--seed`.*-1"),
    "unknown columns": (with_options("--components", "2", "--columns", "a"), 1, "`--columns`.*`DATA`.*'a', not found"),
    "no columns": (with_options("--components", "2", "--columns", ""), 1, "`--columns`.*'eruptions', 'waiting'"),
    "columns asked twice": (with_options("--components", "2", "--columns", "a,b,a"), 2, "`--columns`.*once.*a,b,a"),
    "no such validation": (
        with_options("--components", "2", "--validation", "none.csv"), 1, "`--validation`.*not found"
    ),
    "no such config": (lambda folder: ["--config", str(folder / "none.json")], 1, "`--config`.*nothing of that name"),
    "a config that is no JSON": (config("{"), 1, "`--config`.*something else"),
    "a config of another version": (config({**A_RUN, "format_version": 9}), 1, "`--config`.*version 9"),
    "a config without settings": (config(A_RUN), 1, "`--config`.*no settings"),
    "a config with an unknown setting": (config({**A_RUN, "settings": {"speed": 1}}), 1, "unknown setting 'speed'"),
    "a config without a number": (
        config({**A_RUN, "settings": {"data": "/rows.csv", "num_components": []}}), 2, "`--components`.*Received: 0"
    ),
    "a config with a wrong number": (
        config({**A_RUN, "settings": {"data": "/rows.csv", "num_components": [2, "3"]}}), 2, "`--components`.*'3'"
    ),
    "a config with a wrong setting": (config({**A_RUN, "settings": {"data": 1, "num_components": 2}}), 2, "`DATA`.*1"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_one_line(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr("tfgmm.common.quiet.load_tensorflow", lambda _: pytest.fail("it was loaded for nothing"))
    arguments, code, words = REFUSALS[case][0](tmp_path), *REFUSALS[case][1:]
    before = sorted(os.listdir(tmp_path))
    done = run(*arguments, "--out", tmp_path / "run")
    assert done.exit_code == code, done.output
    assert done.stderr.startswith("Error: `") and done.stderr.count("\n") == 1
    assert re.search(words, done.stderr), done.stderr
    assert "Received: " in done.stderr and done.stderr.rstrip("\n").isprintable()
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("below", ["run", "deep/run"])
def test_place_that_cannot_be_written_is_refused_before_the_fit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    monkeypatch.setattr("tfgmm.common.quiet.load_tensorflow", lambda _: pytest.fail("it was loaded for nothing"))
    (tmp_path / "file").touch()
    done = run(*with_options("--components", "2")(tmp_path), "--out", tmp_path / "file" / below)
    assert done.exit_code == 1 and "`--out` must be a folder that can be written" in done.stderr, done.output
    assert done.stderr.count("\n") == 1 and os.listdir(tmp_path) == ["file"]


def test_what_fit_mixture_refuses_is_told_in_the_words_of_the_command(tmp_path: pathlib.Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,\n")
    done = run(tmp_path / "rows.csv", "--components", 1, "--missing", "refuse", "--out", tmp_path / "run")
    assert done.exit_code == 1 and re.match("Error: `DATA` must .*'b'", done.stderr), done.stderr
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    done = run(tmp_path / "rows.csv", "--components", 3, "--out", tmp_path / "run")
    assert done.exit_code == 1 and "`--components` must be at most" in done.stderr
    assert done.stderr.count("\n") == 1 and os.listdir(tmp_path) == ["rows.csv"]
