"""The tokens of an Emu3 checkpoint, and whether its tokenizer, its config and its networks agree on them.

With a tokenizer that is incomplete, or belongs to another checkpoint, transformers generates images without an error: they
ignore their captions, or show other codes than those that were sampled.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

from transformers import Emu3ForConditionalGeneration, Emu3Processor, PreTrainedTokenizerBase

from emudrift.errors import InputError

EOL = "<|extra_200|>"
VISUAL = "<|visual token {:06d}|>"
PROBE = "A photo of 2 dogs on a red sofa; 64*48 tokens."
"""A caption whose tokens must decode to itself, and be those of the baseline; ASCII, which no tokenizer normalises."""

_OF_LOADING = (OSError, ValueError, AttributeError, KeyError, TypeError)


@dataclass(frozen=True)
class Structure:
    """Ids of the structure tokens (which are not sampled), and the range of the visual tokens."""

    bos: int
    boi: int
    image: int
    eol: int
    eof: int
    eoi: int
    eos: int
    pad: int
    first_visual: int
    n_visual: int


def load_processor(checkpoint: Path) -> Emu3Processor:
    """Loads the processor of a checkpoint. Raises InputError if its files are missing or invalid."""
    # Without these files, transformers creates a tokenizer that knows its special tokens only: every caption becomes empty.
    if not (checkpoint / "tokenizer.json").is_file() and not all(
        (checkpoint / name).is_file() for name in ("vocab.json", "merges.txt")
    ):
        raise InputError(
            f"{checkpoint}: has no tokenizer: tokenizer.json, or vocab.json and merges.txt, must be in this folder; copy them "
            "from the checkpoint it was made from"
        )
    try:
        processor = Emu3Processor.from_pretrained(checkpoint, local_files_only=True)
        processor.tokenizer(PROBE)  # Some settings are used here first.
        return processor
    except Exception as error:  # tokenizers raises Exception itself for vocabularies that are damaged.
        if not isinstance(error, _OF_LOADING) and type(error) is not Exception:
            raise
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"{checkpoint}: cannot load the tokenizer and the image processor ({type(error).__name__}: {said}); copy their files "
            "from the checkpoint it was made from"
        ) from error


def read_structure(
    checkpoint: Path, tokenizer: PreTrainedTokenizerBase, model: Emu3ForConditionalGeneration
) -> Structure:
    """The ids of structure and visual tokens.

    Args:
        checkpoint: folder, for messages.
        model: loaded, or on the meta device.

    Raises:
        InputError: the visual tokens are not in codebook order.
    """
    mapping = model.vocabulary_mapping.img2bpe
    first = mapping.get(0, 0)
    # Codes are computed as id - first, so the ids must be one contiguous range in codebook order.
    if [mapping.get(code) for code in range(max(len(mapping), 1))] != list(range(first, first + len(mapping))):
        raise InputError(
            f"{checkpoint}: its visual tokens are not a contiguous range of ids in codebook order: not an Emu3 tokenizer"
        )
    ids = {key: tokenizer.convert_tokens_to_ids(name) for key, name in _names(tokenizer).items()}
    return Structure(**ids, first_visual=first, n_visual=len(mapping))


def _names(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """The structure tokens."""
    return {
        "bos": tokenizer.bos_token,
        "boi": tokenizer.boi_token,
        "image": tokenizer.image_wrapper_token,
        "eol": EOL,
        "eof": tokenizer.eof_token,
        "eoi": tokenizer.eoi_token,
        "eos": tokenizer.eos_token,
        "pad": tokenizer.pad_token,
    }


def check_vocabulary(
    checkpoint: Path, tokenizer: PreTrainedTokenizerBase, model: Emu3ForConditionalGeneration
) -> dict[str, Any]:
    """Checks that tokenizer, config, language model and VQ agree on every token that generation uses.

    Args:
        checkpoint: folder of tokenizer and config.
        model: loaded, or on the meta device.

    Returns:
        What must be equal in all models that are compared: ids of structure and visual tokens, and those of `PROBE`.

    Raises:
        InputError: a token is missing, has another id in the config, or is out of range; or a caption loses characters.
    """
    known, mapping = tokenizer.get_vocab(), model.vocabulary_mapping.vocab_map
    n_visual, codes = len(model.vocabulary_mapping.img2bpe), model.model.vqmodel.config.codebook_size
    if n_visual != codes:
        raise InputError(
            f"{checkpoint}/config.json: vocabulary_map has {n_visual:,} visual tokens, but the codebook of the VQ "
            f"has {codes:,} codes; the two must be equal"
        )
    visual = [VISUAL.format(code) for code in range(n_visual)]
    for name in [*_names(tokenizer).values(), *visual]:
        if name not in known:
            raise InputError(
                f"{checkpoint}: its tokenizer has no token {name!r}: not an Emu3 tokenizer, or an incomplete one; copy the "
                "tokenizer's files from the checkpoint it was made from"
            )
        if mapping.get(name, known[name]) != known[name] or (name in (EOL, *visual) and name not in mapping):
            raise InputError(
                f"{checkpoint}: the token {name!r} has the id {known[name]} in the tokenizer, but {mapping.get(name)} in the "
                "vocabulary_map of config.json; take both files from the same checkpoint"
            )
    structure = read_structure(checkpoint, tokenizer, model)
    _compare_config(checkpoint, tokenizer)
    largest, size = max(known[name] for name in [*_names(tokenizer).values(), *visual]), model.lm_head.weight.shape[0]
    if largest >= size:
        raise InputError(
            f"{checkpoint}: its tokenizer has the id {largest}, but the language model only {size} (vocab_size in config.json)"
        )
    probe = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    if (said := tokenizer.decode(probe, clean_up_tokenization_spaces=False)) != PROBE:
        raise InputError(
            f"{checkpoint}: its tokenizer loses text: {PROBE!r} becomes {said!r}, so images would ignore their captions; copy "
            "the tokenizer's files from the checkpoint it was made from"
        )
    return asdict(structure) | {"probe": probe}


def _compare_config(checkpoint: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Compares ids that config.json states; those it does not state are transformers' defaults, and not used here."""
    config: dict[str, Any] = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    text = config.get("text_config", {})
    for key, stated, found in (
        ("bos_token_id", text.get("bos_token_id"), tokenizer.bos_token_id),
        ("eos_token_id", text.get("eos_token_id"), tokenizer.eos_token_id),
        ("pad_token_id", text.get("pad_token_id"), tokenizer.pad_token_id),
        ("image_token_id", config.get("image_token_id"), tokenizer.image_token_id),
    ):
        if stated not in (None, found):
            raise InputError(
                f"{checkpoint}/config.json: {key} is {stated}, but that token has the id {found} in the tokenizer; take both "
                "files from the same checkpoint"
            )
