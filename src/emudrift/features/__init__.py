"""From images to feature vectors, and the statistics of the reference."""
