"""Commands read rows by URL as they read files of this machine, and write no secret of one anywhere."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from quick_fits import quickly
from rows_by_url import memory_file
from s3_servers import ENVIRONMENT, s3_server
from typer.testing import CliRunner

from tfgmm.cli import app as cli
from tfgmm.cli.run.settings import RunSettings, config_text, fingerprint_of, settings_from

ROOT = pathlib.Path(__file__).parents[2]
MODEL, ROWS = ROOT / "saved_models" / "old_faithful", ROOT / "training" / "data" / "old_faithful.csv"
SECRET_URL = "s3://KEY:SECRET@bucket/rows.csv?region=eu-west-1"


@pytest.fixture
def url() -> Iterator[str]:
    """The example rows in memory."""
    yield memory_file("/commands/old_faithful.csv", ROWS.read_bytes())
    fsspec.filesystem("memory").store.clear()


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, [*map(str, arguments)], env={"COLUMNS": "200"})


def outcome(*arguments: Any) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return str(result.output)


def refusal(*arguments: Any) -> str:
    result = run(*arguments)
    assert result.exit_code in (1, 2), result.output
    return str(result.output)


@pytest.mark.slow
def test_a_fit_to_a_url_is_the_fit_to_the_file(url: str, tmp_path: pathlib.Path) -> None:
    options = "--components", 2, "--restarts", 2, "--max-sweeps", 20
    place = tmp_path / "here", tmp_path / "there", tmp_path / "again"
    outcome(*quickly("fit", ROWS, "--out", place[0], *options))
    told = outcome(*quickly("fit", url, "--validation", url, "--out", place[1], *options))
    assert f"{url}: columns 'eruptions', 'waiting'" in told
    numbers = [(folder / "model" / "parameters.npz").read_bytes() for folder in place[:2]]
    assert numbers[0] == numbers[1]
    settings = json.loads((place[1] / "config.json").read_text("utf-8"))["settings"]
    assert settings["data"] == settings["validation"] == url
    outcome("fit", "--config", place[1] / "config.json", "--out", place[2])
    assert (place[2] / "model" / "parameters.npz").read_bytes() == numbers[0]


@pytest.mark.slow
def test_scores_pictures_reports_and_comparisons_of_a_url(url: str, tmp_path: pathlib.Path) -> None:
    for name, source in (("here.csv", ROWS), ("there.csv", url)):
        outcome("score", "--model", MODEL, "--in", source, "--out", tmp_path / name, "--keep")
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    assert "272 rows" in outcome(
        "plot", "--model", MODEL, "--data", url, "--out", tmp_path / "x.png", "--kind", "check"
    )
    assert f"the rows of {url}" in outcome("report", "--model", MODEL, "--data", url, "--out", tmp_path / "x.html")
    assert f"{url}: 272 rows" in outcome("compare", MODEL, MODEL, "--data", url)


@pytest.mark.slow
def test_nothing_that_is_written_or_said_of_a_url_holds_its_secrets(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    place = tmp_path / "run"
    with s3_server() as s3:
        s3.put("rows.csv", ROWS.read_bytes())
        url = s3.url("rows.csv", user="THEKEY:THESECRET@")
        options = "--components", 2, "--restarts", 1, "--validation", url
        told = [outcome(*quickly("fit", url, "--out", place, *options))]
        told.append(outcome("report", "--model", place, "--data", url, "--out", tmp_path / "x.html"))
        told.append(outcome("compare", place, place, "--data", url))
        told.append(outcome("score", "--model", place, "--in", url, "--out", tmp_path / "x.parquet"))
        told.append(outcome("fit", "--config", place / "config.json", "--out", tmp_path / "again"))
    assert "s3://rows/rows.csv: columns" in told[0] and "other rows" not in told[-1]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    for text in (*(words.encode() for words in told), *(path.read_bytes() for path in files)):
        assert b"THESECRET" not in text and b"THEKEY" not in text


@pytest.mark.parametrize("command", ["fit", "score", "plot", "report", "compare"])
def test_errors_on_urls_are_one_line_without_secrets(command: str, tmp_path: pathlib.Path) -> None:
    bad, model, out = "nobody://KEY:SECRET@host/rows.csv", ("--model", MODEL), ("--out", tmp_path / "x")
    arguments = {
        "fit": (bad, *out),
        "score": (*model, "--in", bad, "--out", tmp_path / "x.csv"),
        "plot": (*model, "--data", bad, "--out", tmp_path / "x.png"),
        "report": (*model, "--data", bad, "--out", tmp_path / "x.html"),
        "compare": (MODEL, MODEL, "--data", bad),
    }
    told = refusal(command, *arguments[command])
    assert "Received: 'nobody://host/rows.csv' (Protocol not known: nobody)" in told and "SECRET" not in told
    assert told.count("\n") == 1 and "Traceback" not in told and not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["fit", "score", "plot", "report", "sample", "export", "info", "verify", "compare"])
def test_models_and_settings_must_be_on_this_machine(command: str, tmp_path: pathlib.Path) -> None:
    place, out = "s3://KEY:SECRET@bucket/x?x=SECRET#SECRET", ("--out", tmp_path / "x.csv")
    arguments = {
        "fit": ("--config", place, "--out", tmp_path / "x"),
        "score": ("--model", place, "--in", ROWS, *out),
        "plot": ("--model", place, "--out", tmp_path / "x.png"),
        "report": ("--model", place, "--data", ROWS, "--out", tmp_path / "x.html"),
        "sample": ("--model", place, "--num-rows", 3, *out),
        "export": (place, "--onnx", tmp_path / "x.onnx"),
        "compare": (place, MODEL, "--data", ROWS),
    }
    told = refusal(command, *arguments.get(command, (place,)))
    assert "must be on this machine. Received: 's3://bucket/x" in told and "Copy it here first" in told
    assert "SECRET" not in told and "Traceback" not in told and not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["fit", "score", "plot", "report", "sample", "export"])
def test_places_to_write_must_be_on_this_machine(command: str, tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    place = "s3://KEY:SECRET@bucket/x"
    arguments = {
        "fit": (ROWS, "--out", place),
        "score": ("--model", MODEL, "--in", ROWS, "--out", f"{place}.csv"),
        "plot": ("--model", MODEL, "--out", f"{place}.png"),
        "report": ("--model", MODEL, "--data", ROWS, "--out", f"{place}.html"),
        "sample": ("--model", MODEL, "--num-rows", 3, "--out", f"{place}.csv"),
        "export": (MODEL, "--onnx", f"{place}.onnx"),
    }
    told = refusal(command, *arguments[command])
    assert "must be on this machine. Received: s3://bucket/x" in told and "copy it there when it is whole" in told
    assert "SECRET" not in told and not list(tmp_path.iterdir())


def test_a_run_notes_a_url_without_secrets_and_knows_its_rows_again() -> None:
    settings = settings_from({}, {"data": SECRET_URL, "num_components": 2, "validation": SECRET_URL})
    assert settings.data == SECRET_URL  # what is opened
    text = config_text(settings, [], {}, "0123")
    config = json.loads(text)
    noted = "s3://bucket/rows.csv?region=eu-west-1"
    assert config["settings"]["data"] == config["settings"]["validation"] == noted and "SECRET" not in text
    assert (
        fingerprint_of(config, settings) == fingerprint_of(config, RunSettings(data=noted, num_components=2)) == "0123"
    )
    assert fingerprint_of(config, RunSettings(data="s3://bucket/rows.csv", num_components=2)) is None


@pytest.mark.parametrize("workers", [1, 2])
def test_folder_by_url_is_scored_as_the_folder_is(tmp_path: pathlib.Path, workers: int) -> None:
    """By a filesystem of fsspec, which other processes open for themselves."""
    folder = tmp_path / "parts"
    folder.mkdir()
    for part in "ab":
        shutil.copy(ROWS, folder / f"{part}.csv")
    for out, source in (("here", folder), ("there", f"local://{folder}")):
        options = ("--model", MODEL, "--in", source, "--out", tmp_path / out, "--keep", "--workers", workers)
        text = outcome("score", *options)
        assert "2 files, 544 rows scored, all of them finite" in text, text
    for name in os.listdir(tmp_path / "here"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert len(os.listdir(tmp_path / "there")) == 3
