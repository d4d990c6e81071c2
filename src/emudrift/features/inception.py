"""Inception feature extractor for FID: pytorch-fid's network with published weights or, as a stand-in, random weights."""

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import emudrift.runtime.torchvision_fix  # noqa: F401  isort: skip
import numpy as np
import pytorch_fid.inception as pytorch_fid
import torch
from PIL import Image
from torch import Tensor, nn

from emudrift.config.experiment import Experiment
from emudrift.config.extractors import INCEPTION_SHA256, Inception, Preprocessing
from emudrift.errors import InputError
from emudrift.features.batches import features_in_batches
from emudrift.features.inception_weights import check_weights
from emudrift.features.preprocessing import inception_input

DIMS = tuple(pytorch_fid.InceptionV3.BLOCK_INDEX_BY_DIM)


class InceptionExtractor:
    """Extracts the output of one block of the network, averaged over positions.

    Always float32, without TF32: bfloat16 changed features by 8e-2 and gave a FID of 0.14 between identical images.

    Attributes:
        dims: length of a feature vector: 64, 192, 768 or 2048 (pool3, the standard FID).
        random_weights: whether the weights are random; such distances are not comparable to published ones.
    """

    def __init__(
        self,
        network: nn.Module,
        dims: int,
        preprocessing: Preprocessing,
        device: str = "cpu",
        random_weights: bool = False,
    ) -> None:
        self.dims, self.preprocessing, self.random_weights = dims, preprocessing, random_weights
        self.device = torch.device(device)
        # Channels last: 1.4 to 1.6 times faster on a CPU, with equal results up to rounding.
        self.network = network.eval().to(self.device, torch.float32, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, images: Iterable[Image.Image], batch_size: int) -> np.ndarray:
        """Features (n, dims), float32, of n images of any sizes; the batch size only affects speed.

        Raises:
            InputError: a feature is not finite; the message gives the 0-based index of the image.
        """
        return features_in_batches(images, batch_size, self.dims, self._preprocess, self._forward)

    def _preprocess(self, image: Image.Image) -> Tensor:
        return inception_input(image, self.preprocessing)

    @torch.inference_mode()
    def _forward(self, batch: Tensor) -> Tensor:
        """(b, 3, 299, 299) in [0, 1] to (b, dims)."""
        batch = batch.to(self.device).contiguous(memory_format=torch.channels_last)
        output: Tensor = self.network(batch)[0]
        return nn.functional.adaptive_avg_pool2d(output, 1).flatten(1)


def load_published(
    weights: str | Path, dims: int, preprocessing: Preprocessing, device: str = "cpu", sha256: str = INCEPTION_SHA256
) -> InceptionExtractor:
    """Loads the extractor with weights from a local file.

    Raises:
        InputError: the file is missing, has another sha256, or does not contain this network's weights.
    """
    check_weights(weights, sha256)
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        network = build_network(dims, lambda empty: state)
    except (RuntimeError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{weights}: not the weights of pytorch-fid's Inception network: {reason}") from error
    return InceptionExtractor(network, dims, preprocessing, device)


def load_random(seed: int, dims: int, preprocessing: Preprocessing, device: str = "cpu") -> InceptionExtractor:
    """The extractor with random weights: needs no download, identical on every machine, for tests and demonstrations only."""
    network = build_network(dims, lambda empty: random_state(empty, seed))
    return InceptionExtractor(network, dims, preprocessing, device, random_weights=True)


def build_network(dims: int, make_state: Callable[[nn.Module], Mapping[str, Tensor]]) -> nn.Module:
    """pytorch-fid's network up to the block with `dims` features, for input (b, 3, 299, 299) in [0, 1].

    Args:
        make_state: takes the whole network and returns its weights, named as in the published file.

    Raises:
        RuntimeError: the weights do not fit.
    """
    if dims not in DIMS:
        raise InputError(
            f"extractors: dims: {dims} is not a layer of the Inception network; valid are {', '.join(map(str, DIMS))}"
        )
    block = pytorch_fid.InceptionV3.BLOCK_INDEX_BY_DIM[dims]
    # PyTorch samples initial weights when building the network, which must not affect the caller's random state.
    with torch.random.fork_rng(devices=[]), _state_instead_of_download(make_state):
        return pytorch_fid.InceptionV3([block], resize_input=False, normalize_input=True)


@contextmanager
def _state_instead_of_download(make_state: Callable[[nn.Module], Mapping[str, Tensor]]) -> Iterator[None]:
    """Makes pytorch-fid use `make_state` instead of downloading weights while it builds its network.

    Its `fid_inception_v3` calls `_inception_v3`, changes some blocks in place, then calls `load_state_dict_from_url`
    and loads the result. Both functions are patched in its module, the first one to obtain the network.
    """
    make_network, download = pytorch_fid._inception_v3, pytorch_fid.load_state_dict_from_url
    made: list[nn.Module] = []

    def make_and_keep(*args: object, **kwargs: object) -> nn.Module:
        made.append(make_network(*args, **kwargs))
        return made[-1]

    pytorch_fid._inception_v3 = make_and_keep
    pytorch_fid.load_state_dict_from_url = lambda *args, **kwargs: make_state(made[-1])
    try:
        yield
    finally:
        pytorch_fid._inception_v3, pytorch_fid.load_state_dict_from_url = make_network, download


def random_state(network: nn.Module, seed: int) -> dict[str, Tensor]:
    """Weights for a network of convolutions, BatchNorm and ReLU: a pure function of the seed and the network's shapes.

    Convolutions are normal with variance 2 / fan-in (He et al. 2015, arXiv:1502.01852, eq. 10), so that the mean square
    of an activation is the same after every ReLU. BatchNorm is the identity. NumPy's generator gives the same numbers on
    every machine and does not affect PyTorch's random state.
    """
    generator = np.random.default_rng(seed)
    state = {}
    for name, tensor in network.state_dict().items():
        if tensor.ndim == 4:
            fan_in = tensor[0].numel()
            values = generator.standard_normal(tuple(tensor.shape), dtype=np.float32) * np.float32((2 / fan_in) ** 0.5)
            state[name] = torch.from_numpy(values)
        else:
            # Scale and variance 1, shift and mean 0; the classifier, which no extractor uses, is all 0.
            one = tensor.ndim == 1 and name.endswith(("bn.weight", "running_var"))
            state[name] = torch.ones_like(tensor) if one else torch.zeros_like(tensor)
    return state


# --- as an entry of the registry ---


def load(settings: Inception, experiment: Experiment) -> InceptionExtractor:
    """The extractor that the settings describe. Raises InputError where its weights are missing or wrong."""
    device, weights = experiment.config.device, settings.weights_file(experiment)
    if weights is None:
        return load_random(settings.seed, settings.dims, settings.preprocessing, device)
    return load_published(weights, settings.dims, settings.preprocessing, device, settings.sha256)
