"""Classification: its loss and scores."""
