"""Multi-label classification: images that show several classes each."""
