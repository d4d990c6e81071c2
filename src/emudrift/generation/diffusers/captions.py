"""How many captions are longer than a pipeline's text encoders read: the rest of their text never reaches the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import transformers

from emudrift.config.diffusers_model import DiffusersModel
from emudrift.config.experiment import Experiment
from emudrift.errors import InputError
from emudrift.generation.diffusers.call import Call, call_of
from emudrift.generation.diffusers.check import Components, components_of, load_index

UNLIMITED = 100_000
"""A tokenizer that says nothing of its length says a number far above this."""


def cut_captions(
    experiment: Experiment, model: DiffusersModel, settings: Mapping[str, Any], captions: Sequence[str]
) -> dict[str, int]:
    """How many captions of an arm each text encoder cuts, such as {"tokenizer (77 tokens)": 12}; without those that cut none.

    Args:
        settings: of the arm.

    Raises:
        InputError: a tokenizer cannot be loaded.
    """
    folder = experiment.checkpoint_folders(model)["checkpoint"]
    index = load_index(folder)
    call, components = call_of(folder, index, model.custom_pipeline), components_of(index)
    found = {}
    for name, (library, kind) in components.items():
        if not name.startswith("tokenizer") or library != "transformers":
            continue
        tokenizer = _load(folder / name, kind)
        limit = _limit(call, components, settings, name, tokenizer)
        if limit is None:
            continue
        texts = [caption + settings["suffix"] for caption in captions]
        lengths = [len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]] if texts else []
        if count := sum(length > limit for length in lengths):
            found[f"{name} ({limit} tokens)"] = count
    return found


def _limit(call: Call, components: Components, settings: Mapping[str, Any], name: str, tokenizer: Any) -> int | None:
    """Tokens that an encoder reads: CLIP as many as it has positions, others `max_sequence_length`; None: not known."""
    _, encoder = components.get(name.replace("tokenizer", "text_encoder"), ("", ""))
    said = {**call.parameters, **settings.get("call", {})}.get("max_sequence_length")
    if not encoder.startswith("CLIP") and isinstance(said, int):
        return said
    return int(tokenizer.model_max_length) if tokenizer.model_max_length < UNLIMITED else None


def _load(folder: Path, kind: str) -> Any:
    try:
        return getattr(transformers, kind).from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        raise InputError(f"{folder}: the tokenizer cannot be loaded: {' '.join(str(error).split())[:300]}") from error
