"""Emu3 as an entry of the registry of models that see: loading what answers, and refusing what cannot be asked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

from transformers import Emu3Config

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.models import Emu3Model
from emudrift.config.seeing import Variant
from emudrift.data.image_sources import open_pictures
from emudrift.generation.answers.interface import AskedQuestion
from emudrift.generation.emu3.answer_prompt import PromptLayout, prompt_lengths
from emudrift.generation.emu3.answerer import Emu3Answerer
from emudrift.generation.emu3.generator import shared_weights
from emudrift.generation.emu3.image_tokens import set_image_area
from emudrift.generation.emu3.vocabulary import load_processor
from emudrift.generation.model_files import load_model_record


@contextmanager
def load_answerer(experiment: Experiment, model: Emu3Model, arm: Arm, variant: Variant) -> Iterator[Emu3Answerer]:
    """What answers a variant's questions for an arm."""
    record = load_model_record(experiment.paths.model_record(model.name))
    with open_pictures(experiment.path(variant.task.images)) as files:
        yield Emu3Answerer(
            arm.settings,
            shared_weights(arm.settings, experiment.checkpoint_folders(model)),
            variant.task.image_area,
            variant.max_new_tokens,
            files,
            Path(experiment.paths.visual_tokens()),
            record["vq"],
        )


def check_questions(
    experiment: Experiment, model: Emu3Model, arm: Arm, variant: Variant, questions: Sequence[AskedQuestion]
) -> dict[str, Any]:
    """Checks that every prompt, with its pictures and examples, fits into the model's positions; encodes no picture.

    Returns:
        The longest prompt, in tokens, and the model's positions.

    Raises:
        InputError: one does not fit, with the arithmetic; or a picture cannot be read.
    """
    checkpoint = experiment.checkpoint_folders(model)["checkpoint"]
    processor = load_processor(checkpoint)
    set_image_area(processor.image_processor, variant.task.image_area)
    layout = PromptLayout(processor, arm.settings["chat"])
    positions = Emu3Config.from_pretrained(checkpoint, local_files_only=True).text_config.max_position_embeddings
    with open_pictures(experiment.path(variant.task.images)) as files:
        lengths = prompt_lengths(layout, files, questions, variant.max_new_tokens, positions)
    return {"longest_prompt": max(lengths), "positions": positions}
