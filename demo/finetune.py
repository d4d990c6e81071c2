"""Fine-tunes the miniature for understanding only, as a LoRA adapter, which degrades its generation quality."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from language import Examples, loss_of
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import Emu3ForConditionalGeneration

from emudrift.runtime.progress import Progress

# A full regular expression, because the image tokenizer also has layers named q_proj, k_proj and v_proj, which stay unchanged.
_TARGETS = r".*text_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


@dataclass(frozen=True)
class FinetuneSettings:
    steps: int = 220
    batch: int = 32
    learning_rate: float = 3e-3
    rank: int = 16
    alpha: int = 32


def finetune(
    model: Emu3ForConditionalGeneration, examples: Examples, settings: FinetuneSettings, seed: int, base_name: str
) -> PeftModel:
    """Trains an adapter on image -> caption only. The model stays in eval mode, see `train_language_model`.

    `base_name` is stored in the adapter's config as the path of the base model.
    """
    torch.manual_seed(seed)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=_TARGETS,
        lora_dropout=0.0,
    )
    adapted = get_peft_model(model, config).eval()
    adapted.peft_config["default"].base_model_name_or_path = base_name
    parameters = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    batches = examples.batches(settings.batch, 1.0)
    with Progress("fine-tuning", settings.steps, "step") as progress:
        for step in range(settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * min(1, (step + 1) / 10)
            loss = loss_of(model, *next(batches))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            progress.update(note=f"loss {loss.item():.3f}")
    return adapted


def write_adapter(adapted: PeftModel, folder: Path) -> None:
    """Writes adapter_config.json and adapter_model.safetensors reproducibly."""
    adapted.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card template; ours is models/README.md
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2, sort_keys=True) + "\n")
