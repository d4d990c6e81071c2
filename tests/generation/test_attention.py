"""Attention by two kernels: flash is used where it agrees with sdpa, and an arm keeps the choice of its first shard."""

import json
from types import SimpleNamespace

import emudrift.runtime.torchvision_fix  # noqa: F401

import numpy as np
import pytest
import torch
from conftest import experiment
from test_emu3 import PROMPTS, new_generator

from emudrift.config.arm import Arm, fingerprint
from emudrift.errors import InputError
from emudrift.generation.batching import fixed_batching
from emudrift.generation.emu3 import attention
from emudrift.generation.interface import Batching
from emudrift.report.sections.provenance import _as_generated

CPU = torch.device("cpu")


def documented_varlen(query, keys, values, starts, key_starts, n, capacity, used):
    """What torch's kernel is documented to compute, row by row; as there, in float32 and rounded at the end."""
    seen = []
    for row, count in enumerate(used.tolist()):
        q = query[starts[row] : starts[row + 1]].float()
        k, v = (each[key_starts[row] : key_starts[row] + count].float() for each in (keys, values))
        k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], 1) for each in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) * q.shape[-1] ** -0.5
        late = torch.arange(count)[None] > torch.arange(count - len(q), count)[:, None]
        seen.append(torch.einsum("hqk,khd->qhd", scores.masked_fill(late, -torch.inf).softmax(-1), v))
        assert len(q) == n
        assert count <= capacity
    return torch.cat(seen).to(query.dtype)


def one_too_few(query, keys, values, starts, key_starts, n, capacity, used):
    return documented_varlen(query, keys, values, starts, key_starts, n, capacity, (used - 1).clamp(min=n))


def one_too_many(query, keys, values, starts, key_starts, n, capacity, used):
    return documented_varlen(query, keys, values, starts, key_starts, n, capacity, (used + 1).clamp(max=capacity))


def slightly_off(*given):
    return documented_varlen(*given) * 1.05


def wrong_for_two(query, keys, values, starts, key_starts, n, capacity, used):
    found = documented_varlen(query, keys, values, starts, key_starts, n, capacity, used)
    return found if n == 1 else found.flip(0)


def not_a_number(*given):
    return documented_varlen(*given).index_fill(0, torch.tensor([1]), torch.nan)


def not_supported(*given):
    raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")


def fault(dtype: torch.dtype = torch.bfloat16) -> str | None:
    """Of the published model's heads."""
    return attention.flash_fault(32, 8, 128, dtype, CPU)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_flash_is_used_where_it_agrees_with_sdpa(monkeypatch, dtype):
    monkeypatch.setattr(attention, "varlen", documented_varlen)
    assert fault(dtype) is None


WRONG = [one_too_few, one_too_many, slightly_off, wrong_for_two, not_a_number]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kernel", WRONG)
def test_flash_that_differs_is_not_used(monkeypatch, kernel, dtype):
    monkeypatch.setattr(attention, "varlen", kernel)
    assert "it differs from sdpa: by" in fault(dtype)


