"""What of a pipeline's or a command's settings can change a pixel: the settings of its arms, and so their fingerprints."""

from typing import Any

from emudrift.config.experiment_config import Generation
from emudrift.config.models import CommandModel, DiffusersModel


def diffusers_settings(model: DiffusersModel, generation: Generation, scale: float, checkpoint: str) -> dict[str, Any]:
    """Of a pipeline at a guidance scale; `checkpoint` says which. What the model does not set is the experiment's."""
    settings = {
        "checkpoint": checkpoint,
        "width": generation.width,
        "height": generation.height,
        "steps": model.steps,
        "dtype": model.dtype or generation.dtype,
        "variant": model.variant,
        "custom_pipeline": model.custom_pipeline,
        "guidance_scale": scale,
        "suffix": generation.suffix_at(scale) if model.suffix is None else model.suffix,
    }
    if scale > 1:  # Without guidance it plays no part.
        own = model.negative_prompt
        settings["negative_prompt"] = generation.negative_prompt if own is None else own
    return settings


def command_settings(
    model: CommandModel, generation: Generation, scale: float | None, words: list[str], files: list[str]
) -> dict[str, Any]:
    """Of a program at a guidance scale.

    Args:
        words: of its command, placeholders and all.
        files: that decide what it draws, by names that are the same on every machine.
    """
    return {
        "command": words,
        "files": files,
        "width": generation.width,
        "height": generation.height,
        "guidance_scale": scale,
    }
