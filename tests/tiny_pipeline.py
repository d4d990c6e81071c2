"""Tiny pipelines of diffusers with random weights, in the format of the published ones."""

import json
from pathlib import Path

import emudrift.torchvision_mend  # noqa: F401  (before transformers)

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from tiny_networks import CHARACTERS
from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

WIDTH = 32


def tiny_pipeline(folder: Path, threshold: float | None = None, variant: str | None = None) -> Path:
    """A Stable Diffusion that draws 32 x 32 pixels in milliseconds.

    Args:
        threshold: gives it a safety checker that takes offence at a cosine above this; default: none.
        variant: of the weight files.
    """
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(WIDTH, WIDTH),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(16, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
    )
    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    words = [*CHARACTERS, *(f"{c}</w>" for c in CHARACTERS), "<|startoftext|>", "<|endoftext|>"]
    ends = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": len(words) - 1}
    sizes = {
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    text = CLIPTextConfig(vocab_size=len(words), max_position_embeddings=77, **sizes, **ends)
    (folder / "words").mkdir(parents=True)
    (folder / "words/vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "words/merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "words", model_max_length=77)
    checker = None if threshold is None else _safety_checker(threshold, sizes)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=checker,
        feature_extractor=None if checker is None else CLIPImageProcessor(size=32, crop_size=32),
        requires_safety_checker=checker is not None,
    )
    for path in (folder / "words").iterdir():
        path.unlink()
    (folder / "words").rmdir()
    pipeline.save_pretrained(folder, variant=variant)
    return folder


def _safety_checker(threshold: float, sizes: dict[str, int]) -> StableDiffusionSafetyChecker:
    vision = sizes | {"image_size": 32, "patch_size": 8}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, text_config=sizes, projection_dim=16))
    torch.nn.init.normal_(checker.concept_embeds)
    checker.concept_embeds_weights.data.fill_(threshold)
    checker.special_care_embeds_weights.data.fill_(2)  # Never reached: a cosine is at most 1.
    return checker
