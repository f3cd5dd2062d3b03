"""What models answer about rows with gaps and noise: SciPy, plain loops, and draws with their standard errors."""

import numpy as np
import pandas as pd
import pytest
from known_mixtures import CENTRE, NAMES, WEIGHTS, D, K, Mixture, S, rows_near
from scipy import special, stats

from tfgmm.data.blocks import RowBlock
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture import outliers
from tfgmm.mixture.sampling import sample_rows
from tfgmm.scoring import devices, scores, tails
from tfgmm.scoring.graph import scores as graph_scores

FULL = Mixture("full")
GAPS = [[1], [0, 2], [0, 1, 3]]


@pytest.fixture(scope="module", params=list(COMPONENTS))
def mixture(request):
    return Mixture(request.param)


def with_gaps(rows):
    """Returns rows whose gaps follow `GAPS`, one after the other, and for each row the columns that it has."""
    rows, seen = rows.copy(), []
    for number, row in enumerate(rows):
        row[GAPS[number % 3]] = np.nan
        seen.append([column for column in range(D) if column not in GAPS[number % 3]])
    return rows, seen


def joints_of(mixture, rows, seen, *drawn):
    return np.concatenate([mixture.log_joint(row[None], columns, *drawn) for row, columns in zip(rows, seen)])


# --- Scores


def test_rows_with_gaps_have_the_scores_of_their_columns(mixture):
    rows, seen = with_gaps(rows_near(mixture))
    joints = joints_of(mixture, rows, seen)
    np.testing.assert_allclose(mixture.log_prob(rows), special.logsumexp(joints, axis=1), rtol=1e-5)
    np.testing.assert_allclose(mixture.responsibilities(rows), special.softmax(joints, axis=1), atol=2e-6)
    np.testing.assert_array_equal(mixture.assign(rows), joints.argmax(axis=1))
    frame = pd.DataFrame(rows, columns=NAMES)[list(NAMES[::-1])]
    np.testing.assert_array_equal(mixture.log_prob(frame), mixture.log_prob(rows))


def test_predictive_density_of_rows_with_gaps_is_averaged_over_draws(mixture):
    rows, seen = with_gaps(rows_near(mixture, 6))
    joints = [joints_of(mixture, rows, seen, mixture.parameters(s), mixture.drawn_weights[s]) for s in range(S)]
    expected = special.logsumexp(joints, axis=(0, 2)) - np.log(S)
    np.testing.assert_allclose(mixture.log_prob(rows, "predictive"), expected, rtol=2e-5, atol=2e-5)


def test_rows_without_any_value_say_nothing():
    rows = np.array([[np.nan] * D, CENTRE, [np.inf, np.nan, 0.0, 0.0]])
    assert np.isnan(FULL.log_prob(rows)).tolist() == [True, False, True]
    assert np.isnan(FULL.outlier(rows)).tolist() == [True, False, True]
    assert (FULL.assign(rows) == -1).tolist() == [True, False, True]
    np.testing.assert_allclose(FULL.responsibilities(rows)[0], WEIGHTS, rtol=1e-6)
    assert np.isnan(FULL.responsibilities(rows)[2]).all()


def noisy_joints(mixture, rows, covariances):
    """Returns log joints (N, K) of measured rows by SciPy: component covariances plus those of the noise."""
    locs, own = mixture.plug_in().components["locs"] + mixture.plug_in().centre, mixture.covariances()
    joints = np.empty((len(rows), K))
    for number, row in enumerate(rows):
        seen = np.flatnonzero(~np.isnan(row))
        for k in range(K):
            total = (own[k] + covariances[number])[np.ix_(seen, seen)]
            joints[number, k] = stats.multivariate_normal(locs[k][seen], total).logpdf(row[seen])
    return np.log(WEIGHTS) + joints


