"""What a mixture is, and what every row goes through, in NumPy."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "filled": ["with_gaps_filled"],
        "features": [
            "GROUP",
            "columns_of_products",
            "matrices_of_products",
            "num_products",
            "pair_coefficients",
            "pairs",
        ],
        "hidden_values": ["sentences_on_hidden", "sentences_on_unseen", "shares_hidden"],
        "imputation": ["Imputer"],
        "integrands": ["Coefficients", "with_integrals", "with_masks", "without_masks"],
        "log_joints": ["exponentials", "write_features"],
        "occupied": ["is_occupied"],
        "odd_data": ["doubts_of_columns", "oddities", "spreads_that_differ", "warn_of_odd_data", "warn_of_pulls"],
        "outliers": ["NUM_SAMPLES", "check_table"],
        "parameters": [
            "FORMS",
            "LOCS",
            "MixtureDensity",
            "Parameters",
            "coefficients_from",
            "coefficients_of",
            "form_of",
            "num_parameters",
            "parameter_shapes",
        ],
        "partitions": ["Groups", "far_groups_widened", "pooled_over_groups", "start_groups"],
        "priors": ["Priors"],
        "priors_from_data": ["least_variances"],
        "registry": ["COVARIANCES", "FormName", "WEIGHT_PRIORS", "mixtures_of"],
        "row_groups": ["RowGroups"],
        "row_scores": ["RowScorer", "RowScores", "Score"],
        "row_sums": ["log_likelihoods_over_rows", "statistics_of", "sums_over_rows"],
        "sampling": ["sample_rows"],
        "starts": ["distinct_rows", "start_locs"],
        "statistics": ["RowSums", "Statistics", "added", "scaled", "split_masks", "with_whole_masks"],
        "stored_draws": ["NUM_DRAWS"],
        "true_values": ["has_gaps"],
        "virtual_copies": ["are_few", "are_whole", "copies"],
    },
)
