"""Initialisation of a network from images: Krähenbühl et al., ICLR 2016 (arXiv:1511.06856)."""