def test_measured_rows_have_the_density_of_what_is_measured(mixture):
    rows, _ = with_gaps(rows_near(mixture))
    generator = np.random.default_rng(4)
    deviations, roots = generator.uniform(0.2, 2.0, rows.shape), generator.normal(size=(len(rows), D, D))
    matrices = roots @ roots.swapaxes(1, 2)
    for noise, covariances in ((deviations, [np.diag(line**2) for line in deviations]), (matrices, matrices)):
        joints = noisy_joints(mixture, rows, covariances)
        np.testing.assert_allclose(
            mixture.log_prob(rows, noise=noise), special.logsumexp(joints, axis=1), rtol=1e-5, atol=1e-5
        )
        found = mixture.responsibilities(rows, noise=noise)
        np.testing.assert_allclose(found, special.softmax(joints, axis=1), atol=2e-6)
        np.testing.assert_array_equal(mixture.assign(rows, noise=noise), joints.argmax(axis=1))
        assert np.abs(mixture.log_prob(rows, noise=noise) - mixture.log_prob(rows)).max() > 0.1
    assert mixture.log_prob(rows, "predictive", noise=matrices).shape == (len(rows),)


def test_noise_of_0_is_none_and_infinite_noise_is_a_gap():
    rows = rows_near(FULL)
    np.testing.assert_allclose(FULL.log_prob(rows, noise=np.zeros(rows.shape)), FULL.log_prob(rows), rtol=1e-6)
    noise, gaps = np.zeros(rows.shape), rows.copy()
    noise[:, 2], gaps[:, 2] = np.inf, np.nan
    np.testing.assert_allclose(FULL.log_prob(rows, noise=noise), FULL.log_prob(gaps), rtol=1e-6)


def test_columns_of_noise_are_named_in_frames_and_files(tmp_path):
    rows = rows_near(FULL)
    noise = np.zeros(rows.shape)
    noise[:, 1] = np.linspace(0.5, 3.0, len(rows))
    frame = pd.DataFrame(rows, columns=NAMES).assign(b_error=noise[:, 1])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    for data in (frame, tmp_path / "rows.csv"):
        found = FULL.log_prob(data, noise={"b": "b_error"})
        np.testing.assert_allclose(found, FULL.log_prob(rows, noise=noise), rtol=1e-6)
    with pytest.raises(ValueError, match="`noise` must name columns of `x`. Received: 'error'"):
        FULL.responsibilities(frame, noise={"b": "error"})


def test_noise_of_another_shape_or_sign_is_refused():
    rows = rows_near(FULL)
    with pytest.raises(ValueError, match=r"`noise` must be standard deviations of shape \(9, 4\) or covariances"):
        FULL.log_prob(rows, noise=np.ones((9, 3)))
    with pytest.raises(ValueError, match="`noise` must be standard deviations of 0 or more wherever a value is"):
        FULL.assign(rows, noise=-np.ones(rows.shape))


def test_a_value_beyond_float32_is_refused_beside_a_gap_too():
    rows = rows_near(FULL)
    rows[3, 0], rows[3, 1] = np.nan, 1e39
    for ask in (FULL.log_prob, FULL.outlier):
        with pytest.raises(ValueError, match="row 3"):
            ask(rows)


# --- Outliers


class Own(Mixture):
    """The mixture with its own table."""

    def outlier_table(self):
        return scores.outlier_table(self.plug_in())


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_rows_with_gaps_are_outliers_among_their_own_columns(covariance):
    mixture = Own(covariance)
    rows, _ = with_gaps(rows_near(mixture, 30))
    found, others = mixture.outlier(rows), sample_rows(mixture.plug_in(), 200_000, seed=8)
    for number, columns in enumerate(GAPS):
        drawn = others.copy()
        drawn[:, columns] = np.nan
        below = np.sort(mixture.log_prob(drawn))
        expected = np.searchsorted(below, mixture.log_prob(rows[number::3])) / len(below)
        # Standard errors of both shares, and what interpolation between levels of the table adds
        errors = np.sqrt(expected * (1.0 - expected) * (1.0 / tails.NUM_SAMPLES + 5e-6)) + 1e-4
        assert (np.abs(found[number::3] - expected) < 5.0 * errors + 0.02 * expected).all()
    assert np.abs(found - outliers.tail_probabilities(mixture.outlier_table(), mixture.log_prob(rows))).max() > 0.05


