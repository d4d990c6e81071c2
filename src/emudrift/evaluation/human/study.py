"""Study design: pairs of arms, and each rater's order, sides and attention checks, all derived from the experiment's seed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from emudrift.config.arm import Arm, fingerprint
from emudrift.config.experiment import Experiment
from emudrift.config.human_evaluation import PROMPTS, RatedPair
from emudrift.config.paths import ExperimentPaths
from emudrift.errors import InputError
from emudrift.runtime.atomic_files import write_bytes_atomically
from emudrift.runtime.json_files import load_record

Question = Literal["appeal", "faithfulness"]
Kind = Literal["rated", "identical", "swapped", "gold"]
APPEAL: Question = "appeal"
FAITHFULNESS: Question = "faithfulness"
# In the place of arms, which have no such names, in gold pairs.
PHOTOGRAPH, DEGRADED = "(photograph)", "(degraded photograph)"
# Appeal comes first because raters must not have seen the captions, which only faithfulness shows.
ANSWERS: dict[Question, tuple[str, ...]] = {
    APPEAL: ("left", "right", "tie"),
    FAITHFULNESS: ("left", "right", "both", "neither"),
}


class Item(BaseModel):
    """One question about two images of one prompt. `left` and `right` are names of arms; `pair` is an index into `Key.pairs`.

    kind: `rated` items are evaluated; `identical` shows one image twice; `swapped` repeats a rated pair with sides swapped;
    `gold` shows a photograph and its heavy degradation (`pair` is 0 and means nothing).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: Question
    kind: Kind
    pair: int
    prompt_id: str
    left: str
    right: str


class Pair(BaseModel):
    """Two arms to compare: one of the model and one of its baseline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    baseline: str
    model: str
    guidance_scale: float | None
    baseline_arm: str
    arm: str


class Key(BaseModel):
    """key.json: the blinding key of the study. `raters[k]` lists the items of rater k + 1, in presentation order.

    `images` maps arm and prompt to the file name of the image; `study` is a fingerprint of everything else except the
    number of raters, on which no rater's items depend. `tokens` has for each rater what only this rater's page and files contain,
    so that a file under another number is noticed; format 1 has none. `information` is shown before the first pair.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1, 2] = 2
    experiment: str
    study: str
    seed: int
    prompts: list[str]
    pairs: list[Pair]
    images: dict[str, dict[str, str]]
    raters: list[list[Item]]
    tokens: list[str] = []
    information: str = ""


@dataclass(frozen=True)
class Design:
    """The pairs and the number of prompts to be rated; follows from the config alone, without looking at any image."""

    pairs: list[Pair]
    prompts: int

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(arm for pair in self.pairs for arm in (pair.baseline_arm, pair.arm)))


def design_study(experiment: Experiment) -> Design:
    """Pairs and number of prompts requested by the config; no pairs if there is nothing to compare."""
    settings = experiment.config.human_evaluation
    generated = experiment.generated_arms()
    others = experiment.compared_models
    wanted = settings.pairs or [RatedPair(model=name) for name in others]
    found = [pair for each in wanted for pair in _pairs_of(each, generated, each.against or experiment.baseline)]
    largest = max(experiment.config.sample_sizes)
    return Design(list(dict.fromkeys(found)), settings.prompts or min(PROMPTS, largest))


def _pairs_of(wanted: RatedPair, arms: Sequence[Arm], against: str) -> list[Pair]:
    """Pairs of arms at the same guidance scale; an arm without a scale is paired with every arm of the other model."""
    pairs = []
    for ours in arms:
        for theirs in arms:
            if (ours.model, theirs.model) != (wanted.model, against) or ours.model == theirs.model:
                continue
            scales = {arm.guidance_scale for arm in (ours, theirs)} - {None}
            if len(scales) <= 1 and (wanted.guidance_scale is None or wanted.guidance_scale in scales):
                scale = next(iter(scales), None)
                pairs.append(Pair(baseline=against, model=ours.model, guidance_scale=scale,
                                  baseline_arm=theirs.name, arm=ours.name))  # fmt: skip
    return pairs


