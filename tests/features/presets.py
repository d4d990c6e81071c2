"""Records what other tools compute from the same images, for test_presets.py. Run once, with those tools on the path:

pip download --no-deps clean-fid==0.1.35 torch-fidelity==0.4.0 torchmetrics==1.9.0, unpack each wheel, then
PYTHONPATH=<their folders> python tests/features/presets.py
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import emudrift.runtime.torchvision_fix  # noqa: F401  isort: skip
import numpy as np
import torch
from PIL import Image

from emudrift.features import inception
from emudrift.features.inception import random_state

RECORDED = Path(__file__).with_name("presets.json")
DIMS = 64


def images(kind: str, n: int = 12) -> list[Image.Image]:
    """Smooth noise with sharp squares, of several sizes above and below 299; set "b" has more contrast and blur."""
    generator = np.random.default_rng(len(kind) + ord(kind))
    found = []
    for index in range(n):
        width, height = [(512, 512), (640, 427), (256, 256), (333, 500)][index % 4]
        small = generator.integers(0, 256, (height // 16, width // 16, 3), np.uint8)
        image = Image.fromarray(small).resize(
            (width, height), Image.Resampling.BICUBIC if kind == "a" else Image.Resampling.BILINEAR
        )
        for _ in range(6):
            x, y, side = (int(each) for each in generator.integers(4, 200, 3))
            image.paste(tuple(int(each) for each in generator.integers(0, 256, 3)), (x, y, x + side, y + side))
        found.append(image)
    return found


def statistics(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return features.mean(0), np.cov(features, rowvar=False)


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """By the eigenvalues of the product of covariances, as these tools do."""
    (mu1, sigma1), (mu2, sigma2) = statistics(first.astype(np.float64)), statistics(second.astype(np.float64))
    eigenvalues = np.linalg.eigvals(sigma1 @ sigma2)
    root = np.sqrt(np.maximum(eigenvalues.real, 0)).sum()
    return float(((mu1 - mu2) ** 2).sum() + np.trace(sigma1) + np.trace(sigma2) - 2 * root)


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The same random weights for every tool's network, by the names that all of them have."""
    return random_state(network, 0)


def by_network(network: torch.nn.Module) -> Callable[[Image.Image], np.ndarray]:
    """A network of torch-fidelity or torchmetrics, which takes the image as it is, in uint8."""

    def features(image: Image.Image) -> np.ndarray:
        values = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        with torch.inference_mode():
            found = network(values)
        return (found[0] if isinstance(found, tuple) else found).reshape(-1).numpy()

    return features


def tools() -> dict[str, Callable[[Image.Image], np.ndarray]]:
    from cleanfid.resize import build_resizer
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torchmetrics.image.fid import NoTrainInceptionV3

    state: dict[str, torch.Tensor] = {}
    inception.build_network(2048, lambda empty: state.update(weights(empty)) or state)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.pth"
        torch.save(state, file)
        fidelity = FeatureExtractorInceptionV3("inception", [str(DIMS)], feature_extractor_weights_path=str(file))
        metrics = NoTrainInceptionV3("inception", [str(DIMS)], feature_extractor_weights_path=str(file))
    network = inception.build_network(DIMS, lambda empty: state).eval()
    resize = build_resizer("clean")

    def clean(image: Image.Image) -> np.ndarray:
        values = torch.from_numpy(resize(np.asarray(image))).permute(2, 0, 1)[None]
        # Its own network normalises by (v - 128) / 128; this one by 2 x - 1.
        with torch.inference_mode():
            return network(((values - 128) / 128 + 1) / 2)[0].mean((2, 3)).reshape(-1).numpy()

    def pytorch(image: Image.Image) -> np.ndarray:
        import pytorch_fid.inception as pytorch_fid

        whole = pytorch_fid.InceptionV3.__new__(pytorch_fid.InceptionV3)
        torch.nn.Module.__init__(whole)
        whole.blocks, whole.resize_input, whole.normalize_input = network.blocks, True, True
        whole.last_needed_block, whole.output_blocks = network.last_needed_block, network.output_blocks
        with torch.inference_mode():
            return (
                whole(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255)[0]
                .mean((2, 3))
                .reshape(-1)
                .numpy()
            )

    return {
        "clean-fid": clean,
        "pytorch-fid": pytorch,
        "torch-fidelity": by_network(fidelity),
        "torchmetrics": by_network(metrics),
    }


def main() -> None:
    recorded = {}
    for name, features in tools().items():
        first, second = (np.stack([features(image) for image in images(kind)]) for kind in "ab")
        recorded[name] = frechet(first, second)
    RECORDED.write_text(json.dumps(recorded, indent=1) + "\n")
    print(recorded)


if __name__ == "__main__":
    main()
