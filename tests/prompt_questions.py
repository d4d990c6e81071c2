"""Small files of questions about prompts for tests, written by hand in the formats of DSG-1k and GenEval 2."""

import csv
import json
from pathlib import Path

COLUMNS = (
    "item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language"
)
# Item, text, id, dependency, category, question.
DOG = "a brown dog, left of two cats"
ROWS = [
    ("coco_1", DOG, "1", "0", "entity", "Is there a dog?"),
    ("coco_1", DOG, "2", "1", "attribute", "Is the dog brown?"),
    ("coco_1", DOG, "3", "0", "entity", "Are there cats?"),
    ("coco_1", DOG, "4", "3", "other", "Are there two cats?"),
    ("coco_1", DOG, "5", "1,3", "relation", "Is the dog left of the cats?"),
    ("coco_2", "a  photo", "1", "", "global", "Is this a photo?"),
]
LINE = {
    "prompt": "four white bicycles",
    "atom_count": 3,
    "vqa_list": [["How many bicycles are in the image?", "four"], ["Are the bicycles white?", "Yes"]],
    "skills": ["count", "attribute"],
}


def write_dsg(path: Path, rows: list[tuple[str, ...]] = ROWS, columns: str = COLUMNS) -> Path:
    """As Cho et al. publish it: one row for each question."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns.split(","))
        for item, text, place, dependency, category, question in rows:
            writer.writerow(
                [item, text, "words", place, dependency, category, "-", f"{category} - - (words)", question]
            )
    return path


def write_geneval(path: Path, *lines: dict[str, object]) -> Path:
    """As Kamath et al. publish it: one line for each prompt."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines or [LINE]))
    return path
