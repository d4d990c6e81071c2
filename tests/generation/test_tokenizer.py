"""The tokenizer's floor: real images through the VQ and back, cropped as they must be, resumable, measured."""

import emudrift.runtime.torchvision_fix  # noqa: F401

import numpy as np
import pytest
import torch
from conftest import MINIATURE, ROOT, small_config
from PIL import Image
from transformers import Emu3ImageProcessor

from emudrift.config.experiment import Experiment
from emudrift.config.reader import parse_config
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.evaluation.tokenizer_quality import tokenizer_quality
from emudrift.generation.archives import read_archive, write_archive
from emudrift.generation.draw_shard import draw_shard
from emudrift.generation.emu3 import vq
from emudrift.generation.emu3.checkpoint import load_vq
from emudrift.generation.registry import check_model, is_unchanged, load_generator
from emudrift.generation.shards import Identity, PartialShard
from emudrift.generation.tokenizer import originals

IMAGES = ROOT / "demo" / "data" / "images"
FLOOR = {"name": "floor", "generator": "tokenizer", "of": "finetuned"}


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    names = sorted(path.name for path in IMAGES.iterdir())[:10]
    return [Prompt(row, f"{row:012d}", row, name, 64, 64, "a caption", row) for row, name in enumerate(names)]


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    config = small_config(models=[*small_config()["models"], FLOOR])
    return Experiment(parse_config(config, "test"), ROOT / "test.yaml")


def test_it_is_an_arm_that_is_compared_with_nothing(experiment):
    (arm,) = [arm for arm in experiment.arms() if arm.model == "floor"]
    assert arm.guidance_scale is None
    assert experiment.floors == ["floor"]
    assert "top_k" not in arm.settings
    # The VQ is the base's: the adapter of `finetuned` has none.
    assert arm.settings["checkpoint"] == "demo/models/base"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": [*small_config()["models"], FLOOR | {"of": "bose"}]}, "models: floor: of: 'bose' is no emu3 model"),
        (
            {"models": [FLOOR, *small_config()["models"]]},
            "baseline: 'floor' (default: the first model) generates nothing",
        ),
        (
            {"models": [*small_config()["models"], FLOOR], "prompts": {"captions": "demo/data/captions.json"}},
            "models: floor: needs prompts: images",
        ),
    ],
)
def test_a_floor_that_cannot_be_is_refused(changes, said):
    with pytest.raises(InputError) as error:
        parse_config(small_config(**changes), "c.yaml")
    assert said in str(error.value)


def test_its_images_are_those_of_transformers_own_way_there_and_back(experiment, prompts):
    """Emu3's image processor, encode and decode, one image at a time."""
    arm = next(arm for arm in experiment.arms() if arm.model == "floor")
    generator = load_generator(experiment, arm)
    codes = generator.codes(prompts)
    images = generator.decode(codes)
    assert images.shape == (10, 64, 64, 3)
    model = load_vq(MINIATURE / "base").eval()
    processor = Emu3ImageProcessor.from_pretrained(MINIATURE / "base")
    for prompt, code, image in zip(prompts, codes, images, strict=True):
        real = Image.open(IMAGES / prompt.file_name).convert("RGB")
        inputs = processor(real, return_tensors="pt", do_resize=False)
        with torch.inference_mode():
            tokens = model.encode(inputs["pixel_values"][:, 0] if inputs["pixel_values"].ndim == 5 else inputs["pixel_values"],
                                  inputs["image_sizes"]).image_tokens[0]  # fmt: skip
            pixels = model.decode(tokens[None])[0]
        np.testing.assert_array_equal(code, tokens.numpy())
        expected = ((pixels.clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()
        assert np.abs(image - expected).max() <= 0.51


def test_the_largest_centred_part_of_the_right_shape_is_taken(tmp_path):
    """A wide picture of three stripes; a square of it is the middle one."""
    stripes = np.zeros((30, 90, 3), np.uint8)
    stripes[:, :30, 0] = stripes[:, 30:60, 1] = stripes[:, 60:, 2] = 255
    Image.fromarray(stripes).save(tmp_path / "a.png")
    prompt = Prompt(0, "0", 0, "a.png", 90, 30, "", 0)
    (square,) = originals(tmp_path, [prompt], (16, 16))
    assert np.asarray(square)[:, 1:-1].reshape(-1, 3).min(0)[1] == 255
    (wide,) = originals(tmp_path, [prompt], (48, 16))
    assert [tuple(np.asarray(wide)[8, x]) for x in (2, 24, 45)] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    with pytest.raises(InputError, match=r"b\.png"):
        originals(tmp_path, [Prompt(1, "1", 1, "b.png", 1, 1, "", 0)], (16, 16))


def test_a_batch_more_or_less_changes_no_byte(experiment, prompts):
    model = load_vq(MINIATURE / "base").eval()
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in originals(IMAGES, prompts, (64, 64))]))
    together = vq.encode_pixels(model, pixels)
    for order in ([3], [9, 0, 4, 2, 7]):
        assert torch.equal(vq.encode_pixels(model, pixels[order]), together[order])


def test_psnr_and_ssim_of_a_shard(experiment, prompts, tmp_path):
    arm = next(arm for arm in experiment.arms() if arm.model == "floor")
    found = check_model(experiment, "floor", prompts)
    assert is_unchanged(experiment, found, prompts)
    partial = PartialShard(tmp_path / "partial", Identity(arm.fingerprint, found["digest"]), None)
    draw_shard(prompts, partial, lambda: load_generator(experiment, arm))
    write_archive(tmp_path / "a.tar", prompts, partial)
    table = tokenizer_quality([tmp_path / "a.tar"], prompts, IMAGES, (64, 64))
    assert list(table["prompt_id"]) == [prompt.prompt_id for prompt in prompts]
    # PSNR by its formula; SSIM of equal images is 1, and that of the reconstructions lies below.
    for (_, image), prompt, psnr in zip(read_archive(tmp_path / "a.tar"), prompts, table["psnr"], strict=True):
        real = np.asarray(Image.open(IMAGES / prompt.file_name).convert("RGB"), float)
        error = np.mean((np.asarray(image, float) - real) ** 2)
        assert psnr == pytest.approx(10 * np.log10(255**2 / error), rel=1e-4)
    assert table["ssim"].between(0.3, 0.9999).all()
    with pytest.raises(InputError, match="do not match the prompt table"):
        tokenizer_quality([tmp_path / "a.tar"], prompts[::-1], IMAGES, (64, 64))
