"""Matplotlib figures of the report."""
