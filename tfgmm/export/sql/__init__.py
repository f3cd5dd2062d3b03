"""Scores as SQL text: a SELECT that a database runs, and the names in it."""
