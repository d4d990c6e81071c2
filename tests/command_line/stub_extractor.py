"""An extractor that needs no network: features that are known, in no time."""

import numpy as np


class Means:
    """Colours of an image, repeated with different weights up to `dims` values."""

    calls = 0

    def __init__(self, dims):
        self.dims = dims

    def features(self, images, batch_size):
        type(self).calls += 1
        rng = np.random.default_rng(0)
        mix = rng.standard_normal((3 * 16, self.dims))
        small = [np.asarray(image.convert("RGB").resize((4, 4))).reshape(-1) / 255 for image in images]
        return np.tanh(np.stack(small) @ mix).astype(np.float32)


def load(settings, experiment):
    return Means(settings.dims)
