"""Records of scores for tests, from nothing but the scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from emudrift.evaluation.understanding.record import ScoreRecord


def record(
    model: str,
    scores: Sequence[float] | np.ndarray,
    groups: Sequence[int] | np.ndarray | None = None,
    answers: list[str] | None = None,
    variant: str = "vqa",
    **changes: Any,
) -> ScoreRecord:
    """Of one model's answers to a variant; each question is about an image of its own, without `groups`."""
    n = len(scores)
    groups = list(range(n)) if groups is None else [int(each) for each in groups]
    content: dict[str, Any] = {
        "arm": f"{model}-0a",
        "model": model,
        "adapter_scale": None,
        "step": None,
        "task": "vqa",
        "variant": variant,
        "variant_key": f"{variant}-0b",
        "control": False,
        "metric": "vqa_accuracy",
        "n": n,
        "images": len(set(groups)),
        "value": float(np.mean(scores)),
        "question_ids": list(range(n)),
        "groups": groups,
        "per_question": [float(each) for each in scores],
        "answers": answers or ["yes"] * n,
        "references": "vqa-0c",
    }
    return ScoreRecord(**content | changes)
