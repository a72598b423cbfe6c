"""GoogLeNet."""

MODELS = {}
