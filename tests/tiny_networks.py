"""Tiny DINOv2 and CLIP checkpoints with random weights, in the format of the published ones."""

import json
from pathlib import Path

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, Dinov2Config, Dinov2Model

CHARACTERS = "abcdefghijklmnopqrstuvwxyz,.'-0123456789"


def tiny_dinov2(folder: Path, seed: int = 0, width: int = 32) -> Path:
    torch.manual_seed(seed)
    config = Dinov2Config(
        hidden_size=width, num_hidden_layers=2, num_attention_heads=2, image_size=70, patch_size=14, mlp_ratio=2
    )
    Dinov2Model(config).save_pretrained(folder)
    return folder


def tiny_clip(folder: Path, seed: int = 0, width: int = 24, tokenizer: bool = True) -> Path:
    """Embeds 32 x 32 pixels and 16 tokens; its tokenizer knows letters and digits."""
    torch.manual_seed(seed)
    vocabulary = [*CHARACTERS, *(f"{c}</w>" for c in CHARACTERS), "<|startoftext|>", "<|endoftext|>"]
    text = {
        "vocab_size": len(vocabulary),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "bos_token_id": len(vocabulary) - 2,
        "eos_token_id": len(vocabulary) - 1,
        "pad_token_id": len(vocabulary) - 1,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=width))
    model.save_pretrained(folder)
    if tokenizer:
        (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(vocabulary)}))
        (folder / "merges.txt").write_text("#version: 0.2\n")
        CLIPTokenizer.from_pretrained(folder, model_max_length=16).save_pretrained(folder)
    return folder
