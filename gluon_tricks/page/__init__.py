"""One HTML page in one file: its skeleton and style, charts, bars, matrices and pictures."""