def test_flash_that_does_not_run_is_not_used_and_missing_memory_is_no_reason(monkeypatch):
    monkeypatch.setattr(attention, "varlen", not_supported)
    assert fault() == "it does not run here: FlashAttention only supports Ampere GPUs or newer."

    def hungry(*given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(attention, "varlen", hungry)
    with pytest.raises(torch.OutOfMemoryError):
        fault()


@pytest.mark.parametrize("n", [1, 2])
def test_torchs_kernel_takes_these_arguments(n):
    """Its shapes alone, on tensors without memory: the kernel itself runs on a GPU only."""
    with torch.device("meta"):
        query = torch.zeros(3 * n, 32, 128, dtype=torch.bfloat16)
        keys, values = torch.zeros(2, 3 * 256, 8, 128, dtype=torch.bfloat16)
        starts = torch.zeros(4, dtype=torch.int32)
        used = torch.zeros(3, dtype=torch.int32)
        assert attention.varlen(query, keys, values, starts, starts, n, 256, used).shape == query.shape
    assert attention.ONE_SPLIT == {"num_splits": 1}


# --- the choice ---


def test_auto_takes_flash_where_it_agrees_and_says_so(monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(attention, "varlen", documented_varlen)
    generator = new_generator(engine="grid", dtype="bfloat16", attention="auto")
    generator.batching = generator.plan([prompt.caption for prompt in PROMPTS], 10, 2)
    assert generator.batching.attention == "flash"
    assert "flash attention: agrees with sdpa, and is used" in caplog.text
    calls = []
    monkeypatch.setattr(attention, "varlen", lambda *given: calls.append(1) or documented_varlen(*given))
    generator.codes(PROMPTS[:2])
    assert calls, "sdpa was used"


def test_auto_takes_sdpa_where_flash_differs_and_says_why(monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(attention, "varlen", slightly_off)
    generator = new_generator(engine="grid", dtype="bfloat16", attention="auto")
    generator.batching = generator.plan([prompt.caption for prompt in PROMPTS], 10, 2)
    assert generator.batching.attention == "sdpa"
    assert "flash attention: not used, it differs from sdpa: by" in caplog.text
    monkeypatch.setattr(attention, "varlen", not_supported)
    plain = new_generator(engine="grid", dtype="bfloat16")
    plain.batching = generator.batching
    np.testing.assert_array_equal(generator.codes(PROMPTS[:2]), plain.codes(PROMPTS[:2]))


def test_the_first_shards_choice_holds_for_the_arm(monkeypatch, tmp_path, caplog):
    """Also on a node where the self-check comes out differently; where flash was chosen and cannot be used, nothing is made."""
    caplog.set_level("INFO")
    path = tmp_path / "arm" / "batch.json"
    assert fixed_batching(path, Batching(2, 30, "sdpa")) == Batching(2, 30, "sdpa")
    assert fixed_batching(path, Batching(2, 30, "flash")) == Batching(2, 30, "sdpa")
    assert f"attention sdpa, as fixed for this arm in {path}, not flash" in caplog.text
    monkeypatch.setattr(attention, "varlen", documented_varlen)
    generator = new_generator(engine="grid", dtype="bfloat16", attention="auto")
    generator.batching = chosen = Batching(2, 30, "sdpa")
    assert generator.engine.language.attention == chosen.attention
    monkeypatch.setattr(attention, "varlen", not_supported)
    other = new_generator(engine="grid", dtype="bfloat16", attention="auto")
    with pytest.raises(
        InputError, match="flash, which this arm's images are generated with, cannot be used on cpu: it does not"
    ):
        other.batching = Batching(2, 30, "flash")
    with pytest.raises(InputError, match="cannot be used on cpu: .* only supports Ampere"):
        new_generator(engine="grid", dtype="bfloat16", attention="flash")


def test_a_batching_that_version_0_2_fixed_is_read_and_models_without_a_choice_write_the_same(tmp_path):
    path = tmp_path / "arm" / "batch.json"
    assert fixed_batching(path, Batching(2, 30)) == Batching(2, 30)
    assert json.loads(path.read_text()) == {"batch_size": 2, "prompt_length": 30}
    assert fixed_batching(path, Batching(2, 30, "sdpa")) == Batching(2, 30), (
        "images of 0.2 have what their settings state"
    )


def settings_of(tmp_path, device: str = "cuda", **generation) -> dict:
    generation = {"width": 64, "height": 64, "dtype": "bfloat16", "suffix": "", "negative_prompt": ""} | generation
    return experiment(tmp_path, device=device, generation=generation, guidance_scales=[3]).arms()[0].settings


def test_auto_is_a_setting_only_where_there_is_a_choice(tmp_path):
    """So that arms on a CPU, in float32 and of the reference engine keep the fingerprints that they had with sdpa."""
    explicit = {name: settings_of(tmp_path, attention=name) for name in ("sdpa", "flash", "auto")}
    assert settings_of(tmp_path) == explicit["auto"]
    assert len({fingerprint(each) for each in explicit.values()}) == 3
    for where in ({"dtype": "float32"}, {"engine": "reference"}, {"device": "cpu"}):
        assert settings_of(tmp_path, **where) == settings_of(tmp_path, **where, attention="sdpa")
    assert fingerprint(explicit["sdpa"]) == fingerprint(explicit["auto"] | {"attention": "sdpa"})


def test_the_report_says_what_auto_chose(tmp_path):
    arm = Arm("base", 3.0, settings_of(tmp_path))
    manifests = [SimpleNamespace(attention_used="flash")] * 2
    assert _as_generated(arm, manifests).settings == arm.settings | {"attention": "auto: flash"}
    explicit = Arm("base", 3.0, settings_of(tmp_path, attention="sdpa"))
    assert _as_generated(explicit, manifests) == explicit


def test_tf32_of_the_decoder_is_part_of_the_fingerprint_and_its_default_is_not(tmp_path):
    assert "decoder_tf32" not in settings_of(tmp_path)
    assert settings_of(tmp_path, decoder_tf32=False) == settings_of(tmp_path)
    assert settings_of(tmp_path, decoder_tf32=True) == settings_of(tmp_path) | {"decoder_tf32": True}
    with pytest.raises(InputError, match="decoder_tf32: true needs device: cuda"):
        settings_of(tmp_path, device="cpu", decoder_tf32=True)
