"""A trained classifier seen from inside: filters, deconvolution views, occlusion maps, invariance curves."""
