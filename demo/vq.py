"""Trains the image tokenizer of the miniature: a real Emu3VQVAE that encodes 64 x 64 pixels to 8 x 8 tokens.

transformers provides this network without a training loss. The loss is the usual one (van den Oord et al., 2017): the
reconstruction error plus codebook and commitment losses, with a straight-through gradient. The codebook is initialised by
k-means on encoder outputs after an initial phase without quantisation, and unused codes are reset during most of training.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from transformers import Emu3VQVAE, Emu3VQVAEConfig

import scenes
from emudrift.runtime.progress import Progress

EMBED_DIM = 4
TOKENS = 8  # per side


@dataclass(frozen=True)
class VQSettings:
    steps: int = 4000
    batch: int = 16
    scenes: int = 12_000
    codes: int = 256
    learning_rate: float = 2e-3
    codes_from: float = 0.12  # fraction of the steps without quantisation
    revive_until: float = 0.7


def vq_config(codes: int) -> Emu3VQVAEConfig:
    """The shape of the network. The factor 8 of Emu3Processor needs exactly four channel multipliers."""
    channels, multipliers = 32, [1, 1, 1, 1]  # without residual blocks the encoder cannot change the channel count
    return Emu3VQVAEConfig(
        codebook_size=codes,
        embed_dim=EMBED_DIM,
        latent_channels=EMBED_DIM,
        temporal_downsample_factor=1,  # single images
        base_channels=channels,
        channel_multiplier=multipliers,
        num_res_blocks=0,
        attn_resolutions=[],
        hidden_size=channels * multipliers[-1],
    )


def to_pixels(images: np.ndarray) -> torch.Tensor:
    """(n, 64, 64, 3) uint8 -> (n, 3, 64, 64) in -1 ... 1."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_images(pixels: torch.Tensor) -> np.ndarray:
    """(n, 3, 64, 64) in -1 ... 1 -> (n, 64, 64, 3) uint8, rounded."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def train_vq(settings: VQSettings, seed: int) -> Emu3VQVAE:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    vq = Emu3VQVAE(vq_config(settings.codes)).train()
    codebook = vq.quantize.embedding.weight
    images = np.stack([scenes.render(scene) for scene in scenes.sample_scenes(settings.scenes, seed)])
    optimizer = torch.optim.AdamW(vq.parameters(), settings.learning_rate, betas=(0.9, 0.95), weight_decay=1e-4)
    usage = torch.zeros(settings.codes)  # moving average of how often each code is used
    latents_before_codes: list[torch.Tensor] = []
    with Progress("image tokenizer", settings.steps, "step") as progress:
        for step in range(settings.steps):
            done = step / settings.steps
            _set_rate(optimizer, settings.learning_rate, step, done)
            pixels = to_pixels(images[rng.integers(0, len(images), settings.batch)])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                latents = _encode(vq, pixels)
            latents = latents.float()

            if done < settings.codes_from:
                if done > settings.codes_from - 0.04:
                    latents_before_codes.append(latents.detach().reshape(-1, EMBED_DIM))
                quantized, code_loss = latents, 1e-3 * latents.pow(2).mean()
            else:
                if latents_before_codes:
                    codebook.data.copy_(_k_means(torch.cat(latents_before_codes), settings.codes))
                    latents_before_codes = []
                codes = _nearest(latents.detach(), codebook)
                chosen = codebook[codes].view_as(latents)
                code_loss = F.mse_loss(chosen, latents.detach()) + 0.25 * F.mse_loss(latents, chosen.detach())
                quantized = latents + (chosen - latents).detach()
                usage = 0.95 * usage + 0.05 * torch.bincount(codes, minlength=settings.codes)
                if step % 50 == 0 and done < settings.revive_until:
                    _revive(codebook, usage < 0.01, latents.detach())

            with torch.autocast("cpu", dtype=torch.bfloat16):
                decoded = _decode(vq, quantized)
            l1, l2 = F.l1_loss(decoded.float(), pixels), F.mse_loss(decoded.float(), pixels)
            (l1 + l2 + code_loss).backward()
            torch.nn.utils.clip_grad_norm_(vq.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            progress.update(note=f"error {l1.item():.3f}, codes in use {int((usage > 0.01).sum())}")
    return vq.eval()


@torch.no_grad()
def encode(vq: Emu3VQVAE, images: np.ndarray, batch: int = 64) -> torch.Tensor:
    """(n, 64, 64, 3) uint8 -> (n, 8, 8) tokens."""
    parts = []
    for start in range(0, len(images), batch):
        pixels = to_pixels(images[start : start + batch])
        sizes = torch.tensor([[scenes.SIDE, scenes.SIDE]] * len(pixels))
        parts += vq.encode(pixels, sizes).image_tokens
    return torch.stack(parts)


@torch.no_grad()
def decode(vq: Emu3VQVAE, tokens: torch.Tensor, batch: int = 64) -> np.ndarray:
    """(n, 8, 8) tokens -> (n, 64, 64, 3) uint8."""
    return np.concatenate([to_images(vq.decode(part)) for part in tokens.split(batch)])


def _encode(vq: Emu3VQVAE, pixels: torch.Tensor) -> torch.Tensor:
    """Emu3VQVAE.encode without quantisation: (n, 1, 8, 8, EMBED_DIM), one frame."""
    hidden = vq.encoder(pixels[:, None])
    return vq.quant_conv(hidden.permute(0, 2, 1, 3, 4)).permute(0, 2, 3, 4, 1)


def _decode(vq: Emu3VQVAE, latents: torch.Tensor) -> torch.Tensor:
    """Emu3VQVAE.decode from latent vectors instead of codes."""
    quantized = latents.permute(0, 4, 1, 2, 3)
    hidden = vq.post_quant_conv(quantized)
    return vq.decoder(hidden.permute(0, 2, 1, 3, 4), quantized.permute(0, 2, 1, 3, 4))


def _nearest(latents: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    flat = latents.reshape(-1, EMBED_DIM)
    return (codebook.detach().pow(2).sum(1) - 2 * flat @ codebook.detach().T).argmin(1)


def _k_means(points: torch.Tensor, count: int, rounds: int = 15, most_points: int = 60_000) -> torch.Tensor:
    points = points[-most_points:]
    centres = points[torch.randperm(len(points))[:count]].clone()
    for _ in range(rounds):
        nearest = torch.cdist(points, centres).argmin(1)
        members = torch.bincount(nearest, minlength=count)[:, None]
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        others = points[torch.randperm(len(points))[:count]]
        centres = torch.where(members > 0, sums / members.clamp(min=1), others)
    return centres


def _revive(codebook: torch.Tensor, dead: torch.Tensor, latents: torch.Tensor) -> None:
    flat = latents.reshape(-1, EMBED_DIM)
    places = dead.nonzero()[:, 0]
    codebook.data[places] = flat[torch.randint(0, len(flat), (len(places),))]


def _set_rate(optimizer: torch.optim.Optimizer, peak: float, step: int, done: float) -> None:
    """Warm-up over 50 steps, constant until 30 % of training, then linear decay to 3 %."""
    for group in optimizer.param_groups:
        group["lr"] = peak * min(1, (step + 1) / 50) * (1 - 0.97 * max(0, (done - 0.3) / 0.7))
