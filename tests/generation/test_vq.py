"""The VQ: one frame decoded as transformers decodes it, one VQ for all arms, and a moved one that is seen."""

import emudrift.runtime.torchvision_fix  # noqa: F401

import numpy as np
import torch
from conftest import ROOT, small_config
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from test_emu3 import BASE, PROMPTS, SETTINGS, new_generator
from test_emu3_check import edit_weights
from transformers import Emu3VQVAE, Emu3VQVAEConfig

from emudrift.config.experiment import Experiment
from emudrift.config.reader import parse_config
from emudrift.generation.emu3 import vq
from emudrift.generation.emu3.check import check_emu3
from emudrift.generation.emu3.checkpoint import load_emu3
from emudrift.generation.emu3.generator import Emu3Generator, Emu3Weights
from emudrift.generation.tokenizer import TokenizerGenerator


def test_decoding_the_first_frame_alone_equals_transformers_decode():
    """A VQ as the published one: it makes four frames in time and an image is the first."""
    torch.manual_seed(0)
    config = Emu3VQVAEConfig(
        codebook_size=32,
        base_channels=32,
        channel_multiplier=[1, 1, 1, 2],
        hidden_size=64,
        attn_resolutions=[],
        temporal_downsample_factor=4,
        num_res_blocks=2,
    )
    model = Emu3VQVAE(config).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.3)
    codes = torch.randint(0, 32, (3, 4, 6))
    with torch.inference_mode():
        expected, got = model.decode(codes), vq.first_frame(model, codes)
    assert got.shape == (3, 3, 32, 48)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.std()))
    assert float(expected.std()) > 1e-3


def test_a_moved_vq_is_seen_and_the_bases_can_take_its_place(copies):
    """Training can move the statistics of the VQ's normalisation; the same values in another dtype are no difference."""
    base, _ = copies
    own = check_emu3(BASE)["vq"]
    edit_weights(base / "model.safetensors", lambda w: w.update({n: t.float() for n, t in w.items() if "vqmodel" in n}))
    assert check_emu3(base)["vq"] == own
    edit_weights(base / "model.safetensors", move_vq)
    moved = check_emu3(base)
    replaced = check_emu3(base, vq=BASE)
    assert (moved["vq"] == own, replaced["vq"] == own) == (False, True)
    assert moved["digest"] != replaced["digest"]
    tokens = new_generator().codes(PROMPTS[:2])
    images = [
        Emu3Generator(SETTINGS, Emu3Weights(SETTINGS, folder, vq_checkpoint=other)).decode(tokens)
        for folder, other in ((BASE, None), (base, None), (base, BASE))
    ]
    assert not np.array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])


def move_vq(weights):
    name = next(name for name in weights if "vqmodel.decoder" in name and name.endswith("conv_out.bias"))
    weights[name] = weights[name] + 0.3


def test_an_adapter_that_reaches_into_the_vq_does_not_change_the_pixels(tmp_path):
    """Naming q_proj alone as a target also meets the attention of the VQ."""
    base = load_emu3(BASE, None, torch.float32, "sdpa", torch.device("cpu"))
    adapted = get_peft_model(base, LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False))
    adapted.save_pretrained(tmp_path)
    assert any("vqmodel" in name for name in load_file(tmp_path / "adapter_model.safetensors"))
    check_emu3(BASE, tmp_path)
    tokens = new_generator().codes(PROMPTS[:1])
    np.testing.assert_array_equal(new_generator(tmp_path).decode(tokens), new_generator().decode(tokens))


def test_arms_of_one_model_share_one_load_and_another_model_takes_its_place():
    from emudrift.generation.registry import load_generator

    experiment = Experiment(parse_config(small_config(), "test"), ROOT / "test.yaml")
    first, second, other = (load_generator(experiment, experiment.arms()[i]) for i in (0, 1, 2))
    assert first.recipe.guidance_scale != second.recipe.guidance_scale
    assert first.weights is second.weights
    assert other.weights is not first.weights
    assert second.weights.language is first.weights.language


def test_images_are_decoded_one_at_a_time_without_tf32(monkeypatch):
    """Neither how many images are decoded together nor a GPU's shortened mantissa may move a pixel, unless it is asked for."""
    seen = []

    def first_frame(model, codes):
        cudnn = torch.backends.cudnn
        seen.append((len(codes), cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark))
        return torch.zeros(len(codes), 3, 64, 64)

    monkeypatch.setattr(vq, "first_frame", first_frame)
    new_generator().decode(np.zeros((3, 8, 8), np.uint16))
    assert seen == [(1, False, True, False)] * 3
    new_generator(decoder_tf32=True).decode(np.zeros((1, 8, 8), np.uint16))
    TokenizerGenerator(SETTINGS | {"decoder_tf32": True}, BASE, BASE).decode(np.zeros((1, 8, 8), np.uint16))
    TokenizerGenerator(SETTINGS, BASE, BASE).decode(np.zeros((1, 8, 8), np.uint16))
    assert seen[3:] == [(1, True, True, False)] * 2 + [(1, False, True, False)]
