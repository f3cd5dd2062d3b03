"""Where fixed priors decide the answer: said before fits break, and not where they find the components."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings

import numpy as np
import pytest

import tfgmm
from tfgmm.data.summary import summarise
from tfgmm.mixture.odd_data import warn_of_pulls
from tfgmm.mixture.prior_reach import belief_of, decided_by_priors, pulls_of_priors
from tfgmm.mixture.priors import Priors


def two_groups(num_rows: int) -> np.ndarray:
    """Returns rows of one column around -2 and 2, of width 1."""
    generator = np.random.default_rng(0)
    return np.sort(generator.normal([[-2.0], [2.0]] * (num_rows // 2), 1.0), axis=0)


def error_of(rows: np.ndarray, truth: list[float], width: float) -> float:
    """Computes how far the means of a fit with default priors are off, in widths of the components."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = tfgmm.fit_mixture(rows, 2, priors=Priors(), restarts=1, seed=0)
    return float(np.abs(np.sort(np.ravel(fit.locs)) - truth).max()) / width


@pytest.mark.parametrize("num_rows", [60, 300, 3000])
@pytest.mark.parametrize(("kind", "suits", "breaks"), [("far", 0.55, 8.0), ("wide", 0.55, 2.5), ("narrow", 0.33, 0.8)])
def test_what_is_not_said_is_right_and_what_breaks_is_said(
    num_rows: int, kind: str, suits: float, breaks: float
) -> None:
    """Far and wide in roots of the rows of a component; narrow as the width that the prior holds up, in the spread."""
    rows = two_groups(num_rows)
    root, held_up = (num_rows / 2) ** 0.5, (10 / (10 + num_rows / 2)) ** 0.5
    for times, is_said in ((suits, False), (breaks, True)):
        spread = {"far": rows.std(), "wide": times * root, "narrow": held_up / times}[kind]
        width, shift = spread / rows.std(), times * root if kind == "far" else 0.0
        moved = width * rows + shift
        assert decided_by_priors(summarise(moved), Priors(), 2, "diag").tolist() == [is_said]
        error = error_of(moved, [shift - 2.0 * width, shift + 2.0 * width], width)
        assert error > 1.0 if is_said else error < 0.5


def test_more_rows_need_weaker_words() -> None:
    rows = two_groups(200) + 20.0
    assert decided_by_priors(summarise(rows), Priors(), 2, "diag").all()
    assert not decided_by_priors(summarise(np.repeat(rows, 30, axis=0)), Priors(), 2, "diag").any()


def test_what_is_believed_is_read_from_the_fields_that_the_shape_uses() -> None:
    priors = Priors(loc_scale=2.0, loc_covariance=np.diag([9.0, 16.0]), degrees=7.0, inverse_scale=np.diag([6.0, 24.0]))
    of_diag, of_full = (belief_of(priors, 2, covariance) for covariance in ("diag", "full"))
    np.testing.assert_allclose(of_diag, [[0, 0], [2, 2], [1, 1], [10, 10]])
    np.testing.assert_allclose(of_full, [[0, 0], [3, 4], [1, 2], [6, 6]])


# --- Small groups, of which nothing is known before the fit ----------------------------------------------------------


def lopsided(few: int, at: float, num_columns: int = 1) -> np.ndarray:
    """Returns 1,000 rows around 0, and a few in column 0 around a value, of width 1."""
    rows = np.random.default_rng(0).normal(size=(1000 + few, num_columns))
    rows[1000:, 0] += at
    return rows


@pytest.fixture(scope="module")
def pulled() -> tfgmm.FitResult:
    with pytest.warns(UserWarning, match="decide where component"):
        return tfgmm.fit_mixture(lopsided(20, 30.0), 2, priors=Priors(), restarts=1, seed=0)


