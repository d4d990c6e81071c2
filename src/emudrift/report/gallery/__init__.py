"""The gallery of images: which rows, their thumbnails, the section of the page."""
