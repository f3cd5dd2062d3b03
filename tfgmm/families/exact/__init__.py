"""The exact posterior, memberships summed out: its density, mode, information, weighted draws and chains."""
