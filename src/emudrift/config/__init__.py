"""What a user may write in a config, and what follows from it: arms, row ranges, fingerprints, paths."""