def test_complete_rows_keep_their_scores_beside_rows_with_gaps():
    mixture = Own("full")
    rows = rows_near(mixture, 20)
    spoilt = rows.copy()
    spoilt[::2, 1] = np.nan
    np.testing.assert_array_equal(mixture.outlier(spoilt)[1::2], mixture.outlier(rows)[1::2])


def test_tables_of_columns_are_made_once(monkeypatch):
    mixture, made = Own("diag", width=1.01), []
    table_of = scores.outlier_table
    monkeypatch.setattr(tails, "outlier_table", lambda *given: made.append(given[1:]) or table_of(*given))
    rows = rows_near(mixture, 5)
    rows[[0, 1, 4], 0] = rows[3, 2] = np.nan
    first = mixture.outlier(rows)
    chosen = {tuple(seen.tolist()): size for seen, size in made}
    assert chosen == dict.fromkeys([(False, True, True, True), (True, True, False, True)], tails.NUM_SAMPLES)
    np.testing.assert_array_equal(mixture.outlier(rows), first)
    np.testing.assert_array_equal(mixture.outlier(rows[3:4]), first[3:4])  # whatever rows are beside it
    assert len(made) == 2
    other = Own("diag", width=1.02)  # another mixture
    other.outlier(rows)
    assert len(made) == 4


def test_kept_tables_are_limited(monkeypatch):
    monkeypatch.setattr(tails, "_MOST_KEPT", 2)
    kept, made = tails._KeptTables(), []
    monkeypatch.setattr(tails, "outlier_table", lambda *given: made.append(given) or np.zeros((2, 3)))
    for digest in (b"a", b"b", b"a", b"c", b"b"):
        kept.table(FULL.plug_in(), digest, np.ones(D, bool))
    assert len(made) == 4  # "b" was the one that had to go


def test_outliers_among_rows_with_noise_are_refused():
    with pytest.raises(ValueError, match="`outlier` must be asked of rows without measurement noise"):
        tails.check_no_noise(RowBlock(np.zeros((1, D)), None, np.ones((1, D))))


# --- Gaps filled


def test_gaps_are_filled_with_means_given_the_rest(mixture):
    rows, seen = with_gaps(rows_near(mixture, 6))
    found = mixture.impute(rows)
    assert found.dtype == np.float64
    for number, columns in enumerate(seen):
        row = mixture.conditional(rows[number : number + 1], columns).expectation
        np.testing.assert_allclose(found[number] - CENTRE, row[0] - CENTRE, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found[~np.isnan(rows)], rows[~np.isnan(rows)])
    np.testing.assert_array_equal(mixture.impute(found), found)  # nothing is left to fill
    assert mixture.impute(rows[:0]).shape == (0, D)


def test_draws_have_the_moments_of_the_conditional_mixture():
    rows, num_draws = np.array([[CENTRE[0] + 1.0, np.nan, CENTRE[2], np.nan], [np.nan] * D]), 4000
    drawn = FULL.impute(rows, num_draws=num_draws, seed=3)
    assert drawn.shape == (num_draws, 2, D)
    answer = FULL.conditional(rows[:1], [0, 2])
    filled = [1, 3]
    weights, means, spreads = answer.weights[0].astype(np.float64), answer.means[0][:, filled], answer.scales**2
    mean = weights @ means
    variance = weights @ (spreads[:, filled] + (means - mean) ** 2)
    # Standard error of the mean, and of the variance, where the fourth moment is at most 9 times its square
    found = drawn[:, 0, filled]
    assert (np.abs(found.mean(axis=0) - mean) < 5 * np.sqrt(variance / num_draws)).all()
    assert (np.abs(found.var(axis=0) / variance - 1.0) < 5 * np.sqrt(8 / num_draws)).all()
    np.testing.assert_array_equal(drawn[:, 0, [0, 2]], np.repeat(rows[:1, [0, 2]], num_draws, axis=0))
    locs = FULL.plug_in().components["locs"]
    of_all = np.abs(drawn[:, 1].mean(axis=0) - CENTRE - WEIGHTS @ locs)
    assert (of_all < 5 * drawn[:, 1].std(axis=0) / np.sqrt(num_draws)).all()


