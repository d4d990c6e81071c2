"""The device that the config asks for, or an error: never another one in its place."""

import torch

from emudrift.errors import InputError


def torch_device(name: str) -> torch.device:
    """The device `cuda` or `cpu`. Raises InputError if a GPU is asked for and none is there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device: cuda is asked for in the config, but torch sees no GPU; set device: cpu to use the CPU"
        )
    return torch.device(name)
