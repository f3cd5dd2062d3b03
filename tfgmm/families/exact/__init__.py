<<<<<<< HEAD
"""The exact posterior, with the memberships summed out: its mode, its curvature there, and draws from it."""
=======
"""The exact posterior, memberships summed out: its density, mode, information, weighted draws and chains."""
>>>>>>> side_chains
