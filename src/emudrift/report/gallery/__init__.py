"""Sample gallery: selection of rows, thumbnail strips, and the section of the page."""