def make_key(experiment: Experiment, design: Design, images: Mapping[str, Mapping[str, str]]) -> Key:
    """Randomises order, sides and attention checks for every rater. Equal arguments give an equal key.

    Args:
        images: arm to prompt_id to file name, for the same prompts in the same order; PHOTOGRAPH and DEGRADED for the gold pairs,
            where there are photographs.

    Raises:
        InputError: nothing to compare, or more attention checks than half the number of image pairs.
    """
    if not design.pairs:
        raise InputError(
            f"{experiment.config_path}: human_evaluation: there are no two arms to compare: name a second model in models, "
            "or other human_evaluation: pairs"
        )
    settings, seed = experiment.config.human_evaluation, experiment.config.seed
    prompts = list(images[design.arms[0]])
    questions = len(prompts) * len(design.pairs)
    if settings.attention_checks > questions // 2:
        raise InputError(
            f"{experiment.config_path}: human_evaluation: attention_checks: {settings.attention_checks} is more than half of "
            f"the {questions} pairs of images; ask for at most {questions // 2}"
        )
    gold, wanted = list(images.get(PHOTOGRAPH, {})), settings.raters
    raters = [
        [
            item
            for place, question in enumerate(ANSWERS)
            if rater <= (wanted.appeal if question == APPEAL else wanted.faithfulness)
            for item in _with_gold(
                _items(
                    question,
                    design.pairs,
                    prompts,
                    settings.attention_checks,
                    np.random.default_rng([seed, rater, place]),
                ),
                gold if question == APPEAL else [],
                np.random.default_rng([seed, rater, place, 1]),
            )
        ]
        for rater in range(1, wanted.most + 1)
    ]
    key = Key(
        experiment=experiment.config.name,
        study="",
        seed=seed,
        prompts=prompts,
        pairs=design.pairs,
        images={arm: dict(names) for arm, names in images.items()},
        raters=raters,
        information=settings.information or "",
    )
    secrets = [
        {"seed": seed, "rater": rater, "items": [item.model_dump() for item in each]}
        for rater, each in enumerate(raters)
    ]
    key = key.model_copy(update={"tokens": [fingerprint(secret) for secret in secrets]})
    # Only the first rater's items enter the fingerprint, so that adding raters later does not invalidate existing votes.
    return key.model_copy(
        update={"study": fingerprint(key.model_dump(exclude={"tokens"}) | {"raters": key.model_dump()["raters"][:1]})}
    )


def _items(
    question: Question, pairs: Sequence[Pair], prompts: Sequence[str], checks: int, rng: np.random.Generator
) -> list[Item]:
    """The items of one question for one rater, in random order with random sides."""

    def item(pair: int, prompt_id: str, kind: Kind, left: str, right: str) -> Item:
        return Item(question=question, kind=kind, pair=pair, prompt_id=prompt_id, left=left, right=right)

    everything = [(pair, prompt_id) for pair in range(len(pairs)) for prompt_id in prompts]
    items = []
    for place in rng.permutation(len(everything)):
        pair, prompt_id = everything[place]
        sides = [pairs[pair].baseline_arm, pairs[pair].arm]
        left, right = sides if rng.random() < 0.5 else reversed(sides)
        items.append(item(pair, prompt_id, "rated", left, right))
    # Pairs from the first half are repeated in the last quarter, after the rater has seen many others.
    n = len(items)
    for original in rng.choice(n // 2, size=checks, replace=False):
        first = items[original]
        again = item(first.pair, first.prompt_id, "swapped", first.right, first.left)
        items.insert(int(rng.integers(n * 3 // 4, len(items) + 1)), again)
    for place in rng.choice(len(everything), size=checks, replace=False):
        pair, prompt_id = everything[place]
        arm = pairs[pair].arm if rng.random() < 0.5 else pairs[pair].baseline_arm
        items.insert(int(rng.integers(0, len(items) + 1)), item(pair, prompt_id, "identical", arm, arm))
    return items


def _with_gold(items: list[Item], prompts: Sequence[str], rng: np.random.Generator) -> list[Item]:
    """The items with the gold pairs of these prompts among them, anywhere and with random sides."""
    for prompt_id in prompts:
        left, right = (PHOTOGRAPH, DEGRADED) if rng.random() < 0.5 else (DEGRADED, PHOTOGRAPH)
        item = Item(question=APPEAL, kind="gold", pair=0, prompt_id=prompt_id, left=left, right=right)
        items.insert(int(rng.integers(0, len(items) + 1)), item)
    return items


def write_key(path: str | Path, key: Key) -> None:
    text = json.dumps(key.model_dump(), ensure_ascii=False, indent=None, separators=(",", ":"))
    write_bytes_atomically(path, f"{text}\n".encode())


def load_key(path: str | Path) -> Key:
    """Loads key.json. Raises InputError if the pages were never created, or the file is damaged."""
    if not Path(path).exists():
        raise InputError(f"there is no {path}: run `snakemake human_evaluation_pages` before importing votes")
    return load_record(path, Key, "recreate it: snakemake human_evaluation_pages --forcerun human_evaluation_pages")


def imported_tables(paths: ExperimentPaths) -> list[Path]:
    """The tables that the page shows of votes, where votes were imported; else none."""
    tables = [paths.win_rates, paths.rater_table]
    return tables if all(table.exists() for table in tables) else []
