"""Classification, detection and segmentation: what the training loop leaves open."""
