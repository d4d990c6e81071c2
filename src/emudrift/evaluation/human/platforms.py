"""Tasks for Label Studio and Amazon Mechanical Turk: the same pairs, in the same order and on the same sides, as the pages.

Label Studio: https://labelstud.io/guide/task_format, https://labelstud.io/tags/choices. Mechanical Turk: a project of the
requester's website with a page in HTML, https://docs.aws.amazon.com/AWSMechTurk/latest/AWSMechanicalTurkRequester/
mturk-hits-defining-questions-html-crowd-html-elements.html, and a batch of which each row is one task.
"""

import base64
import csv
import io
import json
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from markupsafe import escape

from emudrift.errors import InputError
from emudrift.evaluation.human.pages import ASK, EXPLAINED, LABELS, page_data, render_page
from emudrift.evaluation.human.study import ANSWERS, APPEAL, Key, Question

ANSWER = "answer"
"""Name of the labelling config's choice."""
MOST_BYTES = 65_535
"""Of a task of Mechanical Turk, https://docs.aws.amazon.com/AWSMechTurk/latest/AWSMturkAPI/ApiReference_CreateHITOperation.html"""
INSTRUCTIONS = "instructions-{}.html"
CONFIG = "labelling-{}.xml"
TASKS = "tasks-{}-rater-{}.json"


def label_studio_files(key: Key, captions: Mapping[str, str], images: str) -> dict[str, str]:
    """File name to text: for each question the labelling config and instructions, and for each rater a file of tasks.

    Args:
        captions: prompt_id to caption.
        images: address of the folder with the images, as Label Studio sees it.
    """
    _refuse_without_tokens(key)
    files: dict[str, str] = {}
    for question in ANSWERS:
        if not any(item.question == question for items in key.raters for item in items):
            continue
        files[CONFIG.format(question)] = _labelling(question)
        files[INSTRUCTIONS.format(question)] = _instructions(key, question)
        for rater, items in enumerate(key.raters, 1):
            tasks = [
                _task(key, rater, place, captions, images)
                for place, item in enumerate(items)
                if item.question == question
            ]
            if tasks:
                text = json.dumps(tasks, indent=1, ensure_ascii=False)
                files[TASKS.format(question, rater)] = f"{text}\n"
    return files


def _task(key: Key, rater: int, place: int, captions: Mapping[str, str], images: str) -> dict[str, Any]:
    """One pair; whose images they are is in the key only."""
    item = key.raters[rater - 1][place]
    left, right = (f"{images}/{key.images[arm][item.prompt_id]}" for arm in (item.left, item.right))
    data = {"left": left, "right": right, "experiment": key.experiment, "study": key.study, "rater": rater}
    data |= {"token": key.tokens[rater - 1], "item": place, "question": item.question}
    return {"data": data if item.question == APPEAL else data | {"caption": captions[item.prompt_id]}}


def _labelling(question: Question) -> str:
    """The labelling config: https://labelstud.io/tags/choice: the alias is what an export contains."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Header", value=ASK[question])
    if question != APPEAL:
        ElementTree.SubElement(view, "Text", name="caption", value="$caption")
    pair = ElementTree.SubElement(view, "View", style="display: flex; gap: 1em")
    for side in ("left", "right"):
        half = ElementTree.SubElement(pair, "View", style="flex: 50%")
        ElementTree.SubElement(half, "Header", value=LABELS[side][0], size="4")
        ElementTree.SubElement(half, "Image", name=side, value=f"${side}", zoom="true")
    choices = ElementTree.SubElement(
        view, "Choices", name=ANSWER, toName="left", choice="single-radio", required="true", showInline="true"
    )
    for answer in ANSWERS[question]:
        label, keys = LABELS[answer]
        ElementTree.SubElement(choices, "Choice", value=label, alias=answer, hotkey=keys[0])
    ElementTree.indent(view)
    return f"{ElementTree.tostring(view, encoding='unicode')}\n"


def _instructions(key: Key, question: Question) -> str:
    """What annotators are told before the first task."""
    paragraphs = [
        *key.information.split("\n\n"),
        EXPLAINED[question],
        "If you see no difference, say so: some pairs hardly differ.",
    ]
    return "".join(f"<p>{escape(part.strip())}</p>\n" for part in paragraphs if part.strip())


def mturk_files(key: Key, captions: Mapping[str, str], images: str) -> dict[str, str]:
    """page.html, for the project's design layout, and tasks.csv, for a batch: one task for each rater.

    Raises:
        InputError: the address is not secure, or a rater's task is larger than Mechanical Turk takes.
    """
    if not images.startswith("https://"):
        raise InputError(f"images: {images}: Mechanical Turk shows images from addresses that begin with https:// only")
    _refuse_without_tokens(key)
    page = render_page(key, 1, dict(captions), mturk=True)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["rater", "votes", "study"])
    for rater, items in enumerate(key.raters, 1):
        text = json.dumps(page_data(key, rater, dict(captions), images), separators=(",", ":"))
        cell = base64.b64encode(text.encode()).decode()
        size = len(page.encode()) + len(cell)
        if size > MOST_BYTES:
            raise InputError(
                f"the task of rater {rater} has {len(items)} votes and {size:,} bytes; Mechanical Turk takes {MOST_BYTES:,}: "
                "give each rater fewer (human_evaluation: split, prompts or pairs)"
            )
        writer.writerow([rater, len(items), cell])
    return {"page.html": page, "tasks.csv": table.getvalue()}


def _refuse_without_tokens(key: Key) -> None:
    if not key.tokens:
        raise InputError(
            "key.json is of an earlier version, without a token for each rater: create the pages anew "
            "(snakemake human_evaluation_pages --forcerun human_evaluation_pages)"
        )
