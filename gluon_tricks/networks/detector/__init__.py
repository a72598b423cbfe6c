"""Faster-RCNN on a network of the zoo."""
