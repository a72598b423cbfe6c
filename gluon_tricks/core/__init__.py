"""The ground: errors, keyed random numbers, what must happen before `import mxnet`, foreign packages, atomic files."""
