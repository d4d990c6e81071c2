"""What comes in: captions to prompt table, image files and archives, the reference list, downloads."""
