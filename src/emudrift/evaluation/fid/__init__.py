"""The Fréchet distance: computed, resampled, recorded and compared."""
