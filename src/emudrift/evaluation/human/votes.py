"""Votes as submitted by raters: validation against the key, and tables of votes and raters."""

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emudrift.errors import InputError
from emudrift.evaluation.human.columns import RATER_COLUMNS
from emudrift.evaluation.human.platform_votes import is_label_studio, label_studio_votes, mturk_votes
from emudrift.evaluation.human.study import ANSWERS, PHOTOGRAPH, Item, Key
from emudrift.evaluation.human.vote_files import Sent, Vote, VoteFile
from emudrift.runtime.json_files import load_record

logger = logging.getLogger(__name__)

CHECKS_SHARE = 0.7
"""Share of identical pairs, and of gold pairs, that a rater has to answer correctly.

Of the default of ten identical pairs, who answers at random gets so many right with probability .065, and of ten gold pairs with
probability .009; who always sees no preference gets no gold pair right.
"""
NET = {"model": 1.0, "baseline": -1.0}
"""What a vote counts; 0 for ties."""
NO_PREFERENCE = ("tie", "both", "neither")

VOTE_COLUMNS: dict[str, Any] = {
    "rater": "int64",
    "question": "str",
    "kind": "str",
    "baseline": "str",
    "model": "str",
    "guidance_scale": "float64",
    "baseline_arm": "str",
    "arm": "str",
    "prompt_id": "str",
    "left_arm": "str",
    "right_arm": "str",
    "answer": "str",
    "choice": "str",
    "seconds": "float64",
}


def scan_votes(folder: str | Path) -> list[Path]:
    """The .json and .csv files of a folder, sorted by name. Raises InputError if there are none."""
    found = sorted(path for path in Path(folder).glob("*") if path.suffix in (".json", ".csv"))
    if not found:
        raise InputError(
            f"{folder}: no votes: put the .json files that the raters downloaded from their pages into this folder"
        )
    return found


def load_votes(paths: Iterable[str | Path], key: Key) -> dict[int, list[Vote]]:
    """Loads and validates every rater's votes; raters in order. Incomplete files are accepted and logged.

    Args:
        paths: files of the rating pages (.json), exports of Label Studio (.json) and results of Mechanical Turk (.csv).

    Raises:
        InputError: names the file and what is wrong: not a vote file, from another experiment or study, an unknown rater,
            item or answer, the token of another rater, a duplicate item, or two different files from one rater.
    """
    found: dict[int, tuple[Path, list[Vote], str]] = {}
    for path in map(Path, paths):
        for sent in _sent(path):
            file = sent.file
            _check(path, file, key)
            votes = sorted(file.votes, key=lambda vote: vote.item)
            if file.rater not in found:
                found[file.rater] = (path, votes, sent.person)
                continue
            other, theirs, person = found[file.rater]
            apart = not {vote.item for vote in votes} & {vote.item for vote in theirs}
            if sent.person and sent.person == person and apart:
                # Label Studio has a project for each question.
                found[file.rater] = (path, sorted(theirs + votes, key=lambda vote: vote.item), person)
            elif votes != theirs:
                raise InputError(
                    f"{other} ({len(theirs)} votes) and {path} ({len(votes)} votes) are both from rater {file.rater} but differ: "
                    "keep the valid one (the later, more complete one if the same person sent both) and remove the other"
                )
            else:
                logger.info("%s has the same votes as %s; they are counted once", path, other)
    for rater, (path, votes, _) in sorted(found.items()):
        asked = len(key.raters[rater - 1])
        if len(votes) < asked:
            logger.info(
                "rater %d: %s is incomplete, with %d of %d votes; these are counted", rater, path, len(votes), asked
            )
    missing = [str(rater + 1) for rater in range(len(key.raters)) if rater + 1 not in found]
    if missing:
        logger.info("no votes yet from rater %s (of %d raters)", ", ".join(missing), len(key.raters))
    return {rater: votes for rater, (_, votes, _) in sorted(found.items())}


def _sent(path: Path) -> list[Sent]:
    """Whose votes are in a file."""
    if path.suffix == ".csv":
        return mturk_votes(path)
    if is_label_studio(path):
        return label_studio_votes(path)
    return [Sent(load_record(path, VoteFile, "ask the rater to download the votes again and not to edit the file"))]


def _check(path: Path, file: VoteFile, key: Key) -> None:
    if file.experiment != key.experiment:
        raise InputError(
            f"{path}: votes for experiment {file.experiment!r}, but this is {key.experiment!r}: move the file elsewhere"
        )
    if file.study != key.study:
        raise InputError(
            f"{path}: votes for study {file.study}, but the key belongs to study {key.study}: prompts, images or the config "
            "section human_evaluation have changed since that page was created. Restore the config and run `snakemake "
            "human_evaluation_pages`, which recreates the same key, or move the file elsewhere"
        )
    if not 1 <= file.rater <= len(key.raters):
        raise InputError(f"{path}: rater: {file.rater} is not one of the raters 1 to {len(key.raters)}")
    if key.tokens and file.token != key.tokens[file.rater - 1]:
        other = key.tokens.index(file.token) + 1 if file.token in key.tokens else None
        whose = "was made by no page of this study" if other is None else f"was made by the page of rater {other}"
        raise InputError(
            f"{path}: rater: {file.rater}, but by its token this file {whose}: a copy under another number, or edited. Ask "
            "for the file as the page downloaded it, or move it elsewhere"
        )
    items = key.raters[file.rater - 1]
    for place, vote in enumerate(file.votes):
        where = f"{path}: votes: {place}"
        if not 0 <= vote.item < len(items):
            raise InputError(f"{where}: item: {vote.item}, but rater {file.rater} has items 0 to {len(items) - 1}")
        question = items[vote.item].question
        if vote.question != question:
            raise InputError(f"{where}: question: {vote.question}, but item {vote.item} is about {question}")
        if vote.answer not in ANSWERS[question]:
            raise InputError(
                f"{where}: answer: {vote.answer!r} is not one of {', '.join(ANSWERS[question])} ({question})"
            )
    item, times = Counter(vote.item for vote in file.votes).most_common(1)[0] if file.votes else (0, 0)
    if times > 1:
        raise InputError(f"{path}: votes: item {item} appears {times} times; it must appear once")


