"""Points out images of other sizes than the reference's: all are resized to an extractor's input, but not by the same factor."""

import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from emudrift.config.experiment import Experiment
from emudrift.data.image_sources import iterate_images, scan_reference_images
from emudrift.data.prompts import Prompt

logger = logging.getLogger(__name__)

Size = tuple[int, int]
"""Width and height in pixels."""

SAMPLE = 16
"""Reference images that are opened, where no table says how large they are."""


def point_out_sizes(
    experiment: Experiment, prompts: Sequence[Prompt], models: Sequence[dict[str, Any]]
) -> dict[str, str]:
    """Logs which arms have images of other sizes than the reference, or than each other.

    Args:
        models: what `check_model` found for each.

    Returns:
        The sizes in words: of the models, by name, and of the `reference`, if its images are known.
    """
    words = {name: span(sizes) for name, sizes in _of_models(experiment, models).items() if sizes}
    reference = _of_reference(experiment, prompts)
    if reference:
        words["reference"] = span(reference)
    if said := sizes_differ(words):
        logger.warning("%s", said)
    return words


def sizes_differ(words: Mapping[str, str]) -> str:
    """A sentence, without its full stop, on which images differ in size; "" if none do.

    Args:
        words: what `point_out_sizes` returned.
    """
    if len(set(words.values())) < 2:
        return ""
    others = {name: text for name, text in words.items() if text != words.get("reference", text)}
    images = "; ".join(f"{name} {text}" for name, text in (others or words).items())
    real = f"; the reference: {words['reference']}" if "reference" in words else ""
    return (
        f"images differ in size ({images}{real}): each is resized to the extractor's input, and a distance includes what this "
        "does to sharpness"
    )


def span(sizes: Iterable[Size]) -> str:
    """`64 x 64`, or `427 to 640 x 480 to 640` for images of several sizes."""
    both = [sorted(set(side)) for side in zip(*sizes, strict=True)]
    return " x ".join(f"{side[0]}" if len(side) == 1 else f"{side[0]} to {side[-1]}" for side in both)


def _of_models(experiment: Experiment, models: Sequence[dict[str, Any]]) -> dict[str, list[Size]]:
    recorded = {model["model"]: [(w, h) for w, h in model.get("sizes", [])] for model in models}
    for arm in experiment.arms():
        if "width" in arm.settings and "height" in arm.settings:
            recorded.setdefault(arm.model, []).append((arm.settings["width"], arm.settings["height"]))
    return recorded


def _of_reference(experiment: Experiment, prompts: Sequence[Prompt]) -> list[Size]:
    """Sizes of the reference: as the dataset states them, or of its first images; none for ready statistics."""
    if not experiment.needs_reference_images:
        return []
    if experiment.config.reference.images == "dataset" and all(prompt.width and prompt.height for prompt in prompts):
        return [(prompt.width, prompt.height) for prompt in prompts]
    source = experiment.reference_images
    if not source.exists():
        return []  # Downloaded or refused by the rule that lists them.
    names = itertools.islice(scan_reference_images(source), SAMPLE)
    return [image.size for image in iterate_images(source, names)]
