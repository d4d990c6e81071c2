"""Captioned scenes of coloured shapes: a domain so simple that a program can check whether an image matches its caption.

A scene is one shape, or two shapes next to or above each other, on a plain background:

    sample_scenes(n, seed)   samples scenes           (a list of Scene)
    render(scene)            the image                (64 x 64 x 3, uint8)
    captions(scene)          its captions             (five per image, as in COCO)
    check(image, scene)      does an image match?     (one boolean per aspect)
    read_caption(text)       parses a caption         (to grade captions written by a model)

Everything is a pure function of the seed and only needs numpy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

SIDE = 64  # pixels
COLORS = {
    "red": (214, 40, 40),
    "green": (46, 160, 67),
    "blue": (40, 90, 214),
    "yellow": (240, 205, 40),
    "purple": (140, 60, 180),
    "orange": (240, 130, 30),
}
BACKGROUNDS = {"grey": (128, 128, 128), "white": (238, 238, 238), "black": (18, 18, 18), "pink": (240, 180, 200)}
SHAPES = ("circle", "square", "triangle")
RADII = {"small": 8.5, "large": 14.0}  # pixels
PLACES = {
    "in the middle": (32, 32),
    "at the top": (32, 18),
    "at the bottom": (32, 46),
    "on the left": (18, 32),
    "on the right": (46, 32),
}
RELATIONS = ("left of", "above")
ASPECTS = ("bg", "color", "clean", "place", "size")

# {object} may be "a large red circle"; {where} is a place, or a relation and the second object.
TEMPLATES = (
    "a {object} {where} on a {bg} background",
    "there is a {object} {where} in a {bg} picture",
    "a {bg} background with a {object} {where}",
    "{bg} picture showing a {object} {where}",
    "one {object} {where}, the background is {bg}",
)

# Thresholds of the checker. When rendered correctly, a small shape covers 120 to 270 pixels, a large one 370 to 740.
LEAST_PIXELS = 60
SMALL_UP_TO_PIXELS = 330
CLEAN_SHARE = 0.03  # maximum fraction of pixels with a colour that was not requested
PLACE_RADIUS = 8.0  # maximum distance in pixels between the centre of a shape and its requested place
RELATION_GAP = 8.0  # minimum offset in pixels of the second shape to the right, or downwards

PALETTE = np.array([*COLORS.values(), *BACKGROUNDS.values()], dtype=float)
_COLOR_NAMES, _BACKGROUND_NAMES, _PLACE_NAMES = tuple(COLORS), tuple(BACKGROUNDS), tuple(PLACES)
_Y, _X = np.mgrid[0:SIDE, 0:SIDE] + 0.5


@dataclass(frozen=True)
class Shape:
    """One coloured shape. The strings are stated in captions; the numbers are not."""

    color: str
    shape: str
    size: str
    x: float
    y: float
    radius: float
    tint: tuple[float, float, float]  # added to the named colour

    @property
    def words(self) -> str:
        return f"{self.size} {self.color} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """One shape at a `place`, or two shapes in a `relation` (the first is left of, above ...)."""

    bg: str
    tint: tuple[float, float, float]
    shapes: tuple[Shape, ...]
    place: str | None
    relation: str | None


@dataclass(frozen=True)
class CaptionFacts:
    """The content of a caption, independent of its wording; None or empty if it cannot be parsed."""

    bg: str | None
    shapes: tuple[str, ...]
    where: str | None


def _tint(rng: np.random.Generator, spread: float) -> tuple[float, float, float]:
    red, green, blue = rng.normal(0, spread, 3).tolist()
    return red, green, blue


def _sample_shape(rng: np.random.Generator, color: str, x: float, y: float) -> Shape:
    shape = SHAPES[rng.integers(len(SHAPES))]
    size = tuple(RADII)[rng.integers(len(RADII))]
    radius = RADII[size] * rng.uniform(0.93, 1.07)
    return Shape(color, shape, size, x, y, radius, _tint(rng, 4))


def _sample_scene(rng: np.random.Generator) -> Scene:
    bg, tint = _BACKGROUND_NAMES[rng.integers(len(BACKGROUNDS))], _tint(rng, 3)
    if rng.random() < 0.6:  # two shapes, of different colours
        relation = RELATIONS[rng.integers(len(RELATIONS))]
        shapes = []
        for order, color in enumerate(rng.permutation(len(COLORS))[:2]):
            along, across = 18 + 28 * order + rng.uniform(-2, 2), 32 + rng.uniform(-6, 6)
            x, y = (along, across) if relation == "left of" else (across, along)
            shapes.append(_sample_shape(rng, _COLOR_NAMES[color], x, y))
        return Scene(bg, tint, tuple(shapes), None, relation)
    place = _PLACE_NAMES[rng.integers(len(PLACES))]
    x, y = PLACES[place]
    color_name = _COLOR_NAMES[rng.integers(len(COLORS))]
    shape = _sample_shape(rng, color_name, x + rng.uniform(-2, 2), y + rng.uniform(-2, 2))
    return Scene(bg, tint, (shape,), place, None)


def sample_scenes(count: int, seed: int) -> list[Scene]:
    """The first `count` scenes of the sequence determined by `seed`; a larger count extends the same sequence."""
    rng = np.random.default_rng(seed)
    return [_sample_scene(rng) for _ in range(count)]


def render(scene: Scene) -> np.ndarray:
    """Renders the scene: (64, 64, 3) uint8, edges antialiased over one pixel."""
    image = np.broadcast_to(np.add(BACKGROUNDS[scene.bg], scene.tint), (SIDE, SIDE, 3)).copy()
    for shape in scene.shapes:
        alpha = np.clip(0.5 - _signed_distance(shape), 0, 1)[..., None]
        image = image * (1 - alpha) + np.add(COLORS[shape.color], shape.tint) * alpha
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _signed_distance(shape: Shape) -> np.ndarray:
    """Distance in pixels from every pixel to the edge of the shape, negative inside (accurate near the edge)."""
    dx, dy, radius = _X - shape.x, _Y - shape.y, shape.radius
    if shape.shape == "circle":
        return np.hypot(dx, dy) - radius
    if shape.shape == "square":
        return np.maximum(abs(dx), abs(dy)) - 0.88 * radius
    radius *= 1.1  # an upright triangle, enlarged so that it covers nearly as much as the others
    return np.maximum(dy - 0.8 * radius, (2 * abs(dx) - dy - 1.2 * radius) / 5**0.5)


def captions(scene: Scene) -> list[str]:
    """Five captions with the same content in different words."""
    where = scene.place if scene.relation is None else f"{scene.relation} a {scene.shapes[1].words}"
    return [t.format(object=scene.shapes[0].words, where=where, bg=scene.bg) for t in TEMPLATES]


def check(image: np.ndarray, scene: Scene) -> dict[str, bool]:
    """Checks whether an image matches the captions. One boolean per aspect, and `all` for their conjunction.

    bg: most of the border has the background colour. color: every shape's colour is present. clean: no other shape colour
    is. place: the shapes are where they should be. size: they cover the area of small or large shapes, respectively.
    (Circles, squares and triangles are not distinguished: with 64 tokens they are too coarse.)
    """
    if image.shape != (SIDE, SIDE, 3):
        raise ValueError(f"the image has shape {image.shape}, expected {(SIDE, SIDE, 3)}")
    nearest = ((image[..., None, :].astype(float) - PALETTE) ** 2).sum(-1).argmin(-1)
    border = np.concatenate([nearest[0], nearest[-1], nearest[:, 0], nearest[:, -1]])
    most = np.bincount(border, minlength=len(PALETTE)).argmax()

    masks = [nearest == _COLOR_NAMES.index(shape.color) for shape in scene.shapes]
    counts = [int(mask.sum()) for mask in masks]
    found = min(counts) >= LEAST_PIXELS
    asked = [_COLOR_NAMES.index(shape.color) for shape in scene.shapes]
    foreign = [c for c in range(len(COLORS)) if c not in asked]
    result = {
        "bg": bool(most == len(COLORS) + _BACKGROUND_NAMES.index(scene.bg)),
        "color": found,
        "clean": bool(np.isin(nearest, foreign).mean() < CLEAN_SHARE),
        "place": found and _is_placed([(_X[m].mean(), _Y[m].mean()) for m in masks], scene),
        "size": found
        and all((n > SMALL_UP_TO_PIXELS) == (s.size == "large") for n, s in zip(counts, scene.shapes, strict=True)),
    }
    return result | {"all": all(result.values())}


def _is_placed(middles: list[tuple[float, float]], scene: Scene) -> bool:
    if scene.place is not None:
        return bool(np.hypot(*np.subtract(middles[0], PLACES[scene.place])) < PLACE_RADIUS)
    axis = 0 if scene.relation == "left of" else 1
    return bool(middles[1][axis] - middles[0][axis] > RELATION_GAP)


_SHAPE_WORDS = re.compile(rf"\b({'|'.join(RADII)}) ({'|'.join(COLORS)}) ({'|'.join(SHAPES)})\b")
_BACKGROUND_WORDS = re.compile(rf"\b({'|'.join(BACKGROUNDS)})\b")
_WHERE_WORDS = re.compile(rf"\b({'|'.join((*PLACES, *RELATIONS))})\b")


def read_caption(text: str) -> CaptionFacts:
    """Parses a caption, for comparison with `scene_facts`."""
    bg, where = _BACKGROUND_WORDS.search(text), _WHERE_WORDS.search(text)
    shapes = tuple(" ".join(words) for words in _SHAPE_WORDS.findall(text))
    return CaptionFacts(bg.group() if bg else None, shapes, where.group() if where else None)


def scene_facts(scene: Scene) -> CaptionFacts:
    """The content of a correct caption of the scene."""
    return CaptionFacts(scene.bg, tuple(shape.words for shape in scene.shapes), scene.place or scene.relation)
