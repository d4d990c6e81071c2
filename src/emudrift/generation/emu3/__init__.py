"""Emu3: its checkpoints, recipe, language model, engines and VQ."""
