"""A report of rows with gaps, weights and noise says what there was and how it was treated, and counts by weight."""

from __future__ import annotations

import pathlib
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_pages import Page, text_of
from scipy import stats
from tables_of_rows import message_of

import tfgmm
from tfgmm.data.summary import DataSummary
from tfgmm.data.survey import Survey
from tfgmm.report import pictures, row_facts

NUMBERS = np.random.default_rng(0)
TRUE = NUMBERS.normal([[0.0, 5.0]] * 40 + [[6.0, -5.0]] * 40, 1.0)
ERRORS = NUMBERS.uniform(0.1, 1.5, (80, 2))
WEIGHTS = NUMBERS.integers(0, 4, 80)
WEIGHTS[:3] = 1


def rows() -> pd.DataFrame:
    """80 rows of two columns with noise; 7 lack a, 3 of them b too, and others lack b."""
    values = TRUE + ERRORS * np.random.default_rng(1).normal(size=TRUE.shape)
    values[:7, 0] = values[:3, 1] = values[50:54, 1] = np.nan
    return pd.DataFrame(values, columns=["a", "b"])


CARRIED: dict[str, dict[str, Any]] = {
    "gaps": {},
    "weights": {"sample_weight": WEIGHTS},
    "noise": {"noise": ERRORS},
    "all": {"sample_weight": WEIGHTS, "noise": ERRORS},
}
SENTENCES = {
    "gaps": ["3 rows without any value are left out.", "A row with gaps counts by the values that it has"],
    "weights": [
        "Rows count as often as their weights say",
        "rows of weight 0 are left out.",
        "A row of weight 2 counts",
    ],
    "noise": ["The measurement noise of each row is taken off", "Each row was measured with an error"],
}
SENTENCES["all"] = [*SENTENCES["gaps"], *SENTENCES["weights"], *SENTENCES["noise"]]
NOT_OF_PLAIN_ROWS = ("missing", "with gaps", "weight 2", "noise", "left out", "that count as")


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "drawings", lambda *_: ())


@pytest.fixture(scope="module")
def fits() -> dict[str, tfgmm.FitResult]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what is missing or left out is told by fits too
        return {case: tfgmm.fit_mixture(rows(), 2, restarts=1, **carried) for case, carried in CARRIED.items()}


def page_of(fit: Any, folder: pathlib.Path, data: Any = None, **carried: Any) -> Page:
    data = rows() if data is None else data
    return Page(tfgmm.write_report(fit, data, folder / "r.html", overwrite=True, **carried).read_text("utf-8"))


def words_of(page: Page) -> str:
    return " ".join(page.words.split())


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("case", CARRIED)
def test_what_rows_carried_is_said_where_it_is_true(
    fits: dict[str, tfgmm.FitResult], tmp_path: pathlib.Path, case: str
) -> None:
    words = words_of(page_of(fits[case], tmp_path, **CARRIED[case]))
    for other in ("gaps", "weights", "noise"):
        for sentence in SENTENCES[other]:
            assert (sentence in words) is (sentence in SENTENCES[case] or other == "gaps"), sentence
    assert "not the rows" not in words
    has_noise = "noise" in CARRIED[case]
    assert ("The density is that of values without measurement noise" in words) is False  # there is no picture
    assert ("The noise of each row is allowed for." in words) is has_noise
    assert ("no row lies far from all" in words) <= (not has_noise)
    assert not any(phrase in words_of(Page(text_of("faithful"))) for phrase in NOT_OF_PLAIN_ROWS)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("case", CARRIED)
def test_memberships_are_those_of_scipy_by_weight(
    fits: dict[str, tfgmm.FitResult], tmp_path: pathlib.Path, case: str
) -> None:
    carried = CARRIED[case]
    mean = fits[case].mean_parameters()
    joint = np.tile(mean.weights[0, 0], (80, 1))
    for n, row in enumerate(rows().to_numpy()):
        for k in range(2):
            for column, value in enumerate(row):
                if not np.isnan(value):
                    noise = ERRORS[n, column] if "noise" in carried else 0.0
                    width = np.hypot(mean.scales[0, 0, k, column], noise)
                    joint[n, k] *= stats.norm.pdf(value, mean.locs[0, 0, k, column], width)
    shares = joint / joint.sum(axis=1, keepdims=True)
    counts = carried.get("sample_weight", np.ones(80)) * rows().notna().any(axis=1)
    page = page_of(fits[case], tmp_path, **carried)
    for number, count, *levels in page.tables["memberships"][1:]:
        own = shares.argmax(axis=1) == int(number)
        assert count == f"{counts[own].sum():.0f}"
        expected = [counts[own & (shares.max(axis=1) > level)].sum() / counts[own].sum() for level in (0.99, 0.9, 0.5)]
        assert levels == [f"{100.0 * share:.1f} %" for share in expected]


@pytest.mark.usefixtures("no_pictures")
def test_the_table_of_columns_counts_gaps(fits: dict[str, tfgmm.FitResult], tmp_path: pathlib.Path) -> None:
    page = page_of(fits["gaps"], tmp_path)
    assert page.tables["columns"][0][:3] == ["column", "missing", "mean"]
    assert [line[1] for line in page.tables["columns"][1:]] == ["4", "4"]  # of rows that have a value
    assert "8 of 154 (5.2 %): rows count by the values that they have" in page.words
    assert words_of(page).count("77 rows, 8 of them with gaps;") == 1
    assert Page(text_of("faithful")).tables["columns"][0][:2] == ["column", "mean"]


