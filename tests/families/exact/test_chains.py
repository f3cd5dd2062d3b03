"""Hamiltonian chains: moments of known targets, what they cost, and what they do where a density has no value."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special
from threadpoolctl import threadpool_limits

from tfgmm.families.exact.chains import MOST_STEPS, chains
from tfgmm.posterior import bulk_sizes, r_hats

NUM_CHAINS = 64


def normal(covariance):
    precision = np.linalg.inv(covariance)
    return lambda xi: (-0.5 * (xi * (xi @ precision)).sum(axis=1), -xi @ precision)


def standard_normal(xi):
    return -0.5 * np.square(xi).sum(axis=1), -xi


def spread_covariance(num_coordinates, seed=0):
    """Covariance with principal variances from 0.3 to 10, in random directions."""
    directions = np.linalg.qr(np.random.default_rng(seed).normal(size=(num_coordinates, num_coordinates)))[0]
    return (directions * np.geomspace(0.3, 10.0, num_coordinates)) @ directions.T


def log_gamma(xi, shape=0.5):
    """Logarithms of gamma variables, whitened at their mode: exponential tails to the left."""
    powers = np.exp(xi / np.sqrt(shape))
    return (np.sqrt(shape) * xi - shape * powers).sum(axis=1), np.sqrt(shape) * (1.0 - powers)


def banana(xi, bend=0.3):
    """(x, y) with x standard normal and y normal around bend (x^2 - 1)."""
    rest = xi[:, 1] - bend * (xi[:, 0] ** 2 - 1)
    slopes = np.stack([2 * bend * xi[:, 0] * rest - xi[:, 0], -rest], axis=1)
    return -0.5 * (xi[:, 0] ** 2 + rest**2), slopes


def half_normal(xi):
    """Standard normals, all above 0.5; no value below."""
    is_inside = (xi > 0.5).all(axis=1)
    nowhere = np.where(is_inside, 0.0, np.nan)
    return -0.5 * np.square(xi).sum(axis=1) + nowhere, -xi + nowhere[:, None]


def after(density, num_coordinates, *, seed=0, num_batches=1, shift=0.0, **options):
    generator = np.random.default_rng(seed)
    starts = shift + generator.standard_normal((NUM_CHAINS, num_coordinates))
    return next(itertools.islice(chains(density, starts, generator, **options), num_batches - 1, None))


def r_hat(found):
    return r_hats(found.xi).max()


def ess(found):
    """Effective draws, of all chains together, of the coordinate that has fewest."""
    return bulk_sizes(found.xi).min()


def z_scores(values, expected):
    """Distances of means from what is expected, (P,), in Monte-Carlo standard errors, measured between the chains."""
    of_chains = values.mean(axis=1)
    return (of_chains.mean(axis=0) - expected) / (of_chains.std(axis=0, ddof=1) / np.sqrt(len(of_chains)))


def normal_moments(covariance):
    return np.zeros(len(covariance)), np.diag(covariance)


COVARIANCE = spread_covariance(6)
# Mean and variance of a standard normal above 0.5
HAZARD = np.exp(-0.125) / np.sqrt(2 * np.pi) / special.ndtr(-0.5)
TARGETS = {
    "normal": (normal(COVARIANCE), 6, np.zeros(6), np.diag(COVARIANCE)),
    "log gamma": (
        log_gamma, 3,
        np.full(3, np.sqrt(0.5) * (special.digamma(0.5) - np.log(0.5))), np.full(3, 0.5 * special.polygamma(1, 0.5)),
    ),
    # Var y = 1 + bend^2 Var x^2
    "banana": (banana, 2, np.zeros(2), np.array([1.0, 1.0 + 0.09 * 2])),
    "edge": (half_normal, 2, np.full(2, HAZARD), np.full(2, 1 + 0.5 * HAZARD - HAZARD**2)),
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_means_and_variances_are_the_targets(name):
    """Within four standard errors, which are small."""
    density, num_coordinates, mean, variance = TARGETS[name]
    found = after(density, num_coordinates, num_batches=5, **({"shift": 5.0} if name == "edge" else {}))
    assert found.xi.shape == (NUM_CHAINS, 200, num_coordinates)
    for values, expected in ((found.xi, mean), (np.square(found.xi - mean), variance)):
        assert np.abs(z_scores(values, expected)).max() < 4
    errors = found.xi.mean(axis=1).std(axis=0) / np.sqrt(NUM_CHAINS) / np.sqrt(variance)
    assert errors.max() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_errors_are_as_large_as_the_chains_say(name):
    """Over many seeds, squares of z-scores have a mean of 1: a small bias would show."""
    density, num_coordinates, mean, variance = TARGETS[name]
    scores = []
    for seed in range(12):
        options = {"shift": 5.0} if name == "edge" else {}
        found = after(density, num_coordinates, seed=seed, num_kept=200, **options)
        scores.append([z_scores(found.xi, mean), z_scores(np.square(found.xi - mean), variance)])
    assert np.abs(np.mean(scores, axis=0)).max() * np.sqrt(12) < 4
    assert np.square(scores).mean() < 1.5


def test_long_steps_are_put_right_by_rejections():
    """Without a warm-up, steps are near the largest stable one, whose ends are far too wide."""
    variance = 0.27
    found = after(normal(np.diag([variance])), 1, num_warmup=0, num_kept=2_000)
    assert found.step == 1.0 and found.acceptance < 0.9
    assert abs(z_scores(np.square(found.xi), variance)[0]) < 4


def test_moments_of_a_path_are_exact_in_law():
    """Chains that start from the target stay in it, from the first path on."""
    found = [after(standard_normal, 2, seed=seed, num_warmup=0, num_kept=4).xi for seed in range(60)]
    squares = np.square(np.concatenate(found)).mean(axis=2)
    assert np.abs((squares.mean(axis=0) - 1) / (squares.std(axis=0) / np.sqrt(len(squares)))).max() < 4


@pytest.mark.parametrize("num_coordinates", [5, 20, 100])
def test_coordinates_that_are_badly_whitened_are_whitened_again(num_coordinates):
    """Without it, 64 chains of 40 paths are worth 220 to 260 draws, with r_hat above 1.2."""
    found = after(normal(spread_covariance(num_coordinates)), num_coordinates)
    assert ess(found) > 800 and r_hat(found) < 1.1
    assert 0.7 < found.acceptance < 0.9 and found.num_gradients < 400


def test_a_warmup_in_three_stages_is_needed_for_that():
    density = normal(spread_covariance(20))
    assert ess(after(density, 20, num_warmup=11)) < 0.5 * ess(after(density, 20, num_warmup=12))


def test_the_warmup_finds_the_step_from_starts_that_are_too_narrow():
    for variance in (1e-3, 1e3):
        found = after(normal(variance * np.eye(10)), 10, num_warmup=40)
        assert 0.6 < found.acceptance < 0.95


def test_no_chain_stays_where_the_target_is_narrow():
    """Some start where the density rises so steeply that the others' steps lead nowhere: all take shorter ones."""
    found = after(lambda xi: log_gamma(xi, shape=0.2), 5, num_batches=2)
    stays = (np.diff(found.xi, axis=1) == 0).all(axis=2)
    longest = max(len(list(group)) for row in stays for is_stay, group in itertools.groupby(row) if is_stay)
    assert longest < 15 and ess(found) > 1_000 and r_hat(found) < 1.05


