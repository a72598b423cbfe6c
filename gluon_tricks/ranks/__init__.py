"""Many processes: Horovod, gradients in buckets, synchronised batch normalisation, the launcher and its hosts."""
