"""Algorithm 1, what it needs in place, what it writes, and what happens when numbers go wrong."""
