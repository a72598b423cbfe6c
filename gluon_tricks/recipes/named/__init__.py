"""The recipes that `--recipe NAME` starts from."""
