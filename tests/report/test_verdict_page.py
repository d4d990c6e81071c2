"""Nine synthetic experiments whose truth is known, and docs/verdicts.md, which shows what the report says of them.

`python tests/report/test_verdict_page.py` writes the page; the test compares it with what the code gives.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emudrift.evaluation.blocks import prompt_blocks, reference_blocks
from emudrift.evaluation.fid.comparison import compare, fid_table
from emudrift.evaluation.fid.estimate import compute_fid
from emudrift.evaluation.fid.record import FidRecord, ReferenceRecord
from emudrift.evaluation.fid.two_sample import Sample
from emudrift.report.answer.verdict import Verdict, verdict

PAGE = Path(__file__).resolve().parents[2] / "docs" / "verdicts.md"
DIMS, N, REAL = 8, 400, 4000
EXTRACTORS = {"inception": "inception-9f8e7d6c5b4a", "dinov2": "dinov2-0a1b2c3d4e5f"}
BASE = 10.0
"""The true distance of the baseline from the real images, all of it in the means."""
ASIDE = 5 / (math.sqrt(BASE + 5) - math.sqrt(BASE))
"""Where the real images of the same captions lie in one experiment: as far beyond the models as to turn +5 into -5."""


@dataclass(frozen=True)
class Arm:
    """Images of a model: their true distance from all real images is `distance`, by a shift of the means alone."""

    model: str
    scale: float
    distance: float
    extractor: str = "inception"
    selection: str = "full"
    same_as: str = ""
    """The model whose images these are, byte for byte; default: its own."""


@dataclass(frozen=True)
class Case:
    """One experiment: its arms, and what is true of them in words."""

    title: str
    truth: str
    arms: list[Arm]
    findings: set[str]
    n: int = N
    likeness: float = 0.8
    margins: dict[str, float] = field(default_factory=dict)


def pair(scale: float, difference: float, **changes: str) -> list[Arm]:
    return [Arm("base", scale, BASE, **changes), Arm("finetuned", scale, BASE + difference, **changes)]


CASES = [
    Case("Clear", "+5 at both guidance scales.", pair(1, 5) + pair(3, 5), {"worse"}),
    Case(
        "Flipping over guidance scales",
        "+5 at guidance 1, −5 at guidance 3 and 0 at guidance 5.",
        pair(1, 5) + pair(3, -5) + pair(5, 0),
        {"worse", "better", "inconclusive"},
    ),
    Case(
        "Flipping over references",
        "+5 from all real images; −5 from the real images of the same captions, which are not like the others.",
        pair(3, 5) + pair(3, 5, selection="same"),
        {"worse", "better"},
    ),
    Case(
        "Flipping over extractors",
        "+5 through Inception, −5 through DINOv2.",
        pair(3, -5, extractor="dinov2") + pair(3, 5),
        {"worse", "better"},
    ),
    Case("Too small", f"+5, but only 16 images for {DIMS} dimensions.", pair(3, 5), {"too few images"}, n=16),
    Case(
        "Tiny but significant",
        "+0.1, between models whose images are almost the same.",
        pair(3, 0.1),
        {"worse"},
        likeness=0.99998,
    ),
    Case(
        "Equivalent",
        "+0.2 at both scales, where `margin: 3` is set.",
        pair(1, 0.2) + pair(3, 0.2),
        {"no worse than the margin"},
        margins={EXTRACTORS["inception"]: 3.0},
    ),
    Case(
        "An arm missing",
        "+5 at guidance 1; of the fine-tuned model there are no images at guidance 3.",
        [*pair(1, 5), Arm("base", 3, BASE)],
        {"worse"},
    ),
    Case(
        "A control",
        "+5 for the fine-tuned model; the control is the base model under another name (`identical_to: base`).",
        [*pair(3, 5), Arm("control", 3, BASE, same_as="base")],
        {"worse", "byte-identical"},
    ),
]


def records(case: Case) -> list[FidRecord]:
    """The FIDs of an experiment's arms, from features that are drawn with the case's title as seed."""

    def drawn(n: int, *what: object) -> np.ndarray:
        return 2 * np.random.default_rng([*case.title.encode(), *repr(what).encode()]).standard_normal((n, DIMS))

    real, same = drawn(REAL, "real"), drawn(case.n, "same")
    same[:, 0] += ASIDE
    found = []
    for arm in case.arms:
        # What the arms of a scale share is how hard each prompt is; the rest is their own.
        shared, own = (
            drawn(case.n, arm.scale, arm.extractor),
            drawn(case.n, arm.scale, arm.extractor, arm.same_as or arm.model),
        )
        images = np.sqrt(case.likeness) * shared + np.sqrt(1 - case.likeness) * own
        images[:, 0] += np.sqrt(arm.distance)
        blocks = prompt_blocks(case.n)
        full = arm.selection == "full"
        reference = Sample(real, reference_blocks(REAL, blocks)) if full else Sample(same, blocks)
        count = REAL if arm.selection == "full" else case.n
        found.append(
            FidRecord(
                arm=f"{arm.model}-cfg{arm.scale:g}-abcdef012345",
                model=arm.model,
                guidance_scale=arm.scale,
                extractor=EXTRACTORS[arm.extractor],
                extractor_settings={},
                weights="published",
                reference=ReferenceRecord(key="k", images="val2014", selection=arm.selection, n=count),
                **dict(compute_fid(images, reference, blocks)),
            )
        )
    return found


def verdict_of(case: Case) -> Verdict:
    found = records(case)
    arms = {each.model: each.arm for each in found}
    identical = {frozenset((arms[each.model], arms[each.same_as])) for each in case.arms if each.same_as}
    table = compare(found, "base", margins=case.margins, identical=identical)
    return verdict(table, fid_table(found), "base")


def page(verdicts: list[Verdict]) -> str:
    parts = [
        "# What the report says: nine experiments\n",
        "*Generated by `python tests/report/test_verdict_page.py`; a test compares this page with what the code gives.*\n",
        f"Synthetic features in {DIMS} dimensions, {N} images per arm unless another N is named, {REAL:,} real images, and a "
        "true difference (fine-tuned minus base) that is known and lies in the means alone. Quoted: the first sentences of the "
        "report; below them, one line for each comparison. The rules: [Findings](statistics.md#findings).\n",
    ]
    for case, said in zip(CASES, verdicts, strict=True):
        parts.append(f"## {case.title}\n\nTruth: {case.truth}\n\n> {said.headline}\n")
        parts.append("".join(f"- *{each.finding}*: {each.text}\n" for each in said.statements))
    return "\n".join(parts)


def test_the_page_of_verdicts_is_what_the_code_gives_and_each_finding_is_true():
    verdicts = list(map(verdict_of, CASES))
    for case, said in zip(CASES, verdicts, strict=True):
        assert {each.finding for each in said.statements} == case.findings, case.title
    assert PAGE.read_text(encoding="utf-8") == page(verdicts), "run `python tests/report/test_verdict_page.py`"


if __name__ == "__main__":
    PAGE.write_text(page(list(map(verdict_of, CASES))), encoding="utf-8")
