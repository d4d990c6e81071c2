"""The reference engine: transformers' own `generate`, as its documentation shows it. Slow, plain, and what others equal."""

from collections.abc import Callable

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import numpy as np
import torch
from transformers import Emu3ForConditionalGeneration, LogitsProcessor, LogitsProcessorList

from emudrift.generation.emu3.recipe import Recipe
from emudrift.generation.emu3.sampling import image_uniforms, sample_top_k


class SampleByImage(LogitsProcessor):
    """Draws each row's next token with the image's own random numbers and leaves only that token possible.

    `generate` then takes it greedily, so its global random state plays no part.

    Args:
        prompt_length: padded length of the prompts.
        uniforms: (batch, h * w) float64.
        top_k: see `sample_top_k`.
        width: visual tokens per line.
    """

    def __init__(self, prompt_length: int, uniforms: torch.Tensor, top_k: int, width: int) -> None:
        self.prompt_length, self.uniforms, self.top_k, self.width = prompt_length, uniforms, top_k, width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        row, column = divmod(input_ids.shape[1] - self.prompt_length, self.width + 1)
        drawn = row * self.width + column
        if column == self.width or drawn >= self.uniforms.shape[1]:
            return scores  # A structure token: the grid leaves only one possible.
        token = sample_top_k(scores.float(), self.uniforms[:, drawn], self.top_k)
        return torch.full_like(scores, -torch.inf).scatter_(1, token.unsqueeze(1), 0.0)


class ReferenceEngine:
    """Draws visual tokens with `generate`: guidance as a second forward, the grid by a prefix function."""

    def __init__(self, model: Emu3ForConditionalGeneration, recipe: Recipe) -> None:
        self.model, self.recipe = model, recipe

    @torch.inference_mode()
    def codes(self, captions: list[str], seeds: list[int]) -> torch.Tensor:
        """Draws one image per caption.

        Args:
            captions: without the suffix.
            seeds: one per caption; an image's tokens depend on its caption and seed alone.

        Returns:
            (batch, h, w) int64 codes of the codebook.
        """
        recipe = self.recipe
        inputs = recipe.positive(captions)
        prompt_length = inputs["input_ids"].shape[1]
        uniforms = np.stack([image_uniforms(seed, recipe.h * recipe.w) for seed in seeds])
        sampler = SampleByImage(prompt_length, torch.from_numpy(uniforms).to(self.model.device), recipe.top_k, recipe.w)
        guidance = {}
        if recipe.guidance_scale != 1:
            negative = recipe.negative(len(captions))
            guidance = {
                "guidance_scale": recipe.guidance_scale,
                "negative_prompt_ids": negative["input_ids"],
                "negative_prompt_attention_mask": negative["attention_mask"],
            }
        output = self.model.generate(
            **inputs,
            **guidance,
            do_sample=False,
            max_new_tokens=recipe.new_tokens,
            prefix_allowed_tokens_fn=self.grid(prompt_length),
            logits_processor=LogitsProcessorList([sampler]),
        )
        return self.read(output[:, prompt_length:])

    def grid(self, prompt_length: int) -> Callable[[int, torch.Tensor], list[int]]:
        """The grid: which tokens may follow, by position alone."""
        recipe, ids = self.recipe, self.recipe.structure
        visual = list(range(ids.first_visual, ids.first_visual + ids.n_visual))
        tail = [[ids.eof], [ids.eoi], [ids.eos]]
        grid = recipe.h * (recipe.w + 1)

        def allowed(_: int, tokens: torch.Tensor) -> list[int]:
            place = tokens.shape[0] - prompt_length
            if place >= grid:
                return tail[place - grid]
            return [ids.eol] if place % (recipe.w + 1) == recipe.w else visual

        return allowed

    def read(self, new: torch.Tensor) -> torch.Tensor:
        """Takes the visual tokens out of the grid and checks that every token is where it must be."""
        recipe, ids = self.recipe, self.recipe.structure
        lines = new[:, :-3].view(len(new), recipe.h, recipe.w + 1)
        tail = torch.tensor([ids.eof, ids.eoi, ids.eos], device=new.device)
        codes = lines[..., :-1] - ids.first_visual
        whole = (lines[..., -1] == ids.eol).all() and (new[:, -3:] == tail).all()
        # transformers' decode_image_tokens would turn a stray text token into code 0 without a word.
        if not (whole and ((codes >= 0) & (codes < ids.n_visual)).all()):
            raise RuntimeError("generate left the token grid: a structure token is missing or a text token was drawn")
        return codes
