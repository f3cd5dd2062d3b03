"""The version of this package."""

# setup.cfg reads this line; asking the installed metadata instead would cost 20 ms
__version__ = "0.1.0"
