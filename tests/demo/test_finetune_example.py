"""examples/finetune_emu3.py on the miniature: prompts as the processor's, and training that goes on to the same bytes."""

import json
import sys
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401

import pytest
import torch
from conftest import MINIATURE, ROOT
from PIL import Image
from transformers import Emu3ForConditionalGeneration, Emu3Processor

from emudrift.config.adapters import Checkpoints
from emudrift.data.training_runs import scan_checkpoints

sys.path.insert(0, str(ROOT / "examples"))
import finetune_emu3

DATA = ROOT / "demo" / "data"
CONVERSATIONS = [
    {
        "image": "000000000003.png",
        "conversations": [
            {"from": "human", "value": "<image>\nwhat is in the picture?"},
            {"from": "gpt", "value": "a circle"},
            {"from": "human", "value": "where?"},
            {"from": "gpt", "value": "on the left"},
        ],
    },
    {"conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "yes"}]},
]


def data(folder: Path) -> list[Path]:
    """Eight captions and two conversations."""
    whole = json.loads((DATA / "captions.json").read_text())
    few = {"images": whole["images"][:4], "annotations": whole["annotations"][:20:3]}
    (folder / "captions.json").write_text(json.dumps(few))
    (folder / "llava.json").write_text(json.dumps(CONVERSATIONS))
    return [folder / "captions.json", folder / "llava.json"]


def options(folder: Path, name: str = "run") -> Any:
    words = [
        "--model",
        MINIATURE / "base",
        "--images",
        DATA / "images",
        "--output_dir",
        folder / name,
        "--use_cpu",
        "True",
    ]
    words += ["--max_steps", 6, "--save_steps", 2, "--per_device_train_batch_size", 2, "--learning_rate", 3e-3]
    return finetune_emu3.parse([str(word) for word in [*words, "--warmup_steps", 1, "--data", *data(folder)]])


def test_prompts_are_those_of_the_processor_and_the_loss_is_of_the_answers_alone(tmp_path):
    processor = Emu3Processor.from_pretrained(MINIATURE / "base")
    model = Emu3ForConditionalGeneration.from_pretrained(MINIATURE / "base", dtype=torch.float32).eval()
    (of, _), tokenizer, tokens = options(tmp_path), processor.tokenizer, tmp_path / "tokens"
    rows = [row for path in of.data for row in finetune_emu3.conversations(path, of.caption_prompt)]
    names = ["000000000001.png", "000000000003.png"]
    finetune_emu3.tokenize_images(names, tokens, of, processor, torch.device("cpu"))
    examples = finetune_emu3.Examples(rows, tokens, of, tokenizer)
    image = Image.open(DATA / "images" / "000000000001.png")
    asked = f"You are a helpful assistant. USER: {processor.image_token}{of.caption_prompt}. ASSISTANT:"
    prompt = processor(text=[asked], images=[image], return_tensors="pt")
    with torch.inference_mode():
        visual = model.model.get_image_tokens(prompt["pixel_values"], prompt["image_sizes"])
    expected = prompt["input_ids"][0]
    expected[expected == processor.image_token_id] = visual.long()
    expected = expected.tolist()
    found = examples[0]
    length = len(expected)
    assert found["input_ids"][:length] == expected
    assert found["labels"][:length] == [-100] * length
    assert found["labels"][length:] == found["input_ids"][length:]
    assert tokenizer.decode(found["labels"][length:]) == f" {rows[0][1][0][1]}{tokenizer.eos_token}"
    talk = examples[len(rows) - 2]
    learned = [token for token in talk["labels"] if token != -100]
    assert tokenizer.decode(learned) == f" a circle{tokenizer.eos_token} on the left{tokenizer.eos_token}"
    assert "USER: where?. ASSISTANT: on the left" in tokenizer.decode(talk["input_ids"])
    assert processor.tokenizer.boi_token not in tokenizer.decode(examples[len(rows) - 1]["input_ids"])


def test_a_training_that_is_stopped_and_goes_on_gives_the_same_bytes(tmp_path, monkeypatch):
    finetune_emu3.finetune(*options(tmp_path, "whole"))
    whole, parts, seen = tmp_path / "whole", tmp_path / "parts", []
    read = finetune_emu3.Examples.__getitem__

    def stops(examples: Any, index: int) -> Any:
        seen.append(index)
        if len(seen) > 9:  # In the fifth step of two examples each, after checkpoint 4.
            raise KeyboardInterrupt
        return read(examples, index)

    with monkeypatch.context() as patch:
        patch.setattr(finetune_emu3.Examples, "__getitem__", stops)
        with pytest.raises(KeyboardInterrupt):
            finetune_emu3.finetune(*options(tmp_path, "parts"))
    assert not (parts / "checkpoint-6").exists()
    (parts / "checkpoint-5").mkdir()  # Being written when the training stopped.
    (parts / "checkpoint-5" / "adapter_config.json").write_text("{")
    finetune_emu3.finetune(*options(tmp_path, "parts"))
    weights = "adapter_model.safetensors"
    for step in (4, 6):
        ours, theirs = (folder / f"checkpoint-{step}" / weights for folder in (parts, whole))
        assert ours.read_bytes() == theirs.read_bytes()
    assert (whole / "checkpoint-2" / weights).read_bytes() != (whole / "checkpoint-6" / weights).read_bytes()
    run = Checkpoints(path=f"{whole}/checkpoint-*", list=f"{whole}/checkpoints.yaml")
    assert [each.step for each in scan_checkpoints(run, tmp_path / "c.yaml")] == [2, 4, 6]
