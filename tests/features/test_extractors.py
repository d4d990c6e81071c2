"""Features against pytorch-fid's own pipeline, preprocessing against torchvision's, weights that are not what they claim."""

import hashlib
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

import emudrift.runtime.torchvision_fix  # noqa: F401  isort: skip
import pytorch_fid.inception as pytorch_fid
from pytorch_fid.fid_score import get_activations
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from emudrift.config.extractors import INCEPTION_SHA256, Preprocessing
from emudrift.errors import InputError
from emudrift.features import inception
from emudrift.features.inception import load_published, load_random
from emudrift.features.preprocessing import inception_input

COCO = Preprocessing()
RAW = Preprocessing(resize="pytorch-fid", crop="none", size=None)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth coloured scene with noise and edges."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    pixels = np.asarray(coarse).astype(int) + rng.integers(-20, 20, (height, width, 3))
    pixels[height // 3 : height // 2, width // 4 : width // 2] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """One set of weights, under the names of the published file, with BatchNorm far from identity."""
    kept: dict[str, torch.Tensor] = {}

    def make(network: torch.nn.Module) -> dict[str, torch.Tensor]:
        kept.update(inception.random_state(network, 7))
        rng = np.random.default_rng(0)
        for name, tensor in kept.items():
            if ".bn." in name and tensor.ndim:
                low = -0.2 if name.endswith(("bias", "mean")) else 0.7
                kept[name] = torch.from_numpy(rng.uniform(low, low + 0.5, tensor.shape).astype(np.float32))
        return kept

    inception.build_network(2048, make)
    return kept


def theirs(state: dict[str, torch.Tensor], dims: int, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """pytorch-fid's own network and resize, built by its own code from these weights."""
    monkeypatch.setattr(pytorch_fid, "load_state_dict_from_url", lambda *args, **kwargs: state)
    return pytorch_fid.InceptionV3([pytorch_fid.InceptionV3.BLOCK_INDEX_BY_DIM[dims]])


@pytest.mark.parametrize("dims", [64, 192, 768, 2048])
def test_equals_pytorch_fid_from_png_to_features(state, dims, tmp_path, monkeypatch):
    images = [picture(331, 247, seed) for seed in range(3)]
    for i, image in enumerate(images):
        image.save(tmp_path / f"{i}.png")
    theirs_features = get_activations(
        sorted(tmp_path.iterdir()), theirs(state, dims, monkeypatch), 3, dims, num_workers=0
    )
    torch.save(state, tmp_path / "weights.pth")
    digest = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()
    ours = load_published(tmp_path / "weights.pth", dims, RAW, sha256=digest)
    assert not ours.random_weights
    features = ours.features(images, 2)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, theirs_features, rtol=1e-5, atol=1e-5 * np.abs(theirs_features).max())


def test_building_leaves_pytorch_fid_and_the_random_numbers_of_pytorch_as_they_were():
    before = pytorch_fid.load_state_dict_from_url, pytorch_fid._inception_v3
    torch.manual_seed(1)
    load_random(0, 64, COCO)
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(3))
    with pytest.raises(RuntimeError, match="Missing key"):
        inception.build_network(64, lambda network: {})
    assert (pytorch_fid.load_state_dict_from_url, pytorch_fid._inception_v3) == before


@pytest.mark.parametrize("dims", [64, 192, 768, 2048])
def test_random_weights_keep_activations_alive_through_the_whole_network(dims):
    images = [picture(300, 300, seed) for seed in range(4)]
    torch.manual_seed(dims)  # Must not matter.
    features = load_random(3, dims, COCO).features(images, 4)
    # The mean square of an activation is that of the input, some 0.3, within a factor of 10 at any depth.
    assert 0.03 < np.square(features).mean() < 3
    spread = features.std(axis=0)
    assert (spread > 1e-3).mean() > 0.5
    assert spread.max() < 10


def test_random_weights_follow_from_the_seed_alone():
    images = [picture(100, 80)]
    torch.manual_seed(0)
    first = load_random(3, 192, COCO)
    torch.manual_seed(1)
    again, other = (load_random(seed, 192, COCO) for seed in (3, 4))
    assert first.random_weights
    np.testing.assert_array_equal(first.features(images, 1), again.features(images, 1))
    assert np.abs(first.features(images, 1) - other.features(images, 1)).max() > 0.01
    # Pinned, so that another NumPy or network that changed them would show.
    weight = first.network.blocks[0][0].conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    expected = np.random.default_rng(3).standard_normal((32, 3, 3, 3), dtype=np.float32) * np.sqrt(np.float32(2 / 27))
    np.testing.assert_allclose(weight, expected, rtol=1e-6)


