"""The paper's tables: rows of differences."""
