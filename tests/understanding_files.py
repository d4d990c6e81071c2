"""Small files of questions, captions and answers for tests, in the formats of VQA v2, VizWiz, COCO and Karpathy."""

import json
import random
from pathlib import Path

from PIL import Image

COLOURS = ("red", "blue", "green", "brown", "white")


def write_pictures(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        Image.new("RGB", (8, 8), (place % 256, 0, 0)).save(folder / name)
    return folder


def write_vqa(folder: Path, images: int = 60, per_image: int = 3) -> dict[str, str]:
    """Questions and annotations as VQA v2 has them; ten people name each image's colour, some another. Keys of a task."""
    drawn = random.Random(0)
    questions, annotations = [], []
    for image in range(images):
        for place in range(per_image):
            question_id = image * 1000 + place
            questions.append(
                {"question_id": question_id, "image_id": image, "question": f"What colour is thing {place}?"}
            )
            colour = COLOURS[image % len(COLOURS)]
            people = [colour if drawn.random() < 0.7 else drawn.choice(COLOURS) for _ in range(10)]
            answers = [{"answer": said, "answer_id": number + 1} for number, said in enumerate(people)]
            annotations.append({"question_id": question_id, "image_id": image, "answers": answers})
    (folder / "questions.json").write_text(json.dumps({"data_subtype": "val2014", "questions": questions}))
    (folder / "annotations.json").write_text(json.dumps({"annotations": annotations}))
    pictures = write_pictures(folder / "pictures", [f"COCO_val2014_{image:012d}.jpg" for image in range(images)])
    return {
        "task": "vqa",
        "name": "vqa",
        "images": str(pictures),
        "questions": str(folder / "questions.json"),
        "annotations": str(folder / "annotations.json"),
    }


def write_captions(folder: Path, images: int = 60) -> dict[str, str]:
    """Five captions of each image, as COCO has them. Keys of a task."""
    names = [f"{image:012d}.jpg" for image in range(images)]
    captions = [
        {
            "id": image * 10 + place,
            "image_id": image,
            "caption": f"A {COLOURS[image % 5]} thing number {image}, seen {place}.",
        }
        for image in range(images)
        for place in range(5)
    ]
    content = {"images": [{"id": i, "file_name": name} for i, name in enumerate(names)], "annotations": captions}
    (folder / "captions.json").write_text(json.dumps(content))
    return {
        "task": "caption",
        "name": "captions",
        "images": str(write_pictures(folder / "caption_pictures", names)),
        "captions": str(folder / "captions.json"),
    }


def write_answers(path: Path, answers: dict[int, str]) -> str:
    path.write_text("".join(json.dumps({"question_id": key, "answer": said}) + "\n" for key, said in answers.items()))
    return str(path)