def test_draws_are_a_pure_function_of_the_seed_in_whatever_blocks(monkeypatch):
    rows, _ = with_gaps(rows_near(FULL, 12))
    for kind in ("plug_in", "predictive"):
        whole = FULL.impute(rows, num_draws=3, seed=5, kind=kind)
        np.testing.assert_array_equal(whole, FULL.impute(rows, num_draws=3, seed=5, kind=kind))
        assert np.abs(whole - FULL.impute(rows, num_draws=3, seed=6, kind=kind)).max() > 0.1
        with monkeypatch.context() as patch:
            patch.setattr(scores, "_BLOCK_VALUES", 5 * D)
            np.testing.assert_allclose(FULL.impute(rows, num_draws=3, seed=5, kind=kind), whole, rtol=1e-12)
    assert np.abs(FULL.impute(rows, num_draws=2) - FULL.impute(rows, num_draws=2)).max() > 0.1


def test_copies_differ_as_the_parameters_do():
    """Total variance of the mean of what was filled: within a draw of the parameters, and between them."""
    mixture = Mixture("diag", width=0.02)
    mixture.drawn["locs"] = mixture.plug_in().components["locs"] + np.random.default_rng(0).normal(size=(S, 1, 1))
    mixture = _with_draws(mixture)
    rows = np.repeat((mixture.plug_in().components["locs"][0] + CENTRE)[None], 200, axis=0)
    rows[:, 1] = np.nan
    plain, full = (
        mixture.impute(rows, num_draws=S, seed=0, kind=kind)[:, :, 1].mean(axis=1).std()
        for kind in ("plug_in", "predictive")
    )
    assert plain < 0.01 and 0.7 < full < 1.3  # 1 +- 5 / sqrt(2 S) would be 0.56 to 1.44


def _with_draws(mixture):
    from tfgmm.mixture import stored_draws

    mixture.drawn["precisions"] = np.repeat(mixture.plug_in().components["precisions"][None], S, axis=0)
    mixture.kept = stored_draws.stored(mixture.plug_in(), np.log(np.repeat(WEIGHTS[None], S, axis=0)), mixture.drawn)
    return mixture


def test_predictive_means_are_those_of_the_average_of_draws():
    rows, seen = with_gaps(rows_near(FULL, 3))
    found = FULL.impute(rows, kind="predictive")
    expected, totals = np.zeros_like(rows), np.zeros((3, 1))
    for s in range(S):
        mixture = Mixture("full")
        mixture._mixture = FULL.predictive().part(s)
        for number, columns in enumerate(seen):
            joints = FULL.log_joint(rows[number : number + 1], columns, FULL.parameters(s), FULL.drawn_weights[s])
            share = np.exp(special.logsumexp(joints))
            expected[number] += share * (mixture.impute(rows[number : number + 1])[0] - CENTRE)
            totals[number] += share
    np.testing.assert_allclose(found - CENTRE, expected / totals, rtol=1e-4, atol=1e-4)
    assert np.abs(found - FULL.impute(rows))[np.isnan(rows)].max() > 0.01


