"""What a mixture is, and what every row goes through, in NumPy."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "features": ["GROUP", "num_products", "pair_coefficients", "pairs", "write_products", "write_squares"],
        "log_joints": ["coefficients_of", "factors_of", "write_features"],
        "occupied": ["is_occupied"],
        "outliers": ["NUM_SAMPLES", "check_table"],
        "priors": ["Priors"],
        "row_scores": ["score_rows"],
        "row_sums": ["log_likelihoods_over_rows", "sums_over_rows"],
        "starts": ["distinct_rows", "start_locs", "warn_of_odd_data"],
        "statistics": ["Statistics"],
        "stored_draws": ["NUM_DRAWS"],
    },
)
