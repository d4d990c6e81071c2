"""From visual tokens to pixels: the VQ decoder in float32."""

import emudrift.torchvision_mend  # noqa: F401  (before transformers)

import numpy as np
import torch
from transformers import Emu3VQVAE


@torch.inference_mode()
def decode_codes(vq: Emu3VQVAE, codes: torch.Tensor) -> np.ndarray:
    """Decodes visual tokens to images.

    Pixels are rounded to the nearest of 256 values (transformers' postprocess truncates). Images are decoded one by one:
    another batch size moves the roundings of a convolution, and now and then a pixel with them.

    Args:
        vq: `Emu3VQVAE` in float32.
        codes: (batch, h, w) integers.

    Returns:
        (batch, height, width, 3) uint8.
    """
    pixels = torch.cat([vq.decode(code.unsqueeze(0)) for code in codes])
    # Emu3's image processor normalises with mean 0.5 and standard deviation 0.5: [0, 255] is [-1, 1].
    scaled = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).cpu().numpy()
