"""The parts of a decoder layer against torch's and transformers' own."""

import emudrift.runtime.torchvision_fix  # noqa: F401

import pytest
import torch
from torch.cuda.jiterator import _create_jit_fn
from torch.nn import Linear
from transformers import Emu3TextConfig
from transformers.models.emu3.modeling_emu3 import Emu3TextModel, apply_rotary_pos_emb

from emudrift.errors import InputError
from emudrift.generation.emu3.elementwise import PLAIN, ROTATE, SWIGLU, Elementwise, fault_of
from emudrift.generation.emu3.language_model import LanguageModel
from emudrift.generation.emu3.projections import Projection

CPU = torch.device("cpu")
SMALL = {"vocab_size": 64, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 1, "pad_token_id": 0}
SMALL |= {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 40}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_joined_projections_equal_the_layers_and_add_to_the_residual(bias, dtype):
    torch.manual_seed(0)
    layers = [Linear(32, out, bias=bias, dtype=dtype) for out in (24, 8, 8)]
    inputs, residual = torch.randn(5, 2, 32, dtype=dtype), torch.randn(5, 2, 40, dtype=dtype)
    tolerance = {"rtol": 0, "atol": 1e-5 if dtype == torch.float32 else 0.04}
    with torch.inference_mode():
        expected = torch.cat([layer(inputs) for layer in layers], -1)
        joined = Projection(*layers)
        torch.testing.assert_close(joined(inputs), expected, **tolerance)
        torch.testing.assert_close(torch.cat([layer(inputs) for layer in layers], -1), expected, rtol=0, atol=0)
        torch.testing.assert_close(joined.added_to(residual.clone(), inputs), residual + expected, **tolerance)


def test_heads_are_rotated_as_by_transformers_and_values_are_not():
    torch.manual_seed(0)
    text = Emu3TextModel(Emu3TextConfig(**SMALL)).eval()
    language = LanguageModel(text)
    positions = torch.tensor([[0, 1], [7, 8], [38, 39]])
    heads = torch.randn(3, 2, 10, 8)  # Six of queries, two of keys, two of values.
    low, high = heads.view(3, 2, 5, 2, 2, 4).split(1, dim=4)
    rotated = PLAIN.rotate(low, high, *language.rotation[positions].unbind(2)).view(3, 2, 10, 8)
    cos, sin = text.rotary_emb(heads, positions)
    query, key = apply_rotary_pos_emb(heads[:, :, :6], heads[:, :, 6:8], cos, sin, unsqueeze_dim=2)
    torch.testing.assert_close(rotated[:, :, :8], torch.cat([query, key], 2))
    assert torch.equal(rotated[:, :, 8:], heads[:, :, 8:])


def test_another_activation_is_refused():
    with pytest.raises(InputError, match="hidden_act is 'gelu', but Emu3's is 'silu'"):
        LanguageModel(Emu3TextModel(Emu3TextConfig(**SMALL, hidden_act="gelu")))


def test_compiled_kernels_are_used_where_they_agree_with_torchs_own():
    """They run on a GPU only; here functions that are right, wrong or not supported take their place."""

    def exact(*given):
        return PLAIN.rotate(*(each.float() for each in given)).to(given[0].dtype)

    def exchanged(low, high, of_low, of_high):
        return PLAIN.rotate(high, low, of_low, of_high)

    def not_gated(gate_up):
        return gate_up[..., :128] * gate_up[..., 128:]

    def unknown(*given):
        raise RuntimeError("nvrtc: error: failed to open libnvrtc-builtins.so")

    def fault(rotate=exact, swiglu=PLAIN.swiglu, dtype=torch.float32):
        return fault_of(Elementwise(rotate, swiglu, fused=True), CPU, dtype)

    assert fault() is None
    assert fault(dtype=torch.bfloat16) is None
    assert "they differ from torch's operations by" in fault(exchanged)
    assert "they differ from torch's operations by" in fault(swiglu=not_gated)
    assert "they differ" in fault(lambda *given: exact(*given).fill_(torch.nan))
    assert fault(unknown) == "they do not run here: nvrtc: error: failed to open libnvrtc-builtins.so"
    # torch takes the sources; they are compiled on a GPU only.
    assert [_create_jit_fn(code).kernel_name for code in (ROTATE, SWIGLU)] == ["emudrift_rotate", "emudrift_swiglu"]
