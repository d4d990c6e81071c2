"""Columns of prompt_following.csv and judge_error.csv."""

from typing import Any

FOLLOWING_COLUMNS: dict[str, Any] = {
    "arm": "str",
    "model": "str",
    "guidance_scale": "float64",
    "prompt_set": "str",
    "judge": "str",
    "category": "str",
    "n": "int64",
    "prompts": "int64",
    "share": "float64",
    "low": "float64",
    "high": "float64",
    "soft": "float64",
    "confidence": "float64",
    "baseline": "str",
    "baseline_arm": "str",
    "difference": "float64",
    "difference_low": "float64",
    "difference_high": "float64",
    "p": "float64",
    "low_simultaneous": "float64",
    "high_simultaneous": "float64",
    "p_adjusted": "float64",
    "finding": "str",
    "note": "str",
}

JUDGE_COLUMNS: dict[str, Any] = {
    "prompt_set": "str",
    "judge": "str",
    "category": "str",
    "false_no": "float64",
    "false_no_low": "float64",
    "false_no_high": "float64",
    "false_no_n": "int64",
    "false_no_prompts": "int64",
    "false_yes": "float64",
    "false_yes_low": "float64",
    "false_yes_high": "float64",
    "false_yes_n": "int64",
    "false_yes_prompts": "int64",
    "kept": "float64",
    "confidence": "float64",
    "note": "str",
}
