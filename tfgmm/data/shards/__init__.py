"""Rows in parts on several machines: they stay where they are, and functions go to them."""
