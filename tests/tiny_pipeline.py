"""Tiny pipelines of diffusers with random weights, in the format of the published ones."""

import json
import shutil
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from tiny_networks import CHARACTERS
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
)

WIDTH = 32
WORDS = [*CHARACTERS, *(f"{c}</w>" for c in CHARACTERS), "<|startoftext|>", "<|endoftext|>"]
SIZES = {"hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4}


def tiny_pipeline(folder: Path, threshold: float | None = None, variant: str | None = None) -> Path:
    """A Stable Diffusion that draws 32 x 32 pixels in milliseconds.

    Args:
        threshold: gives it a safety checker that takes offence at a cosine above this; default: none.
        variant: of the weight files.
    """
    torch.manual_seed(0)
    checker = None if threshold is None else _safety_checker(threshold)
    pipeline = StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config()),
        tokenizer=_tokenizer(folder),
        unet=_unet(),
        scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=checker,
        feature_extractor=None if checker is None else CLIPImageProcessor(size=32, crop_size=32),
        requires_safety_checker=checker is not None,
    )
    pipeline.save_pretrained(folder, variant=variant)
    return folder


def tiny_sdxl(folder: Path) -> Path:
    """An SDXL with its two text encoders, and a scheduler that draws random numbers at every step."""
    torch.manual_seed(1)
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config()),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(projection_dim=WIDTH)),
        tokenizer=_tokenizer(folder),
        tokenizer_2=_tokenizer(folder),
        unet=_unet(
            cross_attention_dim=2 * WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=WIDTH + 6 * 8,
        ),
        scheduler=EulerAncestralDiscreteScheduler(),
    )
    pipeline.save_pretrained(folder)
    return folder


def tiny_flux(folder: Path, guidance_embeds: bool = True) -> Path:
    """A Flux with its two text encoders and a transformer of one block of each kind; its T5 reads with CLIP's tokenizer.

    Args:
        guidance_embeds: False for a network without guidance, such as that of Flux schnell.
    """
    torch.manual_seed(2)
    transformer = FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH, axes_dims_rope=(4, 4, 8), guidance_embeds=guidance_embeds,
    )  # fmt: skip
    second = T5Config(vocab_size=len(WORDS), d_model=WIDTH, d_kv=8, d_ff=WIDTH, num_layers=1, num_heads=4)
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(latent_channels=4, shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModel(_text_config()),
        tokenizer=_tokenizer(folder),
        text_encoder_2=T5EncoderModel(second),
        tokenizer_2=_tokenizer(folder),
        transformer=transformer,
    )
    pipeline.save_pretrained(folder)
    return folder


def tiny_sd3(folder: Path) -> Path:
    """A Stable Diffusion 3 with its three text encoders; its T5 reads with CLIP's tokenizer."""
    torch.manual_seed(3)
    transformer = SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=2 * WIDTH, caption_projection_dim=WIDTH, pooled_projection_dim=2 * WIDTH, out_channels=4,
        pos_embed_max_size=16,
    )  # fmt: skip
    third = T5Config(vocab_size=len(WORDS), d_model=2 * WIDTH, d_kv=8, d_ff=WIDTH, num_layers=1, num_heads=4)
    pipeline = StableDiffusion3Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(latent_channels=4, shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModelWithProjection(_text_config(projection_dim=WIDTH)),
        tokenizer=_tokenizer(folder),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(projection_dim=WIDTH)),
        tokenizer_2=_tokenizer(folder),
        text_encoder_3=T5EncoderModel(third),
        tokenizer_3=_tokenizer(folder),
        transformer=transformer,
    )
    pipeline.save_pretrained(folder)
    return folder


def _unet(**changes: Any) -> UNet2DConditionModel:
    settings = {
        "sample_size": 16,
        "block_out_channels": (WIDTH, WIDTH),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 8,
        "norm_num_groups": 8,
    }
    return UNet2DConditionModel(**(settings | changes))


def _vae(**more: Any) -> AutoencoderKL:
    return AutoencoderKL(
        **more,
        block_out_channels=(16, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
    )


def _text_config(**more: Any) -> CLIPTextConfig:
    ends = {"bos_token_id": len(WORDS) - 2, "eos_token_id": len(WORDS) - 1, "pad_token_id": len(WORDS) - 1}
    return CLIPTextConfig(vocab_size=len(WORDS), max_position_embeddings=77, **SIZES, **ends, **more)


def _tokenizer(folder: Path) -> CLIPTokenizer:
    words = folder / "words"
    words.mkdir(parents=True)
    (words / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(WORDS)}))
    (words / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(words, model_max_length=77)
    shutil.rmtree(words)
    return tokenizer


def _safety_checker(threshold: float) -> StableDiffusionSafetyChecker:
    vision = SIZES | {"image_size": 32, "patch_size": 8}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, text_config=SIZES, projection_dim=16))
    torch.nn.init.normal_(checker.concept_embeds)
    checker.concept_embeds_weights.data.fill_(threshold)
    checker.special_care_embeds_weights.data.fill_(2)  # Never reached: a cosine is at most 1.
    return checker
