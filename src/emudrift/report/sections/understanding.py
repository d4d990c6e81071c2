"""What models see: scores and their differences in tables, and in words who does not look at the picture."""

import math
from typing import Any

import pandas as pd

from emudrift.config.experiment import Experiment
from emudrift.config.understanding import UnderstandingTask
from emudrift.evaluation.tables import rows_of
from emudrift.report.elements.blocks import Cell, Table, csv_of
from emudrift.report.elements.seeing import SPACE, seeing_unit
from emudrift.report.elements.wording import listing, p_text

LEAD = (
    "Answers to questions about pictures, scored against those of people. Intervals are over images; “pictures exchanged” is the "
    "score of the same questions with other pictures, which is language prior. Differences are model minus baseline, paired by "
    "question; finding and adjusted p hold together for all differences of the table."
)


def picture_statements(table: pd.DataFrame) -> list[str]:
    """One sentence for each model and task with a control: whether the answers depend on the picture.

    Args:
        table: understanding.csv.
    """
    return [_statement(row) for row in rows_of(table) if row.pictures]


def _statement(row: Any) -> str:
    unit = seeing_unit(row.metric)
    effect = unit.difference(row.picture_effect, row.picture_effect_low, row.picture_effect_high)
    same = f"{100 * row.same_answers:.0f}{SPACE}%"
    if row.pictures == "ignored":
        return (
            f"{row.model}: answers do not depend on the picture. In {row.task}, {same} of them are the same when the pictures "
            f"are exchanged: the score is language prior. Were pixels dropped on the way, as by transformers before 5.16.1?"
        )
    if row.pictures == "no use found":
        return (
            f"{row.model}: answers are not shown to depend on the picture. In {row.task}, the right pictures change its score by "
            f"{effect} compared with exchanged ones ({same} of the answers are the same)."
        )
    control = f"{unit.factor * row.control:.3g}{unit.of_value}"
    value = f"{unit.factor * row.value:.3g}{unit.of_value}"
    return (
        f"{row.model} looks: of its {unit.name} of {value} in {row.task}, {control} remains when the pictures are exchanged; the "
        f"pictures add {effect}."
    )


def understanding_methods(experiment: Experiment) -> str:
    """What was asked and how answers were scored, for the methods paragraph."""
    tasks = experiment.understanding.tasks
    said = [f"Models were asked about pictures: {listing(map(_task, tasks))}."]
    said.append(
        "Questions were drawn at random, the same for all models; differences are paired by question, with t intervals over "
        "images, adjusted for their number (Bonferroni)."
    )
    if any(task.control for task in tasks):
        said.append("As a control for language prior, the same questions were asked with the pictures exchanged.")
    return " ".join(said)


def _task(task: UnderstandingTask) -> str:
    files = listing(file for files in task.files().values() for file in files)
    prompt = " ".join(task.asks("[question]").split())
    if task.kind == "caption":
        return (
            f"captions of {task.asked:,} images of {files} (prompt: “{prompt}”), scored by CIDEr-D (Vedantam et al., 2015) with "
            "document frequencies of all its references"
        )
    return f"{task.asked:,} questions of {files} (prompt: “{prompt}”), scored by VQA accuracy (Antol et al., 2015)"


def understanding_tables(table: pd.DataFrame, differences: pd.DataFrame) -> list[Table]:
    """A table of scores, and one of differences from the baseline where there are any.

    Args:
        table, differences: understanding.csv and understanding_differences.csv.
    """
    head = ["model", "task", "metric", "questions", "score", "pictures exchanged", "same answers"]
    tables = [
        Table("What models see", head, [_score(row) for row in rows_of(table)], csv_of(table), "understanding.csv")
    ]
    if len(differences):
        head = ["model − baseline", "task", "metric", "questions", "difference", "finding"]
        rows = [_difference(row) for row in rows_of(differences)]
        file = "understanding_differences.csv"
        tables.append(Table("What fine-tuning bought", head, rows, csv_of(differences), file))
    return tables


def _score(row: Any) -> list[Cell]:
    unit = seeing_unit(row.metric)
    score, _, interval = unit.value(row.value, row.low, row.high).partition(" [")
    there = not math.isnan(row.control)
    return [
        Cell(row.model),
        Cell(row.variant),
        Cell(unit.name),
        Cell(f"{row.n:,}", f"{row.images:,} images", value=row.n),
        Cell(score, f"[{interval}", value=row.value),
        Cell(f"{unit.factor * row.control:.3g}{unit.of_value}", row.pictures, value=row.control)
        if there
        else Cell("–"),
        Cell(f"{100 * row.same_answers:.0f}{SPACE}%", value=row.same_answers) if there else Cell("–"),
    ]


def _difference(row: Any) -> list[Cell]:
    unit = seeing_unit(row.metric)
    difference, _, interval = unit.difference(row.difference, row.low, row.high).partition(" [")
    together = unit.difference(row.difference, row.low_simultaneous, row.high_simultaneous).partition(" [")[2]
    return [
        Cell(f"{row.model} − {row.baseline}"),
        Cell(row.variant),
        Cell(unit.name),
        Cell(f"{row.n:,}", f"{row.images:,} images", value=row.n),
        Cell(difference, f"[{interval}, all together [{together}", value=row.difference),
        Cell(row.finding, f"p {p_text(row.p)}, adjusted {p_text(row.p_adjusted)}", row.finding.split()[0]),
    ]
