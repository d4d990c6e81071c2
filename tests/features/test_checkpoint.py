"""DINOv2 and CLIP against transformers' own pipelines, on tiny checkpoints made here; and checkpoints that are refused."""

import json

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_networks import tiny_clip, tiny_dinov2
from transformers import AutoModel, AutoTokenizer, BitImageProcessor, CLIPImageProcessor, CLIPModel, CLIPProcessor

from emudrift.errors import InputError
from emudrift.evaluation.metrics.clip_score import clip_scores
from emudrift.features.clip import ClipExtractor
from emudrift.features.dinov2 import Dinov2Extractor

CAPTIONS = ["a red circle", "two dogs, one cat", "x", "7 birds"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return {"dinov2": tiny_dinov2(folder / "dinov2"), "clip": tiny_clip(folder / "clip")}


def pictures(*sizes: tuple[int, int]) -> list[Image.Image]:
    """Smooth random pictures, width by height, since noise tells little of a resize."""
    random = np.random.default_rng(0)
    small = [Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8)) for _ in sizes]
    return [image.resize(size, Image.Resampling.BILINEAR) for image, size in zip(small, sizes, strict=True)]


SIZES = ((64, 64), (300, 200), (200, 333), (17, 40))


def test_dinov2_equals_the_cls_token_of_transformers_own_pipeline(checkpoints):
    """Its processor set as dgm-eval's transform: 224 x 224, bicubic, not cropped, ImageNet's mean and deviation."""
    processor = BitImageProcessor(
        size={"height": 224, "width": 224},
        resample=Image.Resampling.BICUBIC,
        do_center_crop=False,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    images = pictures(*SIZES)
    model = AutoModel.from_pretrained(checkpoints["dinov2"], local_files_only=True).eval()
    with torch.inference_mode():
        pixels = processor([np.array(image) for image in images], return_tensors="pt")
        expected = model(**pixels).pooler_output.numpy()
    ours = Dinov2Extractor(checkpoints["dinov2"], 32).features(images, 3)
    # The processor may resize tensors, which rounds otherwise than Pillow: by one level of 255 at most.
    assert np.abs(ours - expected).max() < 0.03 * np.abs(expected).max()
    assert np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > 0.9999


def test_dinov2_is_exact_where_nothing_is_resized(checkpoints):
    images = pictures((224, 224), (224, 224))
    model = AutoModel.from_pretrained(checkpoints["dinov2"], local_files_only=True).eval()
    pixels = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 for image in images])
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.inference_mode():
        expected = model((pixels - mean) / std).last_hidden_state[:, 0].numpy()
    ours = Dinov2Extractor(checkpoints["dinov2"], 32).features(images, 8)
    np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_clip_equals_transformers_own_pipeline_on_square_images(checkpoints):
    images = pictures((64, 64), (32, 32), (500, 500))
    # As the published preprocessor_config.json says, at the tiny network's size.
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    model = CLIPModel.from_pretrained(checkpoints["clip"], local_files_only=True).eval()
    with torch.inference_mode():
        pixels = processor([np.array(image) for image in images], return_tensors="pt")
        expected = model.get_image_features(**pixels).pooler_output.numpy()
    ours = ClipExtractor(checkpoints["clip"], 24).features(images, 2)
    assert np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > 0.9999
    np.testing.assert_allclose(ours[1], expected[1], atol=2e-6)  # The one that needs no resize.


def test_scores_of_image_and_caption_are_clips_own_logits_without_its_temperature(checkpoints):
    images = pictures(*[(32, 32)] * 4)
    extractor = ClipExtractor(checkpoints["clip"], 24)
    ours = clip_scores(extractor.features(images, 2), extractor.text_features(CAPTIONS, 3))
    model = CLIPModel.from_pretrained(checkpoints["clip"], local_files_only=True).eval()
    processor = CLIPProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        AutoTokenizer.from_pretrained(checkpoints["clip"], local_files_only=True),
    )
    pixels = [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images]
    with torch.inference_mode():
        inputs = processor(text=CAPTIONS, images=pixels, return_tensors="pt", padding=True)
        logits = model(**inputs).logits_per_image.diagonal() / model.logit_scale.exp()
    np.testing.assert_allclose(ours, 100 * logits.clamp(min=0).numpy(), atol=1e-4)
    assert len(set(ours)) > 1


