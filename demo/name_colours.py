"""A toy model that sees, for the demo: names the colours of a picture, most of it first, with PIL.

python demo/name_colours.py questions.jsonl answers.jsonl    appends a line to answers.jsonl for every line of questions.jsonl

This is an example of `answer_command` (docs/adding-a-model.md): replace the body of `answer` with your own model.
"""

import argparse
import json
from pathlib import Path

from draw_shapes import COLORS
from PIL import Image, ImageColor

NAMES = {ImageColor.getrgb(colour): name for name, colour in COLORS.items()}


def answer(question: str, image: Image.Image) -> str:
    """Names the two most frequent colours; the question is not looked at."""
    counts = image.convert("RGB").resize((32, 32)).getcolors(1024) or []
    found: dict[str, int] = {}
    for count, pixel in counts:
        nearest = min(NAMES, key=lambda known: sum((a - b) ** 2 for a, b in zip(known, pixel, strict=True)))
        found[NAMES[nearest]] = found.get(NAMES[nearest], 0) + count
    ground, *shapes = sorted(found, key=lambda name: (-found[name], name))
    return f"something {shapes[0]} in a {ground} picture" if shapes else f"a {ground} picture"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path, help="JSON Lines with row, question, image, examples, max_new_tokens")
    parser.add_argument("output", type=Path, help="file for the answers")
    arguments = parser.parse_args()
    # A real model would be loaded here, before the loop.
    with arguments.output.open("a", encoding="utf-8") as output:
        for line in arguments.questions.read_text(encoding="utf-8").splitlines():
            asked = json.loads(line)
            with Image.open(asked["image"]) as image:
                said = answer(asked["question"], image)
            # One write per line, and nothing kept back: emudrift takes answers while the program runs.
            output.write(json.dumps({"row": asked["row"], "answer": said}) + "\n")
            output.flush()


if __name__ == "__main__":
    main()
