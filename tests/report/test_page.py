"""A report says what the model says, in the digits it shows; no untrusted text runs; nothing good is lost."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from report_pages import FAITHFUL, SHOWN, Page, estimate_in, fit_of, half_a_digit, hostile_frame, text_of
from scipy import stats
from tables_of_rows import message_of

import tfgmm
from tfgmm.report import facts
from tfgmm.report import pictures as report_pictures


@pytest.fixture
def faithful():
    return fit_of("faithful")


@pytest.fixture
def hostile():
    return fit_of("hostile")


@pytest.fixture(scope="module")
def one_column():
    """Two groups of one column, far apart, for which four components are too many."""
    return tfgmm.fit_mixture(one_column_rows(), 4, weights="stick_breaking", restarts=2)


def one_column_rows():
    generator = np.random.default_rng(3)
    return np.concatenate([generator.normal(-5.0, 1.0, 100), generator.normal(5.0, 1.0, 60)])[:, None]


@pytest.fixture
def no_pictures(monkeypatch):
    """For tests of the words alone, without the seconds that drawing takes."""
    monkeypatch.setattr(report_pictures, "drawings", lambda *_: ())


def page_of(result, data, folder, **options):
    return Page(tfgmm.write_report(result, data, folder / "r.html", overwrite=True, **options).read_text("utf-8"))


def cautions_in(page):
    found = re.findall(r"What to be careful about\s+(.*?)\s+What was fitted", page.words, flags=re.S)
    return found[0].split("\n\n")


# --- What it says


@pytest.mark.parametrize("name", ["faithful", "hostile"])
def test_every_number_of_the_components_is_the_models_to_the_digits_shown(name):
    model = fit_of(name).model
    lines = Page(text_of(name)).tables["components"][1:]
    draws = model.draws(1_000, seed=0)
    size = model.num_features + 1
    assert len(lines) == model.num_components * size
    weights = []
    for head, *rows in (lines[start : start + size] for start in range(0, len(lines), size)):
        [k, weight] = re.fullmatch(r"Component (\d+): weight ?(.*\]), about .* rows", head[0]).groups()
        weights.append(check_estimate(weight, draws.weights[0, :, int(k)]))
        for index, (_, mean, scale) in enumerate(rows):
            check_estimate(mean, draws.locs[0, :, int(k), index])
            check_estimate(scale, draws.scales[0, :, int(k), index])
    assert weights == sorted(weights, reverse=True)


def check_estimate(cell, values):
    """Returns the median, after all three numbers were compared with order statistics of the draws."""
    ordered = np.sort(values)
    for written, share in zip(estimate_in(cell), (0.5, 0.025, 0.975)):
        below, part = divmod(share * (len(ordered) - 1), 1.0)
        expected = ordered[int(below)] + part * (ordered[int(below) + 1] - ordered[int(below)])
        assert abs(float(written) - expected) <= half_a_digit(written) + 1e-12 * abs(expected)
    low, high = (float(written) for written in estimate_in(cell)[1:])
    assert low < high  # enough digits to tell them apart
    return float(estimate_in(cell)[0])


def test_intervals_of_means_are_those_of_the_posterior_in_closed_form(faithful):
    model = faithful.model
    lines = Page(text_of("faithful")).tables["components"][1:]
    standard_error = np.sqrt(0.025 * 0.975 / 1_000) / stats.norm.pdf(1.96)  # of a quantile of 1,000 draws, in sd
    for start in (0, 3):
        k = int(re.match(r"Component (\d+)", lines[start][0])[1])
        for index in range(2):
            loc, sd = float(model.locs[k, index]), float(model.scales[k, index])
            assert lines[start + 1 + index][0] == ("eruptions", "waiting")[index]
            _, low, high = estimate_in(lines[start + 1 + index][1])
            for written, expected in ((low, loc - 1.96 * sd), (high, loc + 1.96 * sd)):
                assert abs(float(written) - expected) < 4 * standard_error * sd + half_a_digit(written)


def test_memberships_are_those_of_scipys_densities(faithful):
    parameters = faithful.model.mean_parameters()
    rows = pd.read_csv(FAITHFUL).to_numpy()
    joint = np.stack(
        [
            parameters.weights[0, 0, k]
            * stats.multivariate_normal(parameters.locs[0, 0, k], parameters.covariances[0, 0, k]).pdf(rows)
            for k in range(2)
        ]
    )
    shares = joint / joint.sum(axis=0)
    lines = Page(text_of("faithful")).tables["memberships"]
    assert lines[0] == ["component", "rows", "above 0.99", "above 0.9", "above 0.5"]
    for number, count, *written in lines[1:]:
        best = shares[int(number)][shares.argmax(axis=0) == int(number)]
        expected = [f"{100 * np.mean(best > level):.1f} %" for level in (0.99, 0.9, 0.5)]
        assert (count, written) == (str(len(best)), expected)
    assert sum(int(line[1]) for line in lines[1:]) == 272


def test_what_was_fitted_and_the_columns_are_stated(faithful):
    page = Page(text_of("faithful"))
    for shown in ("272", "full: widths and correlations", f"{faithful.bic:,.1f}", f"{faithful.aic:,.1f}"):
        assert shown in page.words
    assert faithful.model.data_summary.fingerprint in page.words
    frame = pd.read_csv(FAITHFUL)
    for (name, *written), (column, values) in zip(page.tables["columns"][1:], frame.items()):
        assert name == column
        for number, expected in zip(written, (values.mean(), values.std(ddof=0), values.min(), values.max())):
            assert float(number) == pytest.approx(expected, rel=1e-2)


def test_a_name_of_a_column_is_shown_and_never_runs():
    text = text_of("hostile")
    page = Page(text)
    assert [line[0] for line in page.tables["columns"][1:]] == list(SHOWN)
    assert [line[0] for line in page.tables["components"][2:7]] == list(SHOWN)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "a"})
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "overflow-wrap: anywhere" in text


@pytest.mark.parametrize("name", ["faithful", "hostile"])
def test_page_holds_all_it_needs(name):
    text = text_of(name)
    page = Page(text)
    rest = re.sub(r'src="data:image/[^"]+"', "", text)
    assert re.findall(r"https?:|//|url\(|@import|src=|href=", rest) == []
    assert "default-src 'none'; img-src data:;" in rest  # and the browser holds it to that
    for rule in ("@media (max-width: 480px)", "@media print", "prefers-color-scheme: dark", "width=device-width"):
        assert rule in rest
    pictures = page.pictures()
    assert len(pictures) == sum(tag == "img" for tag, _ in page.tags) >= 2
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")
    for kind, contents in pictures:
        if kind == "svg+xml":
            assert ElementTree.fromstring(contents).tag == "{http://www.w3.org/2000/svg}svg"
        else:
            assert (kind, contents[:4]) == ("png", b"\x89PNG")
    assert (pictures[0][0] == "png") is (name == "hostile")  # ten panels of dots; one is small enough for SVG
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids) >= 7
    assert len(text) < 1_000_000


# --- What it warns of


def test_two_groups_far_apart_give_nothing_to_be_careful_about(tmp_path):
    rows = one_column_rows()
    result = tfgmm.fit_mixture(rows, 2, restarts=2)
    page = page_of(result, rows, tmp_path)
    assert "Nothing was found" in cautions_in(page)[0]
    assert "100.0 % of the rows belong" in " ".join(page.words.split())
    assert len(page.pictures()) == 2 and "stayed at" in page.words  # a level loss is said, not drawn


@pytest.mark.usefixtures("no_pictures")
def test_every_caution_is_given_where_it_is_due(one_column, hostile, tmp_path):
    rows = one_column_rows()
    before = cautions_in(page_of(one_column, rows, tmp_path))
    assert [sentence for sentence in before if "no rows" in sentence]
    assert "prior, not the data" in " ".join(before) and "did not converge" not in " ".join(before)

    stopped = dataclasses.replace(one_column, converged=False)
    assert "did not converge" in " ".join(cautions_in(page_of(stopped, rows, tmp_path)))

    first = one_column.restarts[0]
    worse = dataclasses.replace(first, elbo=first.elbo - 1234.5)
    torn = dataclasses.replace(one_column, restarts=(first, worse, worse))
    said = " ".join(cautions_in(page_of(torn, rows, tmp_path)))
    assert "1 of 3 reached the best solution, 2 ended in worse ones, 1,234.5 nats below" in said
    assert "1,234.5 nats speak clearly against the others" in said and "nearly as well" not in said
    assert "Only one start found it" in said
    rival = dataclasses.replace(first, elbo=first.elbo - 2.5)
    said = " ".join(
        cautions_in(page_of(dataclasses.replace(torn, restarts=(first, first, rival, worse)), rows, tmp_path))
    )
    assert "2 of 4 reached the best solution, 2 ended in worse ones, 2.5 to 1,234.5 nats below" in said
    assert "nearly as well in another way" in said and "clearly" not in said and "Only one start" not in said
    assert "starts disagree" not in " ".join(
        cautions_in(page_of(dataclasses.replace(torn, restarts=(first, first)), rows, tmp_path))
    )

    others = np.append(rows, [[1e4]], axis=0)
    said = " ".join(cautions_in(page_of(one_column, others, tmp_path)))
    assert "not the rows that the mixture was fitted on: 161 rows are shown here, it was fitted on 160" in said
    assert "1 row lies farther out than any of 100,000 rows" in said
    assert "1 of 161 rows is more than 100 spreads from the centre" in said  # as fitting them would have warned
    assert "farther out" not in " ".join(before) and "not the rows" not in " ".join(before)
    assert cautions_in(page_of(hostile, hostile_frame(), tmp_path))[0].startswith("Nothing was found")


@pytest.mark.usefixtures("no_pictures")
def test_overlapping_components_and_handfuls_of_rows_are_named(tmp_path):
    generator = np.random.default_rng(1)
    near = np.concatenate([generator.normal(0.0, 1.0, 300), generator.normal(3.0, 1.0, 300)])
    rows = np.append(near, [40.0, 40.5, 41.0])[:, None]
    result = tfgmm.fit_mixture(rows, 3, restarts=3)
    locs = result.locs[:, 0]
    handful, first, second = int(np.argmax(locs)), *sorted(map(int, np.argsort(locs)[:2]))
    said = " ".join(cautions_in(page_of(result, rows, tmp_path)))
    assert f"Component {handful} rests on fewer than 5 rows: outliers" in said
    assert f"Components {first}, {second} overlap others" in said


@pytest.mark.usefixtures("no_pictures")
def test_more_rows_than_are_looked_at_are_stated(one_column, tmp_path):
    rows = np.random.default_rng(0).normal(5.0, 1.0, (20_500, 1))
    page = page_of(one_column, rows, tmp_path)
    assert "From 20,000 of the 20,500 rows" in page.words
    assert sum(int(line[1].replace(",", "")) for line in page.tables["memberships"][1:]) == 20_000


@pytest.mark.usefixtures("no_pictures")
def test_tables_end_and_say_so(one_column, tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "MOST_LINES", 2)
    page = page_of(one_column, one_column_rows(), tmp_path)
    assert len(page.tables["components"]) == 1 + 2 * 2 and len(page.tables["memberships"]) == 1 + 2
    assert "2 lighter components are left out here" in page.words
    assert "2 smaller components are left out here" in page.words


# --- Options


@pytest.mark.usefixtures("no_pictures")
def test_title_is_the_heading_and_is_escaped(one_column, tmp_path):
    plain = page_of(one_column, one_column_rows(), tmp_path)
    assert plain.words.count("Mixture of 4 Gaussians") == 2
    titled = page_of(one_column, one_column_rows(), tmp_path, title="<b>A & B</b>")
    assert titled.words.count("<b>A & B</b>") == 2 and "Mixture of 4" not in titled.words


@pytest.mark.usefixtures("no_pictures")
def test_code_on_the_page_runs(one_column, tmp_path):
    rows = one_column_rows()
    file = tmp_path / "it's <b>\" $(x) \\n.keras"
    one_column.model.save(file)
    page = page_of(one_column, rows, tmp_path, model_path=file)
    [code] = page.pre  # the command scores exported folders only
    names = {"rows": rows[:5]}
    exec(code, names)
    np.testing.assert_array_equal(names["scorer"].log_prob(rows[:5]), one_column.model.log_prob(rows[:5]))


@pytest.mark.usefixtures("no_pictures", "no_graph")
def test_exported_folder_is_loaded_and_scored_from_where_it_is(one_column, tmp_path):
    moved = tfgmm.export_model(one_column.model, tmp_path / "it's <b>; $(x)")
    page = page_of(one_column, one_column_rows(), tmp_path, model_path=str(moved))
    code, command = page.pre
    exec(code, names := {"rows": one_column_rows()})
    assert isinstance(names["scorer"], tfgmm.Scorer)
    words = shlex.split(command)
    assert words[:4] == ["tfgmm", "score", "--model", str(moved)]
    without = page_of(one_column, one_column_rows(), tmp_path)
    assert "tfgmm.export_model(result, 'mixture')" in without.pre[0] and str(moved) not in without.words


def test_users_style_and_order_of_columns_change_nothing(faithful, tmp_path, no_figures_left):
    turned = pd.read_csv(FAITHFUL)[["waiting", "eruptions"]]
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "text.usetex": True}):
        again = tfgmm.write_report(faithful, turned, tmp_path / "deep" / "report.html")
    assert again.read_text("utf-8") == text_of("faithful")


# --- Refusals


@pytest.mark.usefixtures("no_pictures")
def test_a_page_that_is_there_is_kept_unless_it_may_go(one_column, tmp_path, monkeypatch):
    rows, path = one_column_rows(), tmp_path / "report.html"
    path.write_text("mine")
    assert "overwrite=True" in message_of(FileExistsError, tfgmm.write_report, one_column, rows, path)
    message_of(FileExistsError, tfgmm.write_report, one_column, rows, tmp_path, overwrite=True)
    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        message = message_of(OSError, tfgmm.write_report, one_column, rows, path, overwrite=True)
    assert "No space left" in message and path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["report.html"]
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (tmp_path / f".report.html.{dead.stdout.strip()}.abc.writing").mkdir()
    assert tfgmm.write_report(one_column, rows, str(path), overwrite=True) == path
    assert os.listdir(tmp_path) == ["report.html"] and path.read_text("utf-8").startswith("<!DOCTYPE html>")


def test_wrong_arguments_are_named_and_nothing_is_written(one_column, tmp_path):
    rows, path = one_column_rows(), tmp_path / "report.html"
    write = tfgmm.write_report
    assert "`result`" in message_of(TypeError, write, {"model": one_column.model}, rows, path)
    assert "`data`" in message_of(ValueError, write, one_column, np.zeros((3, 2)), path)
    assert "`path`" in message_of(TypeError, write, one_column, rows, 3)
    assert "`title`" in message_of(TypeError, write, one_column, rows, path, title=3)
    assert "`title`" in message_of(ValueError, write, one_column, rows, path, title=" ")
    assert "`model_path`" in message_of(TypeError, write, one_column, rows, path, model_path=3)
    (tmp_path / "folder").mkdir()
    for missing in ("none", "none.keras", "folder"):
        assert "`model_path`" in message_of(
            FileNotFoundError, write, one_column, rows, path, model_path=tmp_path / missing
        )
    assert os.listdir(tmp_path) == ["folder"]


def test_moves_between_components_are_told(tmp_path):
    places = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    rows = places[np.arange(200) % 4] + 0.3 * np.random.default_rng(0).standard_normal((200, 2))
    groups = np.arange(200) % 4
    stuck = np.where(groups == 1, 0, np.where((groups == 3) & (rows[:, 0] > 10.0), 1, groups))
    for moves, words in (
        (True, "Moves: 1 component went and others were divided instead, in 1 round, bound +"),
        (False, ""),
    ):
        fit = tfgmm.fit_mixture(rows, 4, start=stuck, moves=moves)
        text = tfgmm.write_report(fit, rows, tmp_path / f"{moves}.html").read_text(encoding="utf-8")
        assert words in Page(text).words and ("Moves:" in Page(text).words) == moves


def test_a_choice_is_told_with_the_recommended_fit(tmp_path):
    rows = np.random.default_rng(0).normal([[-3.0]] * 50 + [[3.0]] * 50, 0.5)
    selection = tfgmm.fit_mixture(rows, [1, 2], restarts=1)
    text = tfgmm.write_report(selection, rows, tmp_path / "choice.html").read_text(encoding="utf-8")
    page, of_one = Page(text), tfgmm.write_report(selection.best, rows, tmp_path / "one.html")
    assert [line[0] for line in page.tables["choice"]] == ["components", "1", "2"]
    assert selection.reason in page.words and "result.best.model" in page.words
    assert "choice" not in Page(of_one.read_text(encoding="utf-8")).tables
