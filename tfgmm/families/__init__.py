"""Variational posteriors of components and weights, by NumPy: priors, divergences, updates, draws, questions."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "base": ["check_priors"],
        "correlated": ["CorrelatedComponents", "CorrelatedDraws", "CorrelatedPosterior"],
        "exact.evidence": ["NearbyEvidence", "can_be_ranked", "evidence_near", "mode_near"],
        "exact.of_fit": ["drawn_from_rows", "exact_posterior", "warn_of", "words_of_step"],
        "exact.records": ["ExactDraws"],
        "exact.rule": ["CHAINS_LEFT_OUT", "mean_field_draws"],
        "fitted": ["FittedMixture"],
        "functions": ["NUMPY", "SCALE_RANGE", "SHAPE_RANGE", "Arithmetic", "Functions"],
        "independent": ["IndependentComponents", "IndependentDraws", "IndependentPosterior"],
        "learned_scales": ["LocationScales"],
        "natural_gradient": [
            "GlobalStep",
            "OneStep",
            "Place",
            "Spot",
            "bound_figures",
            "gathered",
            "global_step",
            "is_in_range_of_float32",
            "moved",
            "place_again",
            "place_at",
            "place_of",
        ],
        "queries": ["PosteriorQueries"],
        "row_batches": ["SweepBatches", "sweep_batch_size"],
        "training_rows": ["centred_blocks"],
        "variational": [
            "COMPONENTS",
            "Components",
            "Drawn",
            "Factors",
            "Values",
            "VariationalPosterior",
            "stacked",
        ],
        "weights": ["WEIGHTS"],
        "wishart": ["log_normalisers"],
    },
)
