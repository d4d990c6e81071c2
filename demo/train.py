"""Trains the demo's models from scratch: image tokenizer, language model, understanding-only fine-tuning.

    python demo/train.py              train and evaluate (see the model card for the duration)
    python demo/train.py --resume     continue after the last stage finished with these settings and seed

Writes models/base/ (the base model), models/finetuned/ (a LoRA adapter) and models/quality.json. Runs on the CPU with two
threads on every machine, so that sums are computed in a fixed order. Intermediate stages are in demo/out/.
"""

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers, which the modules below import)

# isort: split
import argparse
import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from evaluate import DEMO, evaluate
from finetune import FinetuneSettings, finetune, write_adapter
from language import (
    QUESTION,
    Examples,
    LanguageSettings,
    build_model,
    build_processor,
    check_layout,
    to_rows,
    train_language_model,
)
from transformers import Emu3ForConditionalGeneration, Emu3Processor, Emu3VQVAE
from transformers.utils.logging import disable_progress_bar
from vq import VQSettings, encode, train_vq

import scenes
from emudrift.runtime.terminal import start_logging

BASE_NAME = "demo/models/base"  # from the root of the repository
SEED = 100


def train_tokenizer(folder: Path, settings: VQSettings, seed: int) -> None:
    # Rounded in the same way as the saved base model, so that the language model is trained on the final tokens.
    train_vq(settings, seed).to(torch.bfloat16).save_pretrained(folder)


def train_base(folder: Path, vq_folder: Path, settings: LanguageSettings, seed: int) -> None:
    vq = Emu3VQVAE.from_pretrained(vq_folder, dtype=torch.float32).eval()
    shown = scenes.sample_scenes(settings.scenes, seed)
    texts = [caption for scene in shown[:3000] for caption in scenes.captions(scene)]
    processor = build_processor(texts + [QUESTION] * 500, vq.config.codebook_size, settings.merges)
    check_layout(processor)
    torch.manual_seed(seed)
    model = build_model(processor, vq, settings)
    examples = Examples(processor, shown, _rows_of(model, shown), np.random.default_rng(seed))
    train_language_model(model, examples, settings)
    model.to(torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)


def train_adapter(folder: Path, base_folder: Path, settings: FinetuneSettings, scene_count: int, seed: int) -> None:
    processor = Emu3Processor.from_pretrained(base_folder)
    model = Emu3ForConditionalGeneration.from_pretrained(base_folder, dtype=torch.float32).eval()
    shown = scenes.sample_scenes(scene_count, seed)
    examples = Examples(processor, shown, _rows_of(model, shown), np.random.default_rng(seed))
    write_adapter(finetune(model, examples, settings, seed, BASE_NAME), folder)


def _rows_of(model: Emu3ForConditionalGeneration, shown: list[scenes.Scene]) -> torch.Tensor:
    logging.info("encoding %d scenes to tokens", len(shown))
    return to_rows(model, encode(model.model.vqmodel, np.stack([scenes.render(scene) for scene in shown])))


def run_stage(out: Path, name: str, settings: dict, resume: bool, make: Callable[[Path], None]) -> Path:
    """Runs a training stage; with `resume`, reuses an existing folder if it has the same settings.

    The settings are written last: a folder without them is incomplete.
    """
    folder, note = out / name, out / f"{name}.json"
    if resume and note.is_file() and json.loads(note.read_text())["settings"] == settings:
        logging.info("%s: reusing %s", name, folder)
        return folder
    note.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    start = time.monotonic()
    make(folder)
    seconds = round(time.monotonic() - start)
    note.write_text(json.dumps({"settings": settings, "seconds": seconds}, indent=2) + "\n")
    logging.info("%s: finished in %d s", name, seconds)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, help="output folder for base/ and finetuned/ (default: demo/models)")
    parser.add_argument("--out", type=Path, default=DEMO / "out", help="folder for intermediate stages")
    parser.add_argument("--seed", type=int, default=SEED, help=f"default: {SEED}")
    parser.add_argument("--resume", action="store_true", help="reuse finished stages in --out")
    parser.add_argument("--quick", action="store_true", help="trial run with 1/50 of the steps, written to --out/quick")
    options = parser.parse_args()
    if options.seed < 0:
        parser.error(f"--seed {options.seed}: must be 0 or more")
    out = options.out / "quick" if options.quick else options.out
    models = options.models or (out / "models" if options.quick else DEMO / "models")
    start_logging()
    disable_progress_bar()
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)

    vq, language, tuning, captions = VQSettings(), LanguageSettings(), FinetuneSettings(), 512
    if options.quick:
        vq = replace(vq, steps=vq.steps // 50, scenes=500)
        language = replace(language, steps=language.steps // 50, scenes=500)
        tuning, captions = replace(tuning, steps=2), 16

    # Every stage samples its own scenes; the settings of earlier stages are part of its settings.
    made_from: dict = {"seed": options.seed, "vq": asdict(vq)}
    vq_folder = run_stage(
        out, "vq", made_from, options.resume, lambda folder: train_tokenizer(folder, vq, options.seed)
    )
    made_from = made_from | {"language": asdict(language)}
    base = run_stage(
        out,
        "base",
        made_from,
        options.resume,
        lambda folder: train_base(folder, vq_folder, language, options.seed + 1),
    )
    made_from = made_from | {"finetune": asdict(tuning)}
    finetuned = run_stage(
        out,
        "finetuned",
        made_from,
        options.resume,
        lambda folder: train_adapter(folder, base, tuning, min(language.scenes, 8000), options.seed + 2),
    )
    for folder in (base, finetuned):
        shutil.rmtree(models / folder.name, ignore_errors=True)
        shutil.copytree(folder, models / folder.name)
    quality = evaluate(models, captions)
    (models / "quality.json").write_text(json.dumps(quality, indent=2) + "\n")


if __name__ == "__main__":
    main()
