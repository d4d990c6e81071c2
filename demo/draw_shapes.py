"""A toy text-to-image model for the demo: parses captions word by word and draws the shapes they name, with PIL.

python demo/draw_shapes.py prompts.jsonl folder    writes folder/<prompt_id>.png for every line of prompts.jsonl

This is an example of `generator: command` (docs/adding-a-model.md): replace the body of `draw` with your own model.
"""

import argparse
import json
import os
import random
from pathlib import Path

from PIL import Image, ImageDraw

COLORS = {
    "red": "#d62828", "green": "#2ea043", "blue": "#285ad6", "yellow": "#f0cd28", "purple": "#8c3cb4",
    "orange": "#f0821e", "grey": "#808080", "white": "#eeeeee", "black": "#121212", "pink": "#f0b4c8",
}  # fmt: skip
PLACES = {"middle": (0.5, 0.5), "top": (0.5, 0.28), "bottom": (0.5, 0.72), "left": (0.28, 0.5), "right": (0.72, 0.5)}
CORNERS = {"triangle": 3, "square": 4}


def draw(caption: str, seed: int, width: int, height: int) -> Image.Image:
    """Draws the first shape that the caption names, with its colour, size and place; anything unspecified is random."""
    lot = random.Random(seed)
    words = caption.lower().replace(",", " ").split()
    shapes = [number for number, word in enumerate(words) if word in {*CORNERS, "circle"}]
    color = next((word for word in reversed(words[: shapes[0]]) if word in COLORS), None) if shapes else None
    color = color or lot.choice(list(COLORS))
    grounds = [n for n, word in enumerate(words) if word in ("background", "picture")]
    beside = [word for n in grounds for word in (*words[max(0, n - 1) : n], *words[n + 2 : n + 3]) if word in COLORS]
    background = beside[0] if beside else "grey"
    image = Image.new("RGB", (width, height), COLORS[background])
    x, y = next((PLACES[word] for word in words if word in PLACES), lot.choice(list(PLACES.values())))
    x, y = x * width + lot.uniform(-2, 2), y * height + lot.uniform(-2, 2)
    radius = (0.13 if "small" in words else 0.22) * min(width, height)
    corners = CORNERS.get(words[shapes[0]]) if shapes else None
    pen = ImageDraw.Draw(image)
    if corners is None:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), COLORS[color])
    else:
        pen.regular_polygon((x, y, radius), corners, fill=COLORS[color])
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", type=Path, help="JSON Lines with prompt_id, caption, seed, width, height")
    parser.add_argument("output", type=Path, help="folder for the images")
    arguments = parser.parse_args()
    # A real model would be loaded here, before the loop.
    for line in arguments.prompts.read_text(encoding="utf-8").splitlines():
        prompt = json.loads(line)
        image = draw(prompt["caption"], prompt["seed"], prompt["width"], prompt["height"])
        # Written under another name first, so that a file <prompt_id>.png is always a complete image.
        unfinished = arguments.output / f".{prompt['prompt_id']}.png"
        image.save(unfinished)
        os.replace(unfinished, arguments.output / f"{prompt['prompt_id']}.png")


if __name__ == "__main__":
    main()