@pytest.mark.usefixtures("no_pictures")
def test_weights_give_the_page_of_repeated_rows(fits: dict[str, tfgmm.FitResult], tmp_path: pathlib.Path) -> None:
    weighted = page_of(fits["weights"], tmp_path, sample_weight=WEIGHTS)
    repeated = page_of(fits["weights"], tmp_path, rows().loc[np.repeat(np.arange(80), WEIGHTS)])
    assert "not the rows" not in repeated.words  # whole weights and repeated rows have one fingerprint
    for name in ("memberships", "components"):
        assert weighted.tables[name] == repeated.tables[name]
    for line, other in zip(weighted.tables["columns"], repeated.tables["columns"], strict=True):
        assert line[:1] + line[2:] == other[:1] + other[2:]  # gaps are counted by row
    in_words = words_of(weighted)
    assert f"{int((WEIGHTS[3:] > 0).sum())} rows that count as {WEIGHTS[3:].sum()}, " in in_words


def test_pictures_take_gaps_weights_and_noise(fits: dict[str, tfgmm.FitResult], tmp_path: pathlib.Path) -> None:
    page = page_of(fits["all"], tmp_path, **CARRIED["all"])
    assert "The density is that of values without measurement noise: the rows" in words_of(page)
    [words] = [attributes["alt"] for tag, attributes in page.tags if tag == "img" and "Density" in attributes["alt"]]
    assert words.endswith("the components; the density is that of values without measurement noise")
    text = page_of(fits["gaps"], tmp_path).pictures()[0][1].decode()
    assert "rows (8 lack a value)" in text and "measurement noise" not in text


@pytest.mark.usefixtures("no_pictures")
def test_what_is_not_given_or_not_right_is_said(fits: dict[str, tfgmm.FitResult], tmp_path: pathlib.Path) -> None:
    without = words_of(page_of(fits["all"], tmp_path))
    assert "Those had weights, and none were given here. Those had measurement noise, and none was given" in without
    message = message_of(ValueError, tfgmm.write_report, fits["gaps"], rows(), tmp_path / "a.html", missing="refuse")
    assert "`data` must hold finite numbers" in message
    for weights, name in ((-WEIGHTS, "`sample_weight`"), (WEIGHTS[:9], "`sample_weight`")):
        options = {"sample_weight": weights}
        message = message_of(ValueError, tfgmm.write_report, fits["weights"], rows(), tmp_path / "a.html", **options)
        assert name in message
    assert not (tmp_path / "a.html").exists()


@pytest.mark.usefixtures("no_pictures")
def test_code_on_the_page_runs_on_such_rows(fits: dict[str, tfgmm.FitResult], tmp_path: pathlib.Path) -> None:
    tfgmm.export_model(fits["all"], tmp_path / "model", saved_model=False)
    [code, _] = page_of(fits["all"], tmp_path, model_path=tmp_path / "model").pre
    names = {"rows": rows()[3:], "errors": ERRORS[3:]}
    exec(code.replace("scorer.impute(rows)", "filled = scorer.impute(rows)"), names)
    assert code.count("noise=errors") == 1 and not np.isnan(np.asarray(names["filled"])).any()
    assert "impute" not in Page(text_of("faithful")).pre[0] and "errors" not in Page(text_of("faithful")).pre[0]


@pytest.mark.usefixtures("no_pictures")
def test_weights_that_are_no_counts_are_cautioned_about(tmp_path: pathlib.Path) -> None:
    weights = NUMBERS.uniform(0.5, 1.5, 80)
    whole = pd.DataFrame(TRUE, columns=["a", "b"])
    with pytest.warns(UserWarning, match="not whole numbers"):
        fit = tfgmm.fit_mixture(whole, 2, restarts=1, sample_weight=weights)
    words = words_of(page_of(fit, tmp_path, whole, sample_weight=weights))
    assert words.count("not whole numbers") == 1
    assert f"80 rows that count as {weights.sum():.1f};" in words and f"with the sum {weights.sum():.1f}" in words


def test_rows_of_a_sample_have_shares_and_of_all_rows_numbers() -> None:
    summary = DataSummary(60, 1, (0.0,), (1.0,), num_rows=9, weights_name="")
    weights = np.array([10.0, 20.0, 30.0])
    assert row_facts.row_weights(Survey(summary, np.zeros((3, 1)), weights)).tolist() == [0.5, 1.0, 1.5]
    said = row_facts.notes_on_memberships(Survey(summary, np.zeros((3, 1)), weights))
    assert said[0] == "From 3 of the 9 rows, chosen at random by their weights."
    plain = Survey(DataSummary(60, 1, (0.0,), (1.0,)), np.zeros((3, 1)))
    assert row_facts.row_weights(plain).tolist() == [1.0] * 3
    assert row_facts.notes_on_memberships(plain) == ["From 3 of the 60 rows, chosen at random."]
