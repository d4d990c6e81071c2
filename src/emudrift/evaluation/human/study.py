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
PHOTOGRAPH, DEGRADED, OTHER = "(photograph)", "(degraded photograph)", "(photograph of another prompt)"
WORSE: dict[Question, str] = {"appeal": DEGRADED, "faithfulness": OTHER}
"""What stands beside the photograph in the gold pairs of a question."""
# Appeal comes first because raters must not have seen the captions, which only faithfulness shows.
ANSWERS: dict[Question, tuple[str, ...]] = {
    APPEAL: ("left", "right", "tie"),
    FAITHFULNESS: ("left", "right", "both", "neither"),
}


class Item(BaseModel):
    """One question about two images of one prompt. `left` and `right` are names of arms; `pair` is an index into `Key.pairs`.

    kind: `rated` items are evaluated; `identical` shows one image twice; `swapped` repeats a rated pair with sides swapped;
    `gold` shows a photograph and what is WORSE (`pair` is 0 and means nothing).
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
    split: int = 1
    prompt_set: str = ""


@dataclass(frozen=True)
class Design:
    """The pairs and the number of prompts to be rated; follows from the config alone, without looking at any image."""

    pairs: list[Pair]
    prompts: int

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(arm for pair in self.pairs for arm in (pair.baseline_arm, pair.arm)))


def rated_set(experiment: Experiment) -> Experiment:
    """The view of the set of prompts that is rated: `human_evaluation: prompt_set`, or the first."""
    wanted = experiment.config.human_evaluation.prompt_set
    if experiment.prompt_set or wanted is None:
        return next(iter(experiment.sets.values()))
    return experiment.sets[wanted]


def design_study(experiment: Experiment) -> Design:
    """Pairs and number of prompts requested by the config; no pairs if there is nothing to compare."""
    experiment = rated_set(experiment)
    settings = experiment.config.human_evaluation
    generated = experiment.generated_arms()
    others = experiment.compared_models
    if settings.all_pairs:
        names = [experiment.baseline, *others]
        wanted = [RatedPair(model=name, against=each) for n, name in enumerate(names) for each in names[:n]]
    else:
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
        experiment: the view of the set that is rated.
        images: arm to prompt_id to file name, for the same prompts in the same order; PHOTOGRAPH and what is WORSE for the gold
            pairs, where there are photographs.

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
    least = len(prompts) * len(design.pairs) // settings.split
    if settings.attention_checks > least // 2:
        raise InputError(
            f"{experiment.config_path}: human_evaluation: attention_checks: {settings.attention_checks} is more than half of "
            f"the {least} pairs of images that a rater sees; ask for at most {least // 2}"
        )
    wanted = settings.raters
    raters = [
        [
            item
            for place, question in enumerate(ANSWERS)
            if rater <= (wanted.appeal if question == APPEAL else wanted.faithfulness)
            for item in _with_gold(
                _items(
                    question,
                    design.pairs,
                    assigned(len(design.pairs), prompts, rater, settings.split, (seed, place)),
                    settings.attention_checks,
                    np.random.default_rng([seed, rater, place]),
                ),
                question,
                list(images.get(WORSE[question], {})),
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
        split=settings.split,
        prompt_set=experiment.prompt_set,
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


@dataclass(frozen=True)
class Shown:
    """A pair of arms, a prompt, and whether the pair's first arm (the baseline's) stands on the left."""

    pair: int
    prompt_id: str
    baseline_left: bool


def assigned(pairs: int, prompts: Sequence[str], rater: int, split: int, seed: tuple[int, ...]) -> list[Shown]:
    """What one rater is shown of one question, before it is put in order.

    Raters 1 to `split`, and every further `split` of them, together see every pair of arms of every prompt once. Each sees every
    pair of arms, and every prompt, equally often (or once more), and of every pair of arms each arm on the left as often as the
    other (or once more). Who sees the same as an earlier rater, `split` raters later, sees it with sides swapped; who comes after
    these two sees another division.
    """
    lap, part = divmod(rater - 1, split)
    rng = np.random.default_rng([*seed, lap // 2, 2])
    order = rng.permutation(len(prompts))
    # Rows of a Latin square: over the prompts, each pair of arms goes round the raters.
    mine = [[n for n in range(len(prompts)) if (pair + n) % split == part] for pair in range(pairs)]
    sides = np.random.default_rng([*seed, lap // 2, part, 3])
    shown = []
    for pair, places in enumerate(mine):
        left = sides.permutation(len(places)) % 2 == sides.integers(2)
        shown += [
            Shown(pair, prompts[order[place]], bool(here) != bool(lap % 2))
            for place, here in zip(places, left, strict=True)
        ]
    return shown


def _items(
    question: Question, pairs: Sequence[Pair], shown: Sequence[Shown], checks: int, rng: np.random.Generator
) -> list[Item]:
    """The items of one question for one rater, in random order."""

    def item(each: Shown, kind: Kind, left: str, right: str) -> Item:
        return Item(question=question, kind=kind, pair=each.pair, prompt_id=each.prompt_id, left=left, right=right)

    items, units = [], {}
    for place in rng.permutation(len(shown)):
        each = shown[place]
        sides = [pairs[each.pair].baseline_arm, pairs[each.pair].arm]
        left, right = sides if each.baseline_left else reversed(sides)
        items.append(item(each, "rated", left, right))
        units[len(items) - 1] = each
    # Pairs from the first half are repeated in the last quarter, after the rater has seen many others.
    n = len(items)
    first = list(items)
    for original in rng.choice(n // 2, size=checks, replace=False):
        again = item(units[original], "swapped", first[original].right, first[original].left)
        items.insert(int(rng.integers(n * 3 // 4, len(items) + 1)), again)
    for place in rng.choice(n, size=checks, replace=False):
        each = shown[place]
        arm = pairs[each.pair].arm if rng.random() < 0.5 else pairs[each.pair].baseline_arm
        items.insert(int(rng.integers(0, len(items) + 1)), item(each, "identical", arm, arm))
    return items


def _with_gold(items: list[Item], question: Question, prompts: Sequence[str], rng: np.random.Generator) -> list[Item]:
    """The items with the gold pairs of these prompts among them, anywhere and with random sides."""
    for prompt_id in prompts:
        sides = [PHOTOGRAPH, WORSE[question]]
        left, right = sides if rng.random() < 0.5 else reversed(sides)
        item = Item(question=question, kind="gold", pair=0, prompt_id=prompt_id, left=left, right=right)
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
    tables, rankings = [paths.win_rates, paths.rater_table], [paths.ranking, paths.ranking_pairs]
    # Votes that an earlier version imported have no ranking.
    return tables + [path for path in rankings if path.exists()] if all(table.exists() for table in tables) else []
