"""DenseNet."""

MODELS = {}