def counting(density):
    calls = []

    def counted(xi):
        calls.append(len(xi))
        return density(xi)

    return counted, calls


def test_every_call_is_counted_and_bounded():
    density, calls = counting(log_gamma)
    generator = np.random.default_rng(0)
    results = chains(density, generator.standard_normal((NUM_CHAINS, 3)), generator)
    first = next(results)
    assert first.num_gradients == len(calls) <= 1 + 70 * MOST_STEPS and set(calls) == {NUM_CHAINS}
    second = next(results)
    used = second.num_gradients - first.num_gradients
    assert second.num_gradients == len(calls)
    assert used < 40 * MOST_STEPS
    np.testing.assert_array_equal(second.xi[:, :40], first.xi)
    assert second.xi.shape == (NUM_CHAINS, 80, 3)


def test_most_steps_bound_a_path():
    narrow = normal(np.diag([1.0, 1e-4]))
    found = {most: after(narrow, 2, num_warmup=9, most_steps=most) for most in (1, 3, 40)}
    assert found[1].num_gradients == 1 + 49 and found[3].num_gradients <= 1 + 3 * 49 < found[40].num_gradients


def test_paths_that_are_too_short_are_not_shortened_further():
    """One step a path, all of it: where steps are short, the path is short."""
    found = after(standard_normal, 2, num_warmup=0, most_steps=1, num_kept=200)
    # e^2 / 2 of a step e, averaged over +- 10 %, is what a leapfrog step forgets
    lag = np.mean(found.xi[:, 1:] * found.xi[:, :-1])
    assert lag == pytest.approx(1 - found.step**2 / 2, abs=0.1)


