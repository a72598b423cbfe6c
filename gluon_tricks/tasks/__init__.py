"""Classification, detection and segmentation: all that differs between them, and what the training loop leaves open."""
