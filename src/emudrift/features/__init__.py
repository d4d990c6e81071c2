"""Feature extractors, and statistics of the reference."""
