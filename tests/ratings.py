"""Studies and raters whose true preference is known, for the tests of the human evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
from conftest import small_config

from emudrift.config.experiment import Experiment
from emudrift.config.reader import parse_config
from emudrift.evaluation.human.study import DEGRADED, OTHER, PHOTOGRAPH, Item, Key, design_study, make_key

PROMPTS = 40


def experiment_of(section: dict[str, Any] | None = None, **changes: Any) -> Experiment:
    sizes = {"sample_sizes": [PROMPTS], "human_evaluation": {"raters": 5} | (section or {})}
    return Experiment(parse_config(small_config(**(sizes | changes)), "test.yaml"), Path("test.yaml"))


def key_of(section: dict[str, Any] | None = None, gold: int = 0, **changes: Any) -> Key:
    """The key of a study whose images need not exist, with so many gold pairs."""
    experiment = experiment_of(section, **changes)
    design = design_study(experiment)
    ids = [f"{number:03d}" for number in range(design.prompts)]
    images = {arm: {each: f"{arm}-{each}.png" for each in ids} for arm in design.arms}
    if gold:
        images |= {name: {each: f"{name}-{each}.png" for each in ids[:gold]} for name in (PHOTOGRAPH, DEGRADED, OTHER)}
    return make_key(experiment, design, images)


def three_arms(section: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Arguments of `key_of` and `experiment_of` for a study of three arms, all compared with all."""
    folders = [{"name": name, "generator": "folder", "images": f"demo/{name}", "guidance_scale": 3} for name in "ABC"]
    return {"section": {"all_pairs": True} | (section or {}), "models": folders, "guidance_scales": [3]} | changes


def answer(item: Item, arm: str, prefers: float, rng: np.random.Generator) -> str:
    """The answer of an honest rater who prefers `arm` on a share of the prompts (of 100), the other on the rest."""
    if item.kind == "identical":
        return "tie" if item.question == "appeal" else "both"
    if item.kind == "gold":  # also where the caption is shown
        return "left" if item.left == PHOTOGRAPH else "right"
    # The same opinion whichever side it stands on, and when it comes again.
    likes = item.left if (item.left == arm) == (int(item.prompt_id) % 100 < 100 * prefers) else item.right
    return "left" if likes == item.left else "right"


def votes_file(key: Key, rater: int, answers: list[str | None]) -> dict[str, Any]:
    """What the page of a rater downloads; None: no vote."""
    return {
        "format": 2,
        "experiment": key.experiment,
        "study": key.study,
        "rater": rater,
        "token": key.tokens[rater - 1],
        "votes": [
            {"item": number, "question": item.question, "answer": given, "seconds": 1.5}
            for number, (item, given) in enumerate(zip(key.raters[rater - 1], answers, strict=True))
            if given is not None
        ],
    }
