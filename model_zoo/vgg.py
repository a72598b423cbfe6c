"""VGG."""

MODELS = {}
