"""Faster-RCNN on any base network of the zoo: GluonCV's network, targets and losses, and the devkit's scores."""
