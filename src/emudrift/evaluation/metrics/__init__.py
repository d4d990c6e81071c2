"""Metrics beyond FID, one module each, and their tables."""
