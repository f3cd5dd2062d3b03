"""`tfgmm plot` draws what it says, of files of any size, whole or not at all."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from exports import FRAME, NAMES, PACKAGE_ROOT, ROWS
from scipy import stats
from scored_files import write
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.cli import plot
from tfgmm.data import matching
from tfgmm.plot import kinds
from tfgmm.plot.kinds import KINDS, Pictured


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, ["plot", *map(str, arguments)])


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """20 rows, one of them without a number, and a column that the mixture knows nothing of."""
    frame = FRAME.assign(height=[np.nan, *ROWS[1:, 1]], place="river")
    return write(tmp_path_factory.mktemp("rows") / "rows.csv", frame[["place", "depth", "width", "height"]])


@pytest.fixture(scope="module")
def scorer(whole: pathlib.Path) -> tfgmm.Scorer:
    return tfgmm.load_scorer(whole)


def pictured(scorer: tfgmm.Scorer, with_rows: bool = True) -> Pictured:
    return Pictured(scorer, scorer.draws, ROWS if with_rows else None, NAMES)


# --- What is drawn


@pytest.mark.parametrize("with_rows", [True, False])
def test_density_of_two_columns_is_that_of_scipy(scorer: tfgmm.Scorer, with_rows: bool) -> None:
    figure = KINDS["density"].draw(pictured(scorer, with_rows), (2, 0))
    ax = figure.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("depth", "width")
    mesh = ax.collections[0]
    corners = np.asarray(mesh.get_coordinates())
    x, y = (corners[0, :-1, 0] + corners[0, 1:, 0]) / 2, (corners[:-1, 0, 1] + corners[1:, 0, 1]) / 2
    mean = scorer.mean_parameters()
    weights, locs, scales = mean.weights[0, 0], mean.locs[0, 0], mean.scales[0, 0]
    expected = sum(
        weights[k]
        * stats.norm.pdf(x, locs[k, 2], scales[k, 2])[None]
        * stats.norm.pdf(y, locs[k, 0], scales[k, 0])[:, None]
        for k in range(len(weights))
    )
    found = np.asarray(mesh.get_array()).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6 * expected.max())
    peak = np.unravel_index(found.argmax(), found.shape)
    assert 0 < peak[0] < len(y) - 1 and 0 < peak[1] < len(x) - 1  # the mixture lies within the frame
    assert len(ax.patches) == len(weights)  # the components


def test_other_kinds_show_the_columns_asked_for(scorer: tfgmm.Scorer) -> None:
    shown = pictured(scorer)
    column = KINDS["column"].draw(shown, [1]).axes[0]
    assert column.get_xlabel() == "height" and "90 % band" in [text.get_text() for text in column.get_legend().texts]
    check = KINDS["check"].draw(shown, [2]).axes[0]
    assert check.get_xlabel() == "depth" and "20 rows" in [text.get_text() for text in check.get_legend().texts]
    panels = KINDS["pairs"].draw(shown, [2, 1]).axes
    assert len(panels) == 4 and (panels[2].get_xlabel(), panels[2].get_ylabel()) == ("depth", "height")
    members = KINDS["responsibilities"].draw(shown, [0, 2]).axes[0]
    points = np.concatenate([np.asarray(marks.get_offsets()) for marks in members.collections])
    assert sorted(map(tuple, points)) == sorted(map(tuple, ROWS[:, [0, 2]]))
    with pytest.raises(ValueError, match="`rows` must be given"):
        KINDS["check"].draw(pictured(scorer, False), [2])


def test_figure_is_as_high_as_equal_units_need(scorer: tfgmm.Scorer) -> None:
    wide = np.array([[0.0, 0.0], [10.0, 4.0]])
    flat, square, free = (kinds._height_of(limits, 7.0) for limits in (wide.T, wide.T[[0, 0]], wide.T * [[1], [9]]))
    assert flat < free < square <= 1.0


# --- What is written


@pytest.mark.parametrize(
    ("options", "name", "words"),
    [
        ((), "a.png", "densities and pairs of 'width', 'height', 'depth'"),
        (("--columns", "depth, 0"), "a.svg", "density of 'depth', 'width'"),
        (("--columns", "height"), "a.pdf", "density of 'height'"),
        (("--kind", "responsibilities"), "a.PNG", "components of rows over 'width', 'height'"),
        (("--kind", "check"), "a.svg", "rows and predicted rows of 'width'"),
    ],
)
def test_kind_and_columns_say_what_is_drawn(
    whole: pathlib.Path, rows: pathlib.Path, tmp_path: pathlib.Path, options: tuple[str, ...], name: str, words: str
) -> None:
    path = tmp_path / name
    done = run("--model", whole, "--data", rows, "--out", path, *options)
    assert (done.exit_code, done.stderr) == (0, "")
    band = "; band of the mean-field posterior" if path.suffix == ".pdf" or "check" in options else ""
    assert done.stdout == f"{path}: {words}; 20 rows, 1 with gaps{band}\n"
    head = {".svg": b"<?xml", ".pdf": b"%PDF-", ".png": b"\x89PNG"}[path.suffix.lower()]
    assert path.read_bytes().startswith(head) and os.listdir(tmp_path) == [name]


def test_same_rows_give_the_same_bytes_and_none_give_others(
    whole: pathlib.Path, rows: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    contents = []
    for given in (["--data", rows], ["--data", rows], []):
        assert (
            run("--model", whole, *given, "--columns", "1", "--out", tmp_path / "a.svg", "--overwrite").exit_code == 0
        )
        contents.append((tmp_path / "a.svg").read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_of_many_rows_a_sample_is_drawn(whole: pathlib.Path, tmp_path: pathlib.Path) -> None:
    many = pd.DataFrame(np.random.default_rng(0).normal(size=(20_500, 3)), columns=list(NAMES))
    path = write(tmp_path / "many.feather", many)
    done = run("--model", whole, "--data", path, "--columns", "1", "--out", tmp_path / "a.png")
    assert done.stdout.endswith("; 20,000 of 20,500 rows; band of the mean-field posterior\n"), done.stderr


def test_a_band_that_cannot_be_trusted_is_noted(light: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = pathlib.Path(shutil.copytree(light, tmp_path / "mixture"))
    card = json.loads((folder / "model_card.json").read_text())
    card["posterior"] = {"method": "laplace", "k_hat": 0.9}
    (folder / "model_card.json").write_text(json.dumps(card))
    done = run("--model", folder, "--columns", "0", "--out", tmp_path / "a.png")
    assert done.stdout.endswith("; band of the normal distribution at the mode of the exact posterior\n")
    assert done.stderr.startswith("Note: standard deviations may be 30 % or more too small")
    assert "ask for --posterior mcmc" in done.stderr


def test_rows_may_be_a_folder_of_files(tmp_path: pathlib.Path) -> None:
    for number, part in enumerate((FRAME[:8], FRAME[8:])):
        write(tmp_path / f"{number}.parquet", part[["depth", "width", "height"]].assign(id=number))
    with matching.opened(tmp_path, NAMES, 3) as rows:
        sample = matching.sample_of(rows)
    np.testing.assert_array_equal(sample.rows, ROWS)
    assert (sample.num_rows, sample.num_bad) == (20, 0)
    with pytest.raises(ValueError, match="`--data` must have 3 columns: the model was fitted on rows without"):
        matching.opened(tmp_path / "0.parquet", None, 3, "--data").__enter__()


def test_example_of_the_help_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    example = re.search(r"Example: tfgmm plot (.+?) Options", " ".join(run("--help").stdout.split()))
    assert example is not None
    monkeypatch.chdir(PACKAGE_ROOT)
    done = run(*example[1].replace("/tmp/geyser.png", str(tmp_path / "geyser.png")).split())
    assert (done.exit_code, done.stderr) == (0, "") and "272 rows" in done.stdout
    height, width, _ = matplotlib.image.imread(tmp_path / "geyser.png").shape
    assert width == 7 * plot._DOTS and 0.4 * width <= height <= width


# --- What cannot be

REFUSALS = {
    "an ending of nothing": (["--out", "a.gif"], 2, "`--out` must be a file whose name ends in .png, .svg, .pdf"),
    "an unknown column": (["--columns", "nope"], 1, "Received: 'nope'. The mixture's columns are 'width'"),
    "no column": (["--columns", ""], 2, "Received: nothing"),
    "a column twice": (["--columns", "0,width"], 2, "each once"),
    "too few columns": (["--columns", "0", "--kind", "density"], 2, "`--columns` must be 2 columns for --kind density"),
    "too many columns": (["--columns", "0,1", "--kind", "check"], 2, "`--columns` must be 1 column for --kind check"),
    "no model": (["--model", "none"], 1, "`--model` must be a folder"),
    "no rows": (["--data", "none.csv"], 1, "not found"),
    "a folder without tables": (["--data", "folder.png"], 1, "has no such file"),
    "other columns": (["--data", "other.csv"], 1, "without 'width', 'height', 'depth'"),
    "text": (["--data", "text.csv"], 1, "`--data` must"),
    "a header alone": (["--data", "head.csv"], 1, "no rows"),
    "not UTF-8": (["--data", "latin.csv"], 1, "UTF-8"),
    "no value": (["--data", "nan.csv"], 1, "none of them with a value"),
    "refused gaps": (["--data", "gap.csv", "--missing", "refuse"], 1, "`--data` must hold finite numbers"),
    "only gaps": (["--data", "gap.csv", "--drop-gaps"], 1, "`--data` must have rows without gaps"),
    "a file that is there": ([], 1, "Pass --overwrite"),
    "a folder": (["--out", "folder.png", "--overwrite"], 1, "`--out` must be a file"),
}
FILES = {
    "other.csv": b"a,b\n1,2\n",
    "text.csv": b"width,height,depth\nx,y,z\n",
    "head.csv": b"width,height,depth\n",
    "latin.csv": b"width,height,depth\n1,2,\xff\n",
    "nan.csv": b"width,height,depth\n,nan,NA\n",
    "gap.csv": b"width,height,depth\n1,nan,3\n",
}


@pytest.fixture
def place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    for name, contents in (FILES | {"a.png": b"mine"}).items():
        (tmp_path / name).write_bytes(contents)
    (tmp_path / "folder.png").mkdir()
    return tmp_path


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_one_line_and_changes_nothing(
    whole: pathlib.Path, rows: pathlib.Path, place: pathlib.Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr("tfgmm.common.quiet.load_tensorflow", lambda _: pytest.fail("it was loaded for nothing"))
    options, code, words = REFUSALS[case]
    before = sorted(os.listdir(place))
    out = [] if case == "a file that is there" else ["--out", "b.png"]
    done = run("--model", whole, "--data", rows, "--out", "a.png", *out, *options)
    assert (done.exit_code, done.stdout) == (code, ""), done.stderr
    assert done.stderr.startswith("Error: ") and words in done.stderr and done.stderr.count("\n") == 1
    assert "Received: " in done.stderr and "columns=" not in done.stderr and "`path`" not in done.stderr
    assert sorted(os.listdir(place)) == before and (place / "a.png").read_bytes() == b"mine"


def test_rows_are_asked_for_where_a_picture_is_about_them(whole: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = run("--model", whole, "--out", tmp_path / "a.png", "--kind", "responsibilities")
    assert done.exit_code == 2 and "`--data` must be given for --kind responsibilities" in done.stderr


def test_drawing_that_fails_and_ctrl_c_leave_what_stood_there(
    whole: pathlib.Path, place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(os.listdir(place))
    for failure in (OSError("no space"), KeyboardInterrupt()):
        with monkeypatch.context() as patch:
            patch.setattr(
                "matplotlib.figure.Figure.savefig", lambda *_, failure=failure, **__: (_ for _ in ()).throw(failure)
            )
            done = run("--model", whole, "--columns", "0", "--out", "a.png", "--overwrite")
        assert done.exit_code == 1 and done.stderr.count("\n") == 1
        assert sorted(os.listdir(place)) == before and (place / "a.png").read_bytes() == b"mine"
