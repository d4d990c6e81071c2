"""Emu3: checkpoints, prompt recipe, language model, sampling engines and VQ tokenizer."""
