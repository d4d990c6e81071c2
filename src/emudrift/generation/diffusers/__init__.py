"""Text-to-image pipelines in diffusers format."""
