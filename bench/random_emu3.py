"""Emu3 models with random weights for benchmarks: a small one, and one of the published model's shape."""

from pathlib import Path
from typing import Any
from unittest import mock

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from transformers import Emu3Config, Emu3ForConditionalGeneration, Emu3VQVAE
from transformers.models.emu3.configuration_emu3 import Emu3VQVAEConfig

from emudrift.data.prompts import Prompt
from emudrift.generation.emu3.generator import Emu3Generator, Emu3Weights
from emudrift.generation.emu3.grid_engine import GridEngine
from emudrift.generation.emu3.recipe import Recipe
from emudrift.generation.interface import Batching

MINIATURE = Path(__file__).resolve().parents[1] / "demo" / "models" / "base"
WORDS = [
    "a",
    "small",
    "red",
    "circle",
    "above",
    "a",
    "large",
    "blue",
    "square",
    "in",
    "a",
    "grey",
    "picture",
    "with",
    "words",
]
# The language models: 88 M parameters, and BAAI/Emu3-Gen's config.json.
SMALL = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 10, "num_attention_heads": 12}
SMALL |= {"head_dim": 64, "num_key_value_heads": 4, "max_position_embeddings": 4096}
LARGE = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
LARGE |= {"head_dim": 128, "num_key_value_heads": 8, "max_position_embeddings": 9216, "vocab_size": 184_622}
VISUAL_TOKENS = 32_768
STUDY_BATCH = 20
SHARD = 500


def random_model(
    shape: dict[str, int], visual: int, device: torch.device, dtype: torch.dtype, published_vq: bool = False
) -> Emu3ForConditionalGeneration:
    """The miniature's tokenizer with `visual` visual tokens, and random weights.

    Args:
        published_vq: whether the VQ has the published one's shape instead of the miniature's.
    """
    config = Emu3Config.from_pretrained(MINIATURE)
    names = config.vocabulary_map
    first = names["<|visual token 000000|>"]
    names |= {f"<|visual token {code:06d}|>": first + code for code in range(visual)}
    for name, value in ({"vocab_size": first + visual} | shape).items():
        setattr(config.text_config, name, value)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    with device:
        model = Emu3ForConditionalGeneration(config).eval()
    torch.set_default_dtype(before)
    with device:
        vq = Emu3VQVAE(Emu3VQVAEConfig()) if published_vq else model.model.vqmodel.float()
    model.model.vqmodel = vq.eval()
    # Larger logits than at initialisation, so that greedy choices are not affected by rounding.
    model.lm_head.weight.data.normal_(std=0.2)
    for name in ("temperature", "top_p", "top_k"):
        setattr(model.generation_config, name, None)
    return model


def parameters(model: Emu3ForConditionalGeneration) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def new_captions(n: int) -> list[str]:
    return [" ".join(WORDS[: 3 + i % 10]) + f" {i}" for i in range(n)]


def new_prompts(n: int, side: int) -> list[Prompt]:
    return [
        Prompt(i, f"{i:012d}", i, "", 8 * side, 8 * side, caption, 1000 + i)
        for i, caption in enumerate(new_captions(n))
    ]


def settings_of(width: int, height: int, top_k: int) -> dict[str, Any]:
    """An arm's settings that decide its tokens; sizes in visual tokens."""
    return {
        "width": 8 * width,
        "height": 8 * height,
        "guidance_scale": 3.0,
        "top_k": top_k,
        "suffix": "",
        "negative_prompt": "x",
    }


def new_recipe(model: Emu3ForConditionalGeneration, width: int, height: int, top_k: int) -> Recipe:
    return Recipe(MINIATURE, model, settings_of(width, height, top_k))


class RandomWeights(Emu3Weights):
    """A random model in place of a loaded checkpoint."""

    def __init__(self, model: Emu3ForConditionalGeneration) -> None:
        self.model, self.device = model, model.device
        self.key, self.checkpoint = (), MINIATURE

    def engine(self, side: int, attention: str, top_k: int = 2048, prompt_length: int = 64) -> GridEngine:
        recipe = new_recipe(self.model, side, side, top_k)
        return GridEngine(self.model, self.language.using(attention), recipe, prompt_length)

    def generator(
        self, side: int, batching: Batching | None, top_k: int = 2048, attention: str = "auto", tf32: bool = False
    ) -> Emu3Generator:
        settings = settings_of(side, side, top_k) | {"engine": "grid", "attention": attention, "decoder_tf32": tf32}
        settings |= {"dtype": str(self.language.dtype).removeprefix("torch."), "device": self.device.type}
        # The miniature's tokenizer has fewer visual tokens than the published model.
        with mock.patch("emudrift.generation.emu3.generator.check_vocabulary"):
            return Emu3Generator(settings, self, batching)
