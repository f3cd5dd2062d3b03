"""A mixture as a scikit-learn estimator."""