def test_pulls_are_the_distance_of_locations_from_the_rows_of_their_components(pulled: tfgmm.FitResult) -> None:
    rows = lopsided(20, 30.0)
    shares = pulled.responsibilities(rows).astype(np.float64)
    means = shares.T @ rows / shares.sum(axis=0)[:, None]
    widths = pulled.mean_parameters().scales[0, 0]
    found = pulls_of_priors(pulled.plug_in(), len(rows), Priors(), summarise(rows))
    small = int(np.argmin(shares.sum(axis=0)))
    expected = np.abs(means - pulled.locs) / widths
    # The weights say that the component has as many rows as its prior adds, and its width is that of the mean precision
    np.testing.assert_allclose(found[small], expected[small], rtol=0.3)
    assert found[1 - small] < 0.05


@pytest.mark.parametrize("covariance", ["diag", "tied_spherical", "full", "tied"])
def test_a_small_group_that_the_priors_hold_back_is_named(covariance: str) -> None:
    rows = lopsided(20, 30.0, 2)
    said = r"(?s)component \d is: about 2\d rows of it.*In column 0 it is held about [0-9.]+ of its widths .*towards 0,"
    with pytest.warns(UserWarning, match=said):
        fit = tfgmm.fit_mixture(rows, 2, covariance=covariance, priors=Priors(), restarts=1, seed=0)
    assert np.abs(fit.locs[:, 0].max() - 30.0) > 1.0


@pytest.mark.parametrize(("few", "at", "num_components"), [(20, 4.0, 2), (200, 8.0, 2), (20, 4.0, 6), (0, 0.0, 3)])
def test_nothing_is_said_where_the_rows_decide(few: int, at: float, num_components: int) -> None:
    """Warnings are errors; and priors that give way lead to the same place, whether the few are told apart or not."""
    rows = lopsided(few, at)
    fixed, learned = (
        tfgmm.fit_mixture(rows, num_components, priors=priors, restarts=4, seed=0) for priors in (Priors(), "auto")
    )
    assert fixed.locs.max() == pytest.approx(learned.locs.max(), abs=0.5)


def test_nothing_is_known_of_a_mixture_that_has_not_come_to_rest(pulled: tfgmm.FitResult) -> None:
    rows, density = lopsided(20, 30.0), pulled.plug_in()
    started = density._replace(components=density.components | {"locs": np.array([[0.0], [30.0]]) - density.centre})
    assert pulls_of_priors(started, len(rows), Priors(), summarise(rows)).max() == 0.0


def test_priors_that_give_way_and_those_named_before_the_fit_are_not_named_after_it(pulled: tfgmm.FitResult) -> None:
    rows = lopsided(20, 30.0)
    density, learned = pulled.plug_in(), Priors.from_data(rows)
    warn_of_pulls(density, summarise(rows), learned, len(rows), stacklevel=1)
    elsewhere = dataclasses.replace(Priors(), loc_mean=100.0)
    assert decided_by_priors(summarise(rows), elsewhere, 2, "diag").all()
    warn_of_pulls(density, summarise(rows), elsewhere, len(rows), stacklevel=1)


@pytest.mark.parametrize(
    ("concentration", "num_components", "is_said"), [(5.0, 3, False), (90.0, 3, True), (90.0, 1, False)]
)
def test_sticks_that_leave_all_rows_to_the_last_component_are_named(
    concentration: float, num_components: int, is_said: bool
) -> None:
    rows = np.random.default_rng(0).normal(np.repeat([-6.0, 0.0, 6.0], 30)[:, None])
    priors = dataclasses.replace(Priors.from_data(rows), stick_concentration=concentration)
    # What is left of the stick after two breaks of 1 / 91 each: (90 / 91)^2
    said = pytest.warns(UserWarning, match="leaves 98 % of the weight to the last of 3 components.*and 90 rows cannot")
    with said if is_said else contextlib.nullcontext():
        fit = tfgmm.fit_mixture(rows, num_components, weights="stick_breaking", priors=priors, restarts=2)
    assert (fit.num_occupied == num_components) == (not is_said)
