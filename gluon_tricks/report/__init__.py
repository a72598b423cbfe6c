"""What a run shows of itself: report.html, and runs side by side."""
