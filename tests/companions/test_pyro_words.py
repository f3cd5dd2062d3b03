"""The Pyro companion in any unit, where gradients are off, and each of its warnings: said when true, and only then."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from pyro import distributions as dist

from tfgmm.companions import pyro_mixture
from tfgmm.companions.pyro_mixture import chains, map_fit
from tfgmm.companions.pyro_mixture.model import mixture_of, tensor, unit_of, warn_of_odd_priors
from tfgmm.posterior.draws import Draws

ROWS = np.array([0.0, 1.0, 10.0, 11.0, 12.0])
UNITS = [0.001, 2.54, 1000.0]


@pytest.fixture(scope="module")
def fit() -> Any:
    return pyro_mixture.fit_map(ROWS, 2, progress=False)


@pytest.fixture(scope="module")
def draws() -> Draws:
    return drawn(1.0)


def drawn(unit: float, **options: Any) -> Draws:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few draws are never enough
        return pyro_mixture.sample_nuts(unit * ROWS, 2, num_warmup=20, num_samples=20, progress=False, **options)


def priors_in(unit: float) -> dict[str, Any]:
    return {"loc_prior": dist.Normal(5.0 * unit, 20.0 * unit), "scale_prior": dist.HalfCauchy(3.0 * unit)}


# --- Units and gradients --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
def test_the_mode_is_the_same_in_any_unit(fit: Any, unit: float) -> None:
    other = pyro_mixture.fit_map(unit * ROWS, 2, progress=False)
    np.testing.assert_allclose(other.locs / unit, fit.locs, rtol=1e-5)
    np.testing.assert_allclose([*other.weights, other.scale / unit], [*fit.weights, fit.scale], rtol=1e-5)


@pytest.mark.parametrize("unit", UNITS[2:])
def test_the_mode_under_stated_priors_is_the_same_in_any_unit(unit: float) -> None:
    ours, other = (pyro_mixture.fit_map(u * ROWS, 2, progress=False, **priors_in(u)) for u in (1.0, unit))
    np.testing.assert_allclose([*other.locs / unit, other.scale / unit], [*ours.locs, ours.scale], rtol=1e-4)


@pytest.mark.parametrize("unit", [0.001, 60.0])
def test_draws_are_the_same_in_any_unit(draws: Draws, unit: float) -> None:
    other = drawn(unit)
    np.testing.assert_allclose(other.weights, draws.weights, rtol=1e-6)
    np.testing.assert_allclose(other.locs / unit, draws.locs, rtol=1e-6)
    np.testing.assert_allclose(other.scales / unit, draws.scales, rtol=1e-6)


def test_coordinates_under_stated_priors_have_no_unit() -> None:
    """The density over Pyro's coordinates, from the same coordinates, is that of rows in another unit."""
    potentials = []
    for unit in (1.0, 1024.0):  # 1024: exact in floating point
        mixture = mixture_of(2, None, **priors_in(unit), scale_per_component=False, unit=unit)
        assert mixture.units == {"locs": unit, "scale": unit}
        coordinates = chains._coordinates(mixture)
        kernel = chains.NUTS(mixture, max_plate_nesting=1, transforms=coordinates)
        kernel.setup(0, tensor(unit * ROWS))
        at = {"weights": tensor([0.3]), "locs": tensor([0.1, 9.0]), "scale": tensor(0.2)}
        potentials.append(float(kernel.potential_fn(at)))
    # Five rows, whose density has their unit
    assert potentials[1] - potentials[0] == pytest.approx(5 * np.log(1024.0), abs=1e-6)


def test_priors_over_some_numbers_keep_their_own_coordinates() -> None:
    mixture = mixture_of(2, None, dist.Uniform(0.0, 9e3), dist.Uniform(0.0, 1e3), False, 1000.0)
    assert mixture.units == {"locs": 1.0, "scale": 1.0}
    found = pyro_mixture.fit_map(
        1000 * ROWS,
        2,
        loc_prior=dist.Uniform(tensor(-1e3), tensor(2e4)),
        num_steps=400,
        learning_rate=0.05,
        progress=False,
    )
    np.testing.assert_allclose(np.sort(found.locs) / 1000, [0.5, 11.0], atol=0.1)


def test_the_unit_is_a_share_of_the_spread_and_default_priors_are_in_it() -> None:
    assert unit_of(ROWS) == 1.0
    found = [unit_of(np.array([0.0, 2.0 * spread])) for spread in (1.9, 20.0, 0.002)]
    np.testing.assert_allclose(found, np.array([1.9, 20.0, 0.002]) / 26.96**0.5, rtol=1e-12)
    assert unit_of(np.full(4, 1e6)) == unit_of(np.array([3.0])) == 1.0
    in_thousands = mixture_of(2, None, None, None, False, 1000.0)
    assert in_thousands.loc_prior.scale == 10_000.0
    assert float(in_thousands.scale_prior.loc) == pytest.approx(np.log(1000.0))


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
@pytest.mark.filterwarnings("ignore:the posterior mode was not reached")
def test_gradients_are_followed_where_the_caller_has_none(fit: Any, off: Any) -> None:
    with off():
        inside = pyro_mixture.fit_map(ROWS, 2, num_steps=20, progress=False)
        learnt = pyro_mixture.fit_assignments(inside, ROWS, num_steps=3, progress=False)
        assert torch.is_grad_enabled() is False
    np.testing.assert_array_equal(inside.losses, fit.losses[:20])
    assert learnt.losses[-1] < learnt.losses[0]


