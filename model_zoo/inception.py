"""Inception-V3."""

MODELS = {}