@pytest.mark.parametrize(("name", "dims"), [("dinov2", 32), ("clip", 24)])
def test_features_do_not_depend_on_the_batch_size(checkpoints, name, dims):
    extractor = (Dinov2Extractor if name == "dinov2" else ClipExtractor)(checkpoints[name], dims)
    images = pictures(*SIZES)
    whole = extractor.features(images, 4)
    assert whole.dtype == np.float32
    assert whole.shape == (4, dims)
    np.testing.assert_allclose(extractor.features(images, 1), whole, atol=2e-6)


def test_a_captions_embedding_does_not_depend_on_its_neighbours(checkpoints):
    extractor = ClipExtractor(checkpoints["clip"], 24)
    whole = extractor.text_features(CAPTIONS, 4)
    np.testing.assert_allclose(extractor.text_features(CAPTIONS[::-1], 1)[::-1], whole, atol=2e-6)
    assert extractor.text_features([], 4).shape == (0, 24)


def test_captions_that_are_too_long_are_cut_and_counted(checkpoints, caplog):
    extractor = ClipExtractor(checkpoints["clip"], 24)
    long = "a red circle and a blue square"
    cut = extractor.text_features([long, "short", long + " and more"], 2)
    assert "2 of 3 captions exceed CLIP's limit of 16 tokens and are truncated" in caplog.text
    np.testing.assert_allclose(cut[0], cut[2], atol=2e-6)


def test_the_middle_of_a_wide_image_is_seen_by_clip_and_all_of_it_by_dinov2(checkpoints):
    square = pictures((64, 64))[0]
    wide = Image.new("RGB", (192, 64), "white")
    wide.paste(square, (64, 0))
    clip = ClipExtractor(checkpoints["clip"], 24)
    np.testing.assert_allclose(clip.features([wide], 1), clip.features([square], 1), atol=2e-6)
    dinov2 = Dinov2Extractor(checkpoints["dinov2"], 32)
    assert np.abs(dinov2.features([wide], 1) - dinov2.features([square], 1)).max() > 0.05


# --- what is refused ---


def test_no_folder_another_network_and_another_width_are_named(checkpoints, tmp_path):
    with pytest.raises(InputError, match=r"extractors: checkpoint: .*none: has no readable config\.json"):
        Dinov2Extractor(tmp_path / "none")
    with pytest.raises(InputError, match=r"config\.json: model_type is 'clip', expected 'dinov2'"):
        Dinov2Extractor(checkpoints["clip"])
    with pytest.raises(InputError, match=r"extractors: clip: dims: 768 does not match .*; set dims: 24"):
        ClipExtractor(checkpoints["clip"], 768)


def test_weights_that_are_missing_are_never_drawn_at_random(tmp_path):
    folder = tiny_dinov2(tmp_path / "dinov2")
    weights = load_file(folder / "model.safetensors")
    del weights["layernorm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lack 1 of the network's weights, such as layernorm\.weight"):
        Dinov2Extractor(folder, 32)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has neither model\.safetensors nor pytorch_model\.bin"):
        Dinov2Extractor(folder, 32)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"not weights"])
def test_damaged_weights_are_refused(tmp_path, damage):
    folder = tiny_clip(tmp_path / "clip")
    path = folder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="the checkpoint cannot be loaded"):
        ClipExtractor(folder, 24)


def test_weights_of_another_shape_are_refused(tmp_path):
    folder = tiny_dinov2(tmp_path / "dinov2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))
    with pytest.raises(InputError, match="the checkpoint cannot be loaded"):
        Dinov2Extractor(folder, 64)


def test_weights_in_torchs_own_format_load_without_running_code(tmp_path, checkpoints):
    """openai's CLIP at 336 pixels has no safetensors; a pickle that would run something is refused."""
    folder = tiny_clip(tmp_path / "clip")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    images = pictures((32, 32))
    ours = ClipExtractor(folder, 24).features(images, 1)
    expected = ClipExtractor(checkpoints["clip"], 24).features(images, 1)
    np.testing.assert_allclose(ours, expected, atol=2e-6)
    torch.save({"visual_projection.weight": Image.new("RGB", (2, 2))}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="the checkpoint cannot be loaded"):
        ClipExtractor(folder, 24)


def test_clip_without_a_tokenizer_says_what_is_missing(tmp_path):
    extractor = ClipExtractor(tiny_clip(tmp_path / "clip", tokenizer=False), 24)
    with pytest.raises(InputError, match=r"clip_score needs tokenizer\.json, or vocab\.json and merges\.txt"):
        extractor.text_features(CAPTIONS, 2)
