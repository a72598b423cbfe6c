"""Classifiers, from a recipe or from what a user calls a trained one; any network's parameters, and checkpoints."""
