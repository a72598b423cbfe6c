"""A trained network in use: loaded by what a user calls it, evaluated, and asked about photos."""

from gluon_tricks.trained.load import load_network, open_network

__all__ = ["load_network", "open_network"]
