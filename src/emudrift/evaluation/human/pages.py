"""Rating pages: one HTML file per rater, with the images next to them under names that do not reveal the model."""

import base64
import hashlib
import io
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image

from emudrift.config.experiment import Experiment
from emudrift.data.image_io import encode_png, load_image
from emudrift.data.image_sources import open_pictures
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.evaluation.human.study import ANSWERS, APPEAL, DEGRADED, OTHER, PHOTOGRAPH, Design, Key, Question
from emudrift.features.degradations import Degradation
from emudrift.generation.archives import read_archive
from emudrift.runtime.atomic_files import TEMPORARY_PREFIX, write_bytes_atomically

IMAGES = "images"
NO_TIME = 315_576_000  # Noon of 1 January 1980, the earliest date that a zip can store.
HEAVY = (Degradation("blur", 10), Degradation("jpeg", 10))
"""What makes the worse image of a gold pair: shapes remain, and nobody can take it for the photograph."""
ASK: dict[Question, str] = {
    "appeal": "Which image is more pleasing to look at?",
    "faithfulness": "Which image matches the text better?",
}
EXPLAINED: dict[Question, str] = {
    "appeal": "You will see two images side by side, A and B. Choose the one that is more pleasing to look at: consider "
    "composition, lighting, colours, sharpness, and whether anything in it looks broken. What the images are supposed to show "
    "does not matter here, so it is not shown.",
    "faithfulness": "There is a text above the two images. Choose the image that matches the text: the right objects, the right "
    "number of them, and the right colours, positions and actions. If both match it, choose “Both”; if neither does, choose "
    "“Neither”. How good an image looks does not matter here.",
}
# The page's label for each answer, and its keyboard shortcuts.
LABELS = {
    "left": ("A", ["1", "←"]),
    "right": ("B", ["2", "→"]),
    "tie": ("No preference", ["3"]),
    "both": ("Both", ["3"]),
    "neither": ("Neither", ["4"]),
}


def write_images(experiment: Experiment, design: Design, prompts: Sequence[Prompt], folder: Path) -> dict[str, Any]:
    """Writes each image once, named by a hash of its bytes, so that its name reveals nothing but its pixels.

    Returns:
        arm to prompt_id to file name, prompts in row order.

    Raises:
        InputError: an archive is missing or does not match the prompts, or there are fewer prompts than are to be rated.
    """
    wanted = [prompt.prompt_id for prompt in prompts[: design.prompts]]
    if len(wanted) < design.prompts:
        raise InputError(
            f"human_evaluation: prompts: {design.prompts}, but the prompt table has {len(wanted)}; ask for fewer"
        )
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, dict[str, str]] = {}
    for arm in design.arms:
        names[arm] = {}
        for shard in experiment.shards(design.prompts):
            for prompt_id, image in read_archive(experiment.paths.archive(arm, shard.name)):
                if len(names[arm]) == len(wanted):
                    break
                names[arm][prompt_id] = _write(image, folder)
        if list(names[arm]) != wanted:
            raise InputError(f"arm {arm}: its archives do not match the prompt table; run its shards again")
    return names


