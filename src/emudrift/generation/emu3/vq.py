"""Emu3's VQ tokenizer: encoding pixels to visual tokens and decoding them, in float32.

One image at a time: the number of images in a batch affects the rounding of convolutions, and a single image of 512 x 512
already takes 2.7 GB (`memory.DECODER_BYTES_PER_PIXEL`) and keeps a GPU busy.
"""

from collections.abc import Callable

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from torch import Tensor
from transformers import Emu3VQVAE

from emudrift.generation.emu3.cuda_graphs import capturing


@torch.inference_mode()
def decode_codes(vq: Emu3VQVAE, codes: Tensor, tf32: bool = False) -> Tensor:
    """Decodes visual tokens to images.

    Pixels are rounded to the nearest of 256 values (transformers' postprocess truncates).

    Args:
        vq: `Emu3VQVAE` in float32.
        codes: (batch, h, w) integers.
        tf32: whether convolutions on a GPU may use TF32, torch's default, which keeps 10 of float32's 23 mantissa bits.

    Returns:
        (batch, height, width, 3) uint8, on the CPU.
    """
    images = []
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32):
        for code in codes:
            with capturing:
                pixels = first_frame(vq, code[None].to(vq.device).long())
                # Emu3's image processor normalises with mean 0.5 and standard deviation 0.5: [0, 255] is [-1, 1].
                scaled = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
                image = _started_copy(scaled.permute(0, 2, 3, 1).contiguous())
            images.append(image())
    return torch.cat(images)


def _started_copy(pixels: Tensor) -> Callable[[], Tensor]:
    """Starts to copy pixels to the CPU; the result waits for it, without occupying the CPU or other streams, and returns them."""
    if pixels.device.type != "cuda":
        return pixels.cpu
    pinned = torch.empty(pixels.shape, dtype=pixels.dtype, pin_memory=True)
    pinned.copy_(pixels, non_blocking=True)
    copied = torch.cuda.Event(blocking=True)
    copied.record()

    def wait() -> Tensor:
        copied.synchronize()
        return pinned.clone()  # Pinned memory is scarce, and images wait until they are written.

    return wait


@torch.inference_mode()
def encode_pixels(vq: Emu3VQVAE, pixels: Tensor) -> Tensor:
    """Encodes images to visual tokens.

    Args:
        vq: `Emu3VQVAE` in float32.
        pixels: (batch, height, width, 3) uint8.

    Returns:
        (batch, h, w) int64 codes, on the CPU.
    """
    codes = []
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        for image in pixels:
            scaled = image[None].to(vq.device).permute(0, 3, 1, 2).float() / 127.5 - 1
            codes += [tokens.cpu() for tokens in vq.encode(scaled, torch.tensor([scaled.shape[-2:]])).image_tokens]
    return torch.stack(codes)


def first_frame(vq: Emu3VQVAE, codes: Tensor) -> Tensor:
    """Decodes visual tokens to an image: the result of `Emu3VQVAE.decode`, without computing the frames that it discards.

    Emu3's VQ is a video tokenizer: it decodes one frame of tokens to `temporal_downsample_factor` frames, the first of which is
    the image. Its temporal convolutions are causal, so the spatial layers are computed for the first frame only.

    Args:
        codes: (batch, h, w) int64.

    Returns:
        (batch, 3, height, width), about -1 to 1.
    """
    batch, h, w = codes.shape
    decoder = vq.decoder
    quantised = vq.quantize.embedding(codes.flatten()).view(batch, 1, h, w, -1).permute(0, 4, 1, 2, 3).contiguous()
    both = torch.cat([vq.post_quant_conv(quantised), quantised])
    for layer in decoder.time_res_stack:
        both = layer(both)
    for layer in decoder.time_conv:
        both = layer(both)
        both = both * torch.sigmoid(both)
    hidden, quantised = both[:, :, 0].chunk(2)
    hidden = decoder.middle_block(decoder.conv_in(hidden), quantised)
    hidden = decoder.norm_out(decoder.up_block(hidden, quantised), quantised)
    return decoder.conv_out(hidden * torch.sigmoid(hidden))