def vote_table(votes: dict[int, list[Vote]], key: Key) -> pd.DataFrame:
    """votes.csv: one row per vote. `answer` is the button pressed; `choice` is model or baseline, or the answer itself;
    for gold pairs right or wrong."""
    rows = []
    for rater, given in votes.items():
        for vote in given:
            item = key.raters[rater - 1][vote.item]
            pair = key.pairs[item.pair]
            rows.append(
                pair.model_dump()
                | item.model_dump(include={"question", "kind", "prompt_id"})
                | {"rater": rater, "left_arm": item.left, "right_arm": item.right}
                | {"answer": vote.answer, "choice": _choice(vote, item, pair.arm), "seconds": vote.seconds}
            )
    return pd.DataFrame(rows, columns=list(VOTE_COLUMNS)).astype(VOTE_COLUMNS)


def _choice(vote: Vote, item: Item, arm: str) -> str:
    if vote.answer in NO_PREFERENCE:
        return vote.answer
    if item.kind == "identical":
        return vote.answer  # Both images are the same, so left and right name no arm.
    if item.kind == "gold":
        return "right" if (item.left if vote.answer == "left" else item.right) == PHOTOGRAPH else "wrong"
    return "model" if (item.left if vote.answer == "left" else item.right) == arm else "baseline"


def net_votes(votes: pd.DataFrame) -> np.ndarray:
    """1, -1 or 0 for each row of votes.csv, (n,)."""
    return votes["choice"].map(NET).fillna(0.0).to_numpy()


def left_share(answers: pd.Series) -> float:
    """Share of the left image among the votes for one of the two; NaN if there are none."""
    return float((answers[answers.isin(["left", "right"])] == "left").mean())


def rater_table(table: pd.DataFrame, votes: dict[int, list[Vote]], key: Key, exclude_failed: bool) -> pd.DataFrame:
    """raters.csv: one row per rater who submitted votes, with the results of the attention checks.

    A rater passes if at least CHECKS_SHARE of the identical pairs (no preference) and of the gold pairs (the photograph) were
    answered correctly; `passed` is "not checked" if none of them was answered, or if a rater without gold pairs never had a
    preference, of whom identical pairs tell nothing. Consistency on swapped repeats (`same`,
    `opposite`) is reported but not a criterion: for two equally good images attentive raters may change their minds. Of the
    rated pairs, `no_preference` is the share of no-preference answers, `left` that of the left image among the others,
    `net_vote` the mean of 1 (model), 0 and -1 (baseline) over all pairs of arms, and `seconds` the median time of a vote.
    """
    rows = [
        _rater(table[table["rater"] == rater], rater, len(key.raters[rater - 1]))
        | {"votes": len(given), "study": key.study}
        for rater, given in votes.items()
    ]
    for row in rows:
        row["used"] = "no" if exclude_failed and row["passed"] == "no" else "yes"
    return pd.DataFrame(rows, columns=list(RATER_COLUMNS)).astype(RATER_COLUMNS)


def _rater(mine: pd.DataFrame, rater: int, asked: int) -> dict[str, Any]:
    rated, identical, swapped = (mine[mine["kind"] == kind] for kind in ("rated", "identical", "swapped"))
    gold = mine[mine["kind"] == "gold"]
    right, found = int(identical["choice"].isin(NO_PREFERENCE).sum()), int((gold["choice"] == "right").sum())
    never = rated["choice"].isin(NO_PREFERENCE).all()
    unchecked = gold.empty and (identical.empty or never)
    failed = right < CHECKS_SHARE * len(identical) or found < CHECKS_SHARE * len(gold)
    unit = ["question", "baseline_arm", "arm", "prompt_id"]
    twice = swapped.merge(rated, on=unit, suffixes=("_again", ""))
    return {
        "rater": rater,
        "asked": asked,
        "identical": len(identical),
        "identical_right": right,
        "gold": len(gold),
        "gold_right": found,
        "swapped": len(twice),
        "swapped_same": int((twice["choice"] == twice["choice_again"]).sum()),
        "swapped_opposite": int(sum(map(_opposite, twice["choice"], twice["choice_again"]))),
        "no_preference": float(rated["choice"].isin(NO_PREFERENCE).mean()),
        "left": left_share(rated["answer"]),
        "net_vote": float(net_votes(rated).mean()) if len(rated) else float("nan"),
        "seconds": float(rated["seconds"].median()),
        "passed": "no" if failed else "not checked" if unchecked else "yes",
    }


def _opposite(first: str, again: str) -> bool:
    return {first, again} == {"model", "baseline"}
