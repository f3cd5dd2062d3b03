"""The exact posterior, with the memberships summed out: its mode, its curvature there, and draws from it."""
