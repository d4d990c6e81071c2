"""Generates the demo's dataset: 600 scenes that the models were not trained on, in COCO format, and questions about them.

    python demo/draw_data.py

Writes demo/data/captions.json, demo/data/images/{image_id:012d}.png, demo/data/questions.json, and demo/data/asked.csv: what the
judge is asked about pictures of the first prompts, in DSG's format. The captions of scenes of one and of two objects are sets of
their own as well: demo/data/one-object.json and demo/data/two-objects.json. demo/data/instances.json labels the sizes and
backgrounds of the scenes of one object.
"""

import argparse
import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from asking import dsg_rows
from PIL import Image

import scenes

DATA = Path(__file__).resolve().parent / "data"
DATA_SEED = 2_024
COUNT = 600
ASKED = 400
QUESTION = "what is in the picture?"
# The official VQA accuracy is 1 from four equal answers of people on: an answer is right if it is one of theirs.
PEOPLE = 4
JUDGED = {1: 240, 2: 56}
"""Prompts with questions by their number of objects: the first in the order that the demo's seed gives (`data.prompt_table`)."""
DSG = "item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language"
SETS = {"one-object": 1, "two-objects": 2}
"""Sets of prompts, with the number of objects of their scenes."""


def captions_json(shown: list[scenes.Scene]) -> dict[str, Any]:
    """The captions in COCO format: `images` and `annotations`, five captions per image."""
    images, annotations = [], []
    for image_id, scene in enumerate(shown, start=1):
        images.append(
            {"id": image_id, "file_name": f"{image_id:012d}.png", "width": scenes.SIDE, "height": scenes.SIDE}
        )
        for caption in scenes.captions(scene):
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, "caption": caption})
    info = {"description": "emudrift demo: captioned scenes of coloured shapes", "version": "1.0"}
    licenses = [{"id": 1, "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}]
    return {"info": info, "licenses": licenses, "images": images, "annotations": annotations}


def captions_of(captions: dict[str, Any], shown: list[scenes.Scene], objects: int) -> dict[str, Any]:
    """The captions of the scenes with so many objects; images keep their ids."""
    ids = {number for number, scene in enumerate(shown, start=1) if len(scene.shapes) == objects}
    of = {"images": "id", "annotations": "image_id"}
    return captions | {key: [each for each in captions[key] if each[name] in ids] for key, name in of.items()}


def instances_json(captions: dict[str, Any], shown: list[scenes.Scene]) -> dict[str, Any]:
    """What scenes of one object have in common, as categories of COCO: objects by their size and, as COCO-Stuff, backgrounds."""
    names = [*(f"{size} objects" for size in scenes.RADII), *(f"a {bg} background" for bg in scenes.BACKGROUNDS)]
    annotations: list[dict[str, Any]] = []
    for entry in captions["images"]:
        scene = shown[entry["id"] - 1]
        (shape,) = scene.shapes
        left, top, side = round(shape.x - shape.radius), round(shape.y - shape.radius), round(2 * shape.radius)
        boxes = {
            f"{shape.size} objects": [left, top, side, side],
            f"a {scene.bg} background": [0, 0, *[scenes.SIDE] * 2],
        }
        for name, box in boxes.items():
            number = {"id": len(annotations) + 1, "image_id": entry["id"], "category_id": names.index(name) + 1}
            annotations.append(number | {"bbox": box, "area": box[2] * box[3], "iscrowd": 0})
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    return captions | {"annotations": annotations, "categories": categories}


def right_answers(scene: scenes.Scene) -> list[str]:
    """Each tells all of a scene: its captions, and what the models make of two of them."""
    captions = scenes.captions(scene)
    return [*captions, captions[-1].replace("one ", "a ", 1)]


def questions_json(shown: list[scenes.Scene]) -> list[dict[str, object]]:
    """The question that the models learned, about each scene, in the format of VizWiz."""
    return [
        {
            "image": f"{image_id:012d}.png",
            "question": QUESTION,
            "answers": [{"answer": caption} for caption in right_answers(scene) for _ in range(PEOPLE)],
        }
        for image_id, scene in enumerate(shown, start=1)
    ]


def judged(shown: list[scenes.Scene]) -> list[tuple[str, str, scenes.Scene]]:
    """Id, prompt and scene of the first prompts of each number of objects."""
    ids = [f"{image_id:012d}" for image_id in range(1, len(shown) + 1)]
    order = sorted(ids, key=lambda each: hashlib.sha256(f"order/0/{each}".encode()).digest())
    scene_of = dict(zip(ids, shown, strict=True))
    chosen = [
        each
        for objects, count in JUDGED.items()
        for each in [each for each in order if len(scene_of[each].shapes) == objects][:count]
    ]
    return [(each, max(scenes.captions(scene_of[each]), key=len), scene_of[each]) for each in chosen]


def write_data(folder: Path, count: int, seed: int) -> None:
    shown = scenes.sample_scenes(count, seed)
    captions = captions_json(shown)
    shutil.rmtree(folder / "images", ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    for entry, scene in zip(captions["images"], shown, strict=True):
        Image.fromarray(scenes.render(scene)).save(folder / "images" / entry["file_name"], optimize=True)
    (folder / "captions.json").write_text(json.dumps(captions, indent=0) + "\n")
    for name, objects in SETS.items():
        (folder / f"{name}.json").write_text(json.dumps(captions_of(captions, shown, objects), indent=0) + "\n")
    instances = instances_json(captions_of(captions, shown, 1), shown)
    (folder / "instances.json").write_text(json.dumps(instances) + "\n")
    (folder / "questions.json").write_text(lines_of(questions_json(shown[:ASKED])))
    with (folder / "asked.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(DSG.split(","))
        # The same caption has the same questions: once is enough.
        of_text = {text: dsg_rows(item, text, scene) for item, text, scene in judged(shown)}
        writer.writerows(row for rows in of_text.values() for row in rows)


def lines_of(records: list[dict[str, object]]) -> str:
    """A JSON list with one record per line."""
    return "[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=DATA, help="where to write (default: demo/data)")
    parser.add_argument("--count", type=int, default=COUNT, help=f"how many scenes (default: {COUNT})")
    parser.add_argument("--seed", type=int, default=DATA_SEED, help=f"default: {DATA_SEED}")
    options = parser.parse_args()
    if options.count < 1 or options.seed < 0:
        parser.error(f"--count {options.count} --seed {options.seed}: count must be 1 or more, seed 0 or more")
    write_data(options.folder, options.count, options.seed)


if __name__ == "__main__":
    main()
