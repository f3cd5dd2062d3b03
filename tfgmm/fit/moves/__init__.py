"""Moves between components: those that the rows need least go, and those that fit worst are divided in two."""
