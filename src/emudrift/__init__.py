"""Did fine-tuning cost a text-to-image model generation quality, and by how much?"""
