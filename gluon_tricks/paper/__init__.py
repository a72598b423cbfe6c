"""The paper's tables and figures: cells, running and planning them, shown beside the paper's numbers."""