def test_noise_of_what_is_there_changes_what_is_filled():
    """One component: the mean of the rest given a measured value, Bishop 2006, 2.81, with its variance and noise."""
    rows = np.array([[CENTRE[0] + 2.0, np.nan, np.nan, np.nan]])
    noise = np.array([[1.5, 0.0, 0.0, 0.0]])
    found = FULL.impute(rows, noise=noise)
    shares = FULL.responsibilities(rows, noise=noise)[0]
    locs, covariances = FULL.plug_in().components["locs"] + CENTRE, FULL.covariances()
    means = [
        locs[k] + covariances[k][0] / (covariances[k][0, 0] + 1.5**2) * (rows[0, 0] - locs[k, 0]) for k in range(K)
    ]
    np.testing.assert_allclose(found[0, 1:] - CENTRE[1:], (shares @ means - CENTRE)[1:], rtol=1e-5)
    assert found[0, 0] == rows[0, 0] and np.abs(found - FULL.impute(rows)).max() > 0.05


def test_given_columns_with_draws_replace_the_others():
    rows = rows_near(FULL, 4)
    rows[2, 0] = np.nan
    frame = pd.DataFrame(rows, columns=NAMES)[["a", "c"]]
    drawn = FULL.impute(frame, given=["a", "c"], num_draws=400, seed=0)
    np.testing.assert_array_equal(np.isnan(drawn).all(axis=(0, 2)), [False, False, True, False])
    good, means = [0, 1, 3], FULL.impute(rows, given=[0, 2])
    errors = drawn[:, good].std(axis=0) / np.sqrt(400)
    assert (np.abs(drawn[:, good].mean(axis=0) - means[good]) <= 5 * errors + 1e-6).all()
    np.testing.assert_allclose(FULL.impute(rows, given=[0, 2], noise=np.zeros(rows.shape)), means, rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"seed": 1}, "`seed` must be left out where means are computed. Received: 1 without `num_draws`"),
        ({"num_draws": 0}, "`num_draws` must be a whole number"),
        ({"num_draws": 2, "seed": -1}, "`seed`"),
        ({"kind": "mean"}, "`kind` must be"),
    ],
)
def test_wrong_arguments_of_filling_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        FULL.impute(rows_near(FULL), **wrong)


def test_interval_of_rows_with_gaps_is_that_of_their_columns():
    rows, seen = with_gaps(rows_near(FULL, 6))
    joints = [joints_of(FULL, rows, seen, FULL.parameters(s), FULL.drawn_weights[s]) for s in range(S)]
    found = FULL.interval(rows, 0.8)
    expected = np.quantile(special.logsumexp(joints, axis=2), [0.1, 0.9], axis=0, method="weibull")
    np.testing.assert_allclose([found.log_prob_low, found.log_prob_high], expected, rtol=2e-5, atol=2e-5)
    shares = np.quantile(special.softmax(joints, axis=2), [0.1, 0.9], axis=0, method="weibull")
    np.testing.assert_allclose([found.responsibilities_low, found.responsibilities_high], shares, atol=2e-5)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_on_a_gpu_numpy_scores_gaps_of_correlated_columns(monkeypatch, covariance):
    rows, _ = with_gaps(rows_near(FULL))
    mixture, in_numpy = Mixture(covariance).plug_in(), []
    own = graph_scores.RowScorer.scores
    monkeypatch.setattr(devices, "has_gpu", lambda: True)
    monkeypatch.setattr(
        graph_scores.RowScorer, "scores", lambda self, *given: in_numpy.append(given) or own(self, *given)
    )
    expected = devices.block_scorer(mixture, False).scores(RowBlock(rows), ["log_prob"]).by_name["log_prob"]
    for by_graph, by_numpy in ((None, covariance == "full"), (True, False)):
        in_numpy.clear()
        found = devices.block_scorer(mixture, by_graph).scores(RowBlock(rows), ["log_prob"]).by_name["log_prob"]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert bool(in_numpy) is by_numpy
