"""Networks with batch normalisation."""

MODELS = {}