def write_gold(experiment: Experiment, prompts: Sequence[Prompt], folder: Path) -> dict[str, dict[str, str]]:
    """Writes the photographs of some of the prompts (as many as attention_checks), their heavy degradations, and others.

    Args:
        prompts: those that are rated.

    Returns:
        PHOTOGRAPH, DEGRADED and OTHER to prompt_id to file name; empty without photographs (prompts: images) or without checks.
        OTHER lacks a prompt where all photographs are its own.

    Raises:
        InputError: a photograph is missing or damaged.
    """
    config = experiment.config
    if config.prompts.images is None or not config.human_evaluation.attention_checks:
        return {}
    rng = np.random.default_rng([config.seed, 0])
    count = min(config.human_evaluation.attention_checks, len(prompts))
    names: dict[str, dict[str, str]] = {PHOTOGRAPH: {}, DEGRADED: {}, OTHER: {}}
    with open_pictures(experiment.path(config.prompts.images)) as pictures:

        def photograph_of(file_name: str) -> Image.Image:
            return load_image(io.BytesIO(pictures.data(file_name)), name=file_name)

        for place in sorted(rng.choice(len(prompts), size=count, replace=False)):
            prompt = prompts[place]
            degraded = photograph_of(prompt.file_name)
            names[PHOTOGRAPH][prompt.prompt_id] = _write(degraded, folder)
            for degradation in HEAVY:
                degraded = degradation.apply(degraded)
            names[DEGRADED][prompt.prompt_id] = _write(degraded, folder)
            others = sorted({each.file_name for each in prompts} - {prompt.file_name})
            if others:
                names[OTHER][prompt.prompt_id] = _write(photograph_of(others[rng.integers(len(others))]), folder)
    return names


def _write(image: Image.Image, folder: Path) -> str:
    data = encode_png(image)
    name = f"{hashlib.sha256(data).hexdigest()[:16]}.png"
    write_bytes_atomically(folder / name, data)
    # Arms are written one after the other; timestamps, which a zip preserves, would reveal the arm.
    os.utime(folder / name, (NO_TIME, NO_TIME))
    return name


def write_pages(folder: Path, key: Key, captions: dict[str, str]) -> None:
    """Writes rater-1.html, rater-2.html, … into the folder that contains the images.

    Args:
        captions: prompt_id to caption.
    """
    for rater in range(1, len(key.raters) + 1):
        write_bytes_atomically(folder / f"rater-{rater}.html", render_page(key, rater, captions).encode())


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder that replaces `folder` when the `with` block ends, or is removed if the block fails."""
    new = folder.with_name(f"{TEMPORARY_PREFIX}{folder.name}")
    shutil.rmtree(new, ignore_errors=True)
    try:
        yield new
        shutil.rmtree(folder, ignore_errors=True)
        try:
            os.replace(new, folder)
        except OSError as error:
            raise InputError(f"cannot write {folder}: {(error.strerror or str(error)).lower()}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def render_page(key: Key, rater: int, captions: dict[str, str], mturk: bool = False) -> str:
    """One rater's page as HTML. It loads only the images next to it. Equal inputs give identical text.

    Args:
        mturk: the page of every rater, for Mechanical Turk, which puts the column `study` of its table (`page_data` in base64)
            in the place of ${study}; with a button that submits the votes.
    """
    template, style, script = (
        files(__package__).joinpath(name).read_text(encoding="utf-8")
        for name in ("page.html.j2", "page.css", "page.js")
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        study=page_data(key, rater, captions),
        explained=EXPLAINED,
        mturk=mturk,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def page_data(key: Key, rater: int, captions: dict[str, str], images: str = IMAGES) -> dict[str, Any]:
    """Input of the page's script. Contains no arm names, and no captions for the question that hides them.

    Args:
        images: where the images are: a folder beside the page, or an address.
    """
    return {
        "format": key.format,
        "experiment": key.experiment,
        "study": key.study,
        "rater": rater,
        "information": [part.strip() for part in key.information.split("\n\n") if part.strip()],
        "token": key.tokens[rater - 1],
        "parts": len({item.question for item in key.raters[rater - 1]}),
        "ask": ASK,
        "answers": {
            question: [{"answer": answer, "label": LABELS[answer][0], "keys": LABELS[answer][1]} for answer in answers]
            for question, answers in ANSWERS.items()
        },
        "items": [
            {
                "question": item.question,
                "images": [f"{images}/{key.images[arm][item.prompt_id]}" for arm in (item.left, item.right)],
                "caption": None if item.question == APPEAL else captions[item.prompt_id],
            }
            for item in key.raters[rater - 1]
        ],
    }


def _hash(text: str) -> str:
    """The Content-Security-Policy hash of an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
