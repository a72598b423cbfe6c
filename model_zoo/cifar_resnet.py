"""CIFAR residual and plain networks."""

MODELS = {}
