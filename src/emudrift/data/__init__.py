"""Inputs: captions and the prompt table, image files and archives, the reference list, downloads."""
