"""Speed, measured side by side: every contestant in a process of its own, in turn, in one run."""
