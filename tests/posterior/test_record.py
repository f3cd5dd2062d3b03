"""What a record of draws says of them: when they are trusted, and in which words they are not."""

from __future__ import annotations

import pytest

from tfgmm.posterior.record import METHODS, STOPPED, PosteriorRecord, check_method

GOOD_IMPORTANCE = PosteriorRecord("importance", k_hat=0.31, ess=1_234.0)
GOOD_CHAINS = PosteriorRecord("mcmc", r_hat=1.012, ess=2_000.0)
GOOD_NORMAL = PosteriorRecord("laplace", efficiency=0.93)


@pytest.mark.parametrize(
    ("record", "is_exact", "is_trusted"),
    [
        (GOOD_IMPORTANCE, True, True),
        (PosteriorRecord("importance", k_hat=0.7, ess=1_234.0), False, False),
        (PosteriorRecord("importance", k_hat=0.31, ess=399.0), False, False),
        (PosteriorRecord("importance", ess=1_234.0), False, False),
        (GOOD_CHAINS, True, True),
        (PosteriorRecord("mcmc", r_hat=1.05, ess=2_000.0), False, False),
        (PosteriorRecord("mcmc", r_hat=1.012, ess=399.0), False, False),
        (PosteriorRecord("mcmc", ess=2_000.0), False, False),
        (GOOD_NORMAL, False, True),
        (PosteriorRecord("laplace", efficiency=0.93, k_hat=0.3), False, True),
        (PosteriorRecord("laplace", efficiency=0.93, k_hat=0.8), False, False),
        (PosteriorRecord("laplace", efficiency=0.79), False, False),
        (PosteriorRecord("laplace", efficiency=0.3, width_error=0.05), False, True),
        (PosteriorRecord("laplace", efficiency=0.3, width_error=0.06), False, False),
        (PosteriorRecord("laplace"), False, False),
        (PosteriorRecord("mean_field"), False, False),
    ],
)
def test_draws_are_trusted_by_the_figures_of_their_method(record, is_exact, is_trusted):
    assert (record.is_exact, record.is_trusted) == (is_exact, is_trusted)


def test_a_record_of_good_draws_has_one_sentence_with_its_figures():
    assert GOOD_IMPORTANCE.sentences() == (
        "intervals are those of the exact posterior, by importance sampling (Pareto k-hat 0.31, 1,234 effective draws)",
    )
    assert GOOD_CHAINS.sentences() == (
        "intervals are those of the exact posterior, by Markov chains (r-hat 1.012, 2,000 effective draws)",
    )
    assert GOOD_NORMAL.sentences() == (
        "intervals are those of the normal distribution at the mode of the exact posterior "
        "(93 % of its draws are effective)",
    )
    assert str(GOOD_NORMAL) == GOOD_NORMAL.sentences()[0]
    assert not any(record.warnings() for record in (GOOD_IMPORTANCE, GOOD_CHAINS, GOOD_NORMAL))


def test_the_mean_field_posterior_says_what_gives_a_better_one_and_warns_of_nothing():
    record = PosteriorRecord("mean_field", "mean_field")
    assert record.sentences() == (
        "intervals are those of the mean-field posterior",
        'they are too narrow where components overlap: posterior="auto" gives those of the exact posterior',
    )
    assert record.warnings() == ()


def test_warnings_say_what_to_do():
    narrow = PosteriorRecord("laplace", "laplace", efficiency=0.2, note="the posterior is flat at its mode")
    assert narrow.warnings() == (
        "standard deviations may be 30 % or more too small (the posterior is flat at its mode): ask for "
        'posterior="importance" or "mcmc", or for fewer components',
    )
    after_all = PosteriorRecord("laplace", "auto", efficiency=0.2)  # importance sampling was tried
    assert after_all.warnings()[0].endswith('too small: ask for posterior="mcmc", or for fewer components')
    missing = (
        "parts of the posterior may be missing from these draws: ask for fewer components, or read the density alone"
    )
    assert PosteriorRecord("mcmc", r_hat=1.3, ess=90.0).warnings() == (missing,)
    assert PosteriorRecord("importance", k_hat=0.9, ess=90.0).warnings() == (missing,)
    by_name = PosteriorRecord("importance", "importance", k_hat=0.9, ess=90.0)
    assert by_name.warnings()[0].endswith('ask for posterior="mcmc", or for fewer components')
    assert PosteriorRecord("mcmc", note=STOPPED).warnings() == (
        "parts of the posterior may be missing from these draws (it was stopped before it was done): let it run to its "
        "end",
    )
    too_many = PosteriorRecord("mean_field", "auto", note="7,000 free numbers are more than 6,000")
    assert too_many.warnings() == (
        "standard deviations may be far too small where components overlap (7,000 free numbers are more than 6,000)",
    )


def test_components_that_swap_are_told_of_above_five_percent():
    alike = PosteriorRecord("importance", k_hat=0.31, ess=1_234.0, share_moved=0.2)
    assert alike.warnings() == (
        "in 20 % of the posterior the components stand in another order, so that they cannot be told apart: numbers of "
        "single components mean little, the density means what it says",
    )
    assert PosteriorRecord("importance", k_hat=0.31, ess=1_234.0, share_moved=0.05).warnings() == ()
    some = PosteriorRecord("importance", k_hat=0.31, ess=1_234.0, share_moved=0.2, moved=(0.0, 0.2, 0.2))
    assert some.warnings() == (
        "in 20 % of the posterior components 1 and 2 stand in another order, so that they cannot be told apart: their "
        "numbers mean little, those of the others and the density mean what they say",
    )


def test_figures_that_are_not_good_enough_are_not_said_to_be_of_the_exact_posterior():
    first, *_ = PosteriorRecord("mcmc", r_hat=1.34, ess=150.0).sentences()
    assert first.startswith("intervals are meant to be those of the exact posterior, by Markov chains (r-hat 1.340")
    assert "standard deviations right to 3 %" in str(PosteriorRecord("laplace", efficiency=0.3, width_error=0.031))


def test_names_of_posteriors_are_checked():
    assert [check_method(name) for name in (*METHODS, "auto")] == [*METHODS, "auto"]
    with pytest.raises(ValueError, match=r"`posterior` must be one of 'mean_field', .*'auto'. Received: 'laplac'"):
        check_method("laplac")