def test_draws_are_drawn_where_the_caller_has_no_gradients(draws: Draws) -> None:
    with torch.inference_mode():
        np.testing.assert_array_equal(drawn(1.0).locs, draws.locs)


def test_acceptance_changes_the_draws(draws: Draws) -> None:
    assert (drawn(1.0, target_accept_prob=0.95).locs != draws.locs).any()


# --- Words ----------------------------------------------------------------------------------------------------------


def test_a_mode_that_was_not_reached_is_said_with_what_is_left(fit: Any, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.warns(UserWarning, match="was not reached in 3 steps: the gradient says that about [0-9.]+ nats"):
        short = pyro_mixture.fit_map(ROWS, 2, num_steps=3, progress=False)
    assert short.losses.min() > fit.losses.min() + 0.1
    recwarn.clear()
    pyro_mixture.fit_map(ROWS, 2, progress=False)
    assert len(recwarn) == 0


@pytest.mark.parametrize(("rows", "is_odd"), [(ROWS, False), (ROWS + 100.0, True), (1e-3 * (ROWS + 100.0), True)])
def test_a_default_prior_that_does_not_suit_the_rows_is_named(rows: np.ndarray, is_odd: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_odd_priors(rows, unit_of(rows), stacklevel=1)
    assert len(caught) == is_odd
    if is_odd:
        assert "the default loc_prior, Normal(0, " in str(caught[0].message) and "11.2 of its own" in str(
            caught[0].message
        )


def test_functions_warn_of_priors_by_default_only_and_at_the_line_that_asked() -> None:
    with pytest.warns(UserWarning, match="the default loc_prior") as caught, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the posterior mode")
        pyro_mixture.fit_map(ROWS + 100.0, 2, num_steps=2, progress=False)
    assert {item.filename for item in caught} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pyro_mixture.fit_map(ROWS + 100.0, 2, loc_prior=dist.Normal(107.0, 10.0), progress=False)


def chains_at(shift: float, places: tuple[float, float] = (0.5, 11.0), num_draws: int = 1_500) -> Draws:
    """Two good chains of two components, the second with its components swapped, and moved."""
    generator = np.random.default_rng(0)
    locs = np.array(places) + 0.3 * generator.normal(size=(2, num_draws, 2))
    locs[1] = locs[1, :, ::-1] + shift
    scales = 0.7 * np.exp(0.1 * generator.normal(size=(2, num_draws, 1))) * np.ones(2)
    weights = 0.5 + 0.05 * generator.normal(size=(2, num_draws, 1)) * np.array([1.0, -1.0])
    return Draws(weights, locs[..., None], scales[..., None])


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (chains_at(0.0), None),  # swapped components alone are no disagreement
        (chains_at(1.0), "r_hat is .* at most 1.05. They may be at different modes"),
        (chains_at(0.0, num_draws=60), "120 draws are worth only .* and should be worth 200"),
        (chains_at(0.0, places=(6.0, 7.0)), "nats less probable than the best of 100 starts at random rows"),
    ],
)
def test_chains_are_judged_whatever_they_call_the_components(found: Draws, words: str | None) -> None:
    mixture = mixture_of(2, None, None, None, False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        chains._warn_if_bad(mixture, tensor(ROWS), found, 0, stacklevel=2)
    said = " ".join(str(item.message) for item in caught)
    if words is None:
        assert said == ""
    else:
        assert len(caught) == 1
        with pytest.warns(UserWarning, match=words):
            warnings.warn(said, UserWarning, stacklevel=1)


def test_few_draws_are_said_at_the_line_that_asked() -> None:
    with pytest.warns(UserWarning, match="draws (are worth only|diverged)") as caught:
        pyro_mixture.sample_nuts(ROWS, 2, num_warmup=20, num_samples=20, progress=False)
    assert {item.filename for item in caught} == {__file__}


def test_losses_of_draws_are_those_of_starts() -> None:
    mixture = mixture_of(2, None, None, None, False)
    weights = tensor(np.array([[[0.4, 0.6]]]))
    found = map_fit.losses_of(
        mixture, tensor(ROWS), {"weights": weights, "locs": tensor([[0.5, 11.0]]), "scale": tensor([[0.7]])}
    )
    assert found.shape == (1,)