def test_draws_follow_from_the_generator_alone():
    first, second, other = (after(banana, 2, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.xi, second.xi)
    assert first.step == second.step
    assert (first.xi != other.xi).all()


def test_draws_do_not_depend_on_the_cores():
    """A product is rounded by how many threads share it."""
    found = []
    for num_threads in (1, 2):
        with threadpool_limits(num_threads):
            found.append(after(standard_normal, 100, num_warmup=12, num_kept=4).xi)
    np.testing.assert_array_equal(*found)


def test_starts_stay_as_they_were():
    starts = np.random.default_rng(0).standard_normal((8, 2))
    given = starts.copy()
    next(chains(standard_normal, starts, np.random.default_rng(0)))
    np.testing.assert_array_equal(starts, given)


def test_chains_are_asked_for_finite_points_alone():
    """Even where slopes are huge or none, as a path that is lost waits at its start; and never twice for a bad one."""
    bad = set()

    def steep(xi):
        assert np.isfinite(xi).all() and bad.isdisjoint(map(tuple, xi))
        bad.update(map(tuple, xi[(np.abs(xi) > 2).any(axis=1)]))
        slopes = np.where(np.abs(xi) < 2, -xi, np.where(xi > 0, -1e200, np.inf))
        slopes[xi > 2.5] = np.nan
        log_density = -0.5 * np.square(xi).sum(axis=1)
        return np.where((xi > 2.4).any(axis=1), np.inf, log_density), slopes

    generator = np.random.default_rng(0)
    found = next(chains(steep, generator.uniform(-1, 1, (NUM_CHAINS, 2)), generator, num_kept=100))
    assert np.abs(found.xi).max() < 2
    inside = np.square(special.ndtri(np.linspace(special.ndtr(-2), special.ndtr(2), 20_001)[1:-1])).mean()
    assert np.abs(z_scores(np.square(found.xi), inside)).max() < 4


def test_a_path_whose_energy_explodes_is_given_up():
    """Steps of 1 from 2 on -x^4 go to 16, and from there to 10^4, 10^12 and so on."""
    largest = []

    def quartic(xi):
        largest.append(np.abs(xi).max())
        return -np.power(xi, 4).sum(axis=1), -4 * np.power(xi, 3)

    found = next(chains(quartic, np.full((8, 1), 2.0), np.random.default_rng(0), num_warmup=0))
    assert 10 < max(largest) < 100 and found.acceptance < 0.2


def test_chains_that_cannot_move_are_told():
    """All but the starts is forbidden."""
    starts = np.random.default_rng(0).standard_normal((8, 2))

    def nowhere(xi):
        is_start = (xi == starts).all(axis=1)
        return np.where(is_start, 0.0, -np.inf), np.zeros_like(xi)

    found = next(chains(nowhere, starts, np.random.default_rng(0), num_warmup=6))
    assert found.acceptance == 0 and (found.xi == starts[:, None]).all()
    assert not r_hat(found) <= 1.05 and not ess(found) >= 400


def test_every_path_is_told():
    told = []
    after(standard_normal, 2, num_warmup=5, num_kept=6, num_batches=2, tell=told.append)
    assert told == list(range(1, 18))


def test_float32_densities_are_enough():
    found = after(lambda xi: tuple(part.astype(np.float32) for part in standard_normal(xi)), 3)
    assert found.xi.dtype == np.float64 and ess(found) > 1_000


@pytest.mark.parametrize(
    ("starts", "options", "said"),
    [
        (np.zeros(3), {}, r"`starts` must be finite numbers, one row for each chain, \(C, P\). Received: shape \(3,\)"),
        (np.zeros((4, 0)), {}, r"Received: shape \(4, 0\)"),
        (np.full((4, 2), np.nan), {}, "NaN or infinite ones among them. Pass points of the target"),
        (np.zeros((4, 2)), {"num_warmup": -1}, "`num_warmup` must be a whole number of at least 0. Received: -1"),
        (np.zeros((4, 2)), {"num_kept": 3}, "`num_kept` must be a whole number of at least 4. Received: 3"),
        (np.zeros((4, 2)), {"most_steps": 0}, "`most_steps` must be a whole number of at least 1. Received: 0"),
    ],
)
def test_arguments_out_of_range_are_refused_before_any_work(starts, options, said):
    density, calls = counting(standard_normal)
    with pytest.raises(ValueError, match=said):
        chains(density, starts, np.random.default_rng(0), **options)
    assert not calls


def test_starts_without_a_density_are_refused():
    with pytest.raises(ValueError, match="density and its gradient are finite. Received: 2 of 3 where they are not"):
        chains(half_normal, np.array([[1.0, 1.0], [0.0, 1.0], [-1.0, -1.0]]), np.random.default_rng(0))
