"""The steps of the ladder, applied to pictures."""

import numpy as np
import pytest
from PIL import Image

from emudrift.features.degradations import STEPS, Degradation


def picture(side: int = 96) -> Image.Image:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    return coarse.resize((side * 4 // 3, side), Image.Resampling.BICUBIC)


def loss(image: Image.Image, step: Degradation) -> float:
    """Root mean square of what changes."""
    off = np.asarray(step.apply(image), dtype=np.float64) - np.asarray(image, dtype=np.float64)
    return float(np.sqrt(np.mean(off**2)))


@pytest.mark.parametrize("kind", ["jpeg", "blur"])
def test_each_step_of_a_kind_is_worse_than_the_one_before(kind):
    losses = [loss(picture(), step) for step in STEPS if step.kind == kind]
    assert len(losses) == 3
    assert 0 < losses[0] < losses[1] < losses[2]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.label)
def test_size_and_mode_stay_and_the_image_itself_is_not_touched(step):
    image = picture()
    before = image.tobytes()
    found = step.apply(image)
    assert (found.size, found.mode) == (image.size, "RGB")
    assert image.tobytes() == before


def test_a_radius_means_the_same_at_every_size():
    """A step edge after a blur of 4 px at 256: its slope, in shares of the image, is that of a Gaussian of 4 / 256."""
    for side in (128, 256, 512):
        edge = np.zeros((side, side, 3), np.uint8)
        edge[:, side // 2 :] = 255
        row = np.asarray(Degradation("blur", 4).apply(Image.fromarray(edge)), dtype=np.float64)[side // 2, :, 0]
        slope = np.diff(row).max() * side / 255
        assert slope == pytest.approx(1 / (np.sqrt(2 * np.pi) * 4 / 256), rel=0.12)
