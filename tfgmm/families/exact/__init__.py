"""The exact posterior of a mixture, with the memberships of the rows summed out, by NumPy."""