def test_neither_batch_size_nor_neighbours_nor_order_change_a_feature():
    sizes = [(640, 480), (299, 299), (64, 64), (31, 500), (1, 1)]
    images = [
        picture(*size, seed=i) if min(size) > 5 else Image.new("RGB", size, "red") for i, size in enumerate(sizes)
    ]
    extractor = load_random(0, 2048, COCO)
    expected = extractor.features(images, 5)
    scale = np.abs(expected).max()
    for batch_size in (1, 3):
        np.testing.assert_allclose(extractor.features(iter(images), batch_size), expected, rtol=1e-5, atol=1e-5 * scale)
    np.testing.assert_allclose(extractor.features(images[::-1], 9)[::-1], expected, rtol=1e-5, atol=1e-5 * scale)
    assert extractor.features([], 3).shape == (0, 2048)


def test_grey_images_are_seen_as_rgb():
    grey = picture(90, 70).convert("L")
    extractor = load_random(0, 64, COCO)
    np.testing.assert_array_equal(extractor.features([grey], 1), extractor.features([grey.convert("RGB")], 1))
    with pytest.raises(ValueError, match="mode RGBA"):
        extractor.features([grey.convert("RGBA")], 1)


def test_features_that_are_not_finite_name_the_image():
    class Broken(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> list[torch.Tensor]:
            dark = batch.mean(dim=(1, 2, 3), keepdim=True) < 0.01
            return [torch.where(dark, torch.nan, torch.ones(1, 64, 1, 1))]

    images = [Image.new("RGB", (9, 9), colour) for colour in ("white", "red", "white", "black", "white")]
    extractor = inception.InceptionExtractor(Broken(), 64, RAW)
    assert extractor.features(images[:3], 2).shape == (3, 64)
    with pytest.raises(InputError, match="image 3 "):
        extractor.features(images, 2)


BICUBIC = partial(transforms.Resize, interpolation=InterpolationMode.BICUBIC)


@pytest.mark.parametrize("size", [(640, 480), (512, 512), (299, 299), (120, 400)])
def test_the_published_studys_resize_is_torchvisions_default(size):
    """Its transform, written out from its code: Resize((299, 299)), ToTensor, then the whole numbers below 255 times that."""
    image = picture(*size)
    whole = (transforms.Compose([transforms.Resize((299, 299)), transforms.ToTensor()])(image) * 255).to(torch.uint8)
    ours = inception_input(image, Preprocessing(resize="bilinear", crop="none", size=None))
    torch.testing.assert_close(ours, whole.to(torch.float32) / 255, rtol=0, atol=1e-7)


@pytest.mark.parametrize("size", [(640, 480), (333, 500), (257, 255), (256, 256), (40, 700), (299, 299), (1000, 257)])
@pytest.mark.parametrize(
    ("preprocessing", "steps"),
    [
        (
            Preprocessing(resize="bicubic", crop="center", size=256),
            lambda side: [BICUBIC(256), transforms.CenterCrop(256)],
        ),
        (Preprocessing(resize="bicubic", crop="none", size=128), lambda side: [BICUBIC((128, 128))]),
        (Preprocessing(resize="bicubic", crop="center", size=None), lambda side: [transforms.CenterCrop(side)]),
        (Preprocessing(resize="bicubic", crop="none", size=None), lambda side: []),
    ],
)
def test_preprocessing_equals_torchvisions(preprocessing, steps, size):
    image = picture(*size)
    expected = transforms.Compose([*steps(min(size)), BICUBIC((299, 299)), transforms.ToTensor()])(image)
    tensor = inception_input(image, preprocessing)
    assert (tensor.shape, tensor.dtype) == ((3, 299, 299), torch.float32)
    torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-7)
    # The other filter sees the same crop, and differs.
    other = inception_input(image, preprocessing.model_copy(update={"resize": "pytorch-fid"}))
    cropped = transforms.Compose([*steps(min(size)), transforms.ToTensor()])(image)
    expected = torch.nn.functional.interpolate(cropped[None], size=(299, 299), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(other, expected, rtol=0, atol=1e-6)
    assert torch.equal(other, tensor) == (cropped.shape[1:] == (299, 299))


@pytest.mark.parametrize("kind", ["truncated", "other", "missing", "folder"])
def test_wrong_weights_files_are_refused_with_both_hashes(tmp_path, kind):
    path = tmp_path / "weights.pth"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(b"PK\x03\x04" if kind == "truncated" else b"other weights")
    with pytest.raises(InputError) as caught:
        load_published(path, 2048, COCO)
    message = str(caught.value)
    assert str(path) in message
    if kind in ("truncated", "other"):
        assert INCEPTION_SHA256 in message
        assert hashlib.sha256(path.read_bytes()).hexdigest() in message


@pytest.mark.parametrize("content", [b"not torch", {"fc.weight": torch.zeros(2)}, [1, 2], print])
def test_files_with_the_right_hash_that_are_no_weights_are_refused(tmp_path, content):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)  # `print` needs unpickling of code, which weights_only refuses.
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=r"weights\.pth: not the weights of pytorch-fid"):
        load_published(path, 64, COCO, sha256=digest)


def test_a_layer_that_the_network_does_not_have_is_refused():
    with pytest.raises(InputError, match="100 is not a layer.*64, 192, 768, 2048"):
        load_random(0, 100, COCO)
