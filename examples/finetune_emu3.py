"""Fine-tunes Emu3 for understanding, as a LoRA adapter: transformers' Trainer on LLaVA's conversations and COCO captions.

    python examples/finetune_emu3.py --model resources/models/emu3 --data llava_instruct_150k.json captions_train2014.json
        --images train2014 --output_dir runs/coco --bf16 --gradient_checkpointing

Run again, it goes on from the last complete checkpoint. What it saves are arms of an experiment: docs/finetuning.md.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import numpy as np
import torch
import transformers as hf
from peft import LoraConfig, get_peft_model
from PIL import Image
from transformers.models.emu3.modeling_emu3 import Emu3ImageVocabularyMapping

from emudrift.generation.emu3.checkpoint import load_vq
from emudrift.runtime.atomic_files import atomic_path

# The VQ has layers of these names, too.
TARGETS = r".*text_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
DEFAULTS = {
    "max_steps": 2000,
    "save_steps": 200,
    "learning_rate": 1e-4,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 50,
}
Conversation = tuple[str | None, list[tuple[str, str]]]


@dataclass
class Options:
    model: Path = field(metadata={"help": "folder of the Emu3 checkpoint, with its processor"})
    data: list[Path] = field(metadata={"help": "JSON files of LLaVA's or COCO's format"})
    images: Path = field(metadata={"help": "folder of the images that they name"})
    rank: int = 16
    max_length: int = field(default=9216, metadata={"help": "tokens after which an example is cut off"})
    caption_prompt: str = "Provide a one-sentence caption for the provided image."
    system: str = field(default="You are a helpful assistant. ", metadata={"help": "before the first turn"})
    turn: str = field(default="USER: {image}{text}. ASSISTANT:", metadata={"help": "what is asked"})
    answer: str = field(default=" {answer}", metadata={"help": "what is learned"})


def conversations(path: Path, caption_prompt: str) -> Iterator[Conversation]:
    """An image (or None) with questions and answers about it, from LLaVA's list or from COCO's captions."""
    data = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(data, list):
        for each in data:
            said = [turn["value"].replace("<image>", "").strip() for turn in each["conversations"]]
            yield each.get("image"), list(zip(said[::2], said[1::2], strict=True))
    else:
        files = {image["id"]: image["file_name"] for image in data["images"]}
        for each in data["annotations"]:
            yield files[each["image_id"]], [(caption_prompt, each["caption"].strip())]


@torch.inference_mode()
def tokenize_images(names: list[str], tokens: Path, options: Options, processor: Any, device: torch.device) -> None:
    """Writes TOKENS/NAME.npy, (h, w + 1) tokens with ends of lines, for each image that has none yet.

    Before training: `model.train()`, which Trainer calls, changes the normalisation of Emu3's VQ, and 39 % of its tokens with it.
    """
    vq = load_vq(options.model).eval().to(device)
    to_text = Emu3ImageVocabularyMapping(hf.Emu3Config.from_pretrained(options.model).vocabulary_map).convert_img2bpe
    for name in names:
        if not (tokens / f"{name}.npy").exists():
            image = processor.image_processor(Image.open(options.images / name).convert("RGB"), return_tensors="pt")
            (codes,) = vq.encode(image["pixel_values"].float().to(device), image["image_sizes"]).image_tokens
            with atomic_path(tokens / f"{name}.npy") as temporary:
                np.save(temporary, to_text(codes.cpu()).numpy())


@dataclass
class Examples(torch.utils.data.Dataset):
    """Conversations as tokens; the loss is of the answers alone."""

    rows: list[Conversation]
    tokens: Path
    options: Options
    tokenizer: Any

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        (image, turns), of = self.rows[index], self.tokenizer
        ids, labels, text = [], [], of.bos_token + self.options.system

        def add(new: str | list[int], learned: bool = False) -> None:
            new = of(new, add_special_tokens=False).input_ids if isinstance(new, str) else new
            ids.extend(new)
            labels.extend(new if learned else [-100] * len(new))

        for nth, (question, answer) in enumerate(turns):
            before, after = self.options.turn.split("{image}")
            text += before
            if image is not None and nth == 0:
                rows = np.load(self.tokens / f"{image}.npy")
                add(f"{text}{of.boi_token}{rows.shape[0]}*{rows.shape[1] - 1}{of.image_wrapper_token}")
                add(rows.flatten().tolist())
                text = of.eof_token + of.eoi_token
            add(text + after.replace("{text}", question))
            add(self.options.answer.replace("{answer}", answer) + of.eos_token, learned=True)
            text = ""
        return {"input_ids": ids[: self.options.max_length], "labels": labels[: self.options.max_length]}


def parse(words: list[str] | None = None) -> tuple[Options, hf.TrainingArguments]:
    parser = hf.HfArgumentParser((Options, hf.TrainingArguments))
    parser.set_defaults(**DEFAULTS, remove_unused_columns=False, report_to="none")
    return parser.parse_args_into_dataclasses(words)


def finetune(options: Options, training: hf.TrainingArguments) -> None:
    processor, output = hf.Emu3Processor.from_pretrained(options.model), Path(training.output_dir)
    processor.tokenizer.padding_side = "right"
    rows = [each for path in options.data for each in conversations(path, options.caption_prompt)]
    names = sorted({image for image, _ in rows if image is not None})
    with training.main_process_first():
        tokenize_images(names, output / "tokens", options, processor, training.device)
    hf.set_seed(training.seed)
    dtype = torch.bfloat16 if training.bf16 else torch.float32
    model = hf.Emu3ForConditionalGeneration.from_pretrained(options.model, dtype=dtype)
    model = get_peft_model(model, LoraConfig(r=options.rank, lora_alpha=2 * options.rank, target_modules=TARGETS))
    trainer = hf.Trainer(
        model,
        training,
        data_collator=hf.DataCollatorForSeq2Seq(processor.tokenizer),
        train_dataset=Examples(rows, output / "tokens", options, processor.tokenizer),
    )
    # The last file of a checkpoint: one without it was being written when the training stopped.
    complete = [path.parent for path in output.glob("checkpoint-*/trainer_state.json")]
    last = max(complete, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)
    trainer.train(resume_from_checkpoint=None if last is None else str(last))


if __name__ == "__main__":
    finetune(*parse())
