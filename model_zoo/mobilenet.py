"""MobileNet."""

MODELS = {}
