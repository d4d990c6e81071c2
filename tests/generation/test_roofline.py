"""What a decoding step launches and reads, counted for the published model's width and two or three of its layers."""

import sys

import emudrift.runtime.torchvision_fix  # noqa: F401

import pytest
import torch
from conftest import ROOT

from emudrift.generation.emu3 import attention
from emudrift.generation.emu3.projections import Projection

sys.path.insert(0, str(ROOT / "bench"))
import roofline
from kernel_counter import KernelCounter


@pytest.fixture(scope="module")
def counted() -> roofline.Counted:
    return roofline.Counted()


def test_a_step_reads_weights_and_filled_cache_and_a_layer_takes_ten_kernels(counted):
    for place in counted.lengths().values():
        step = counted.step("flash", 96, place)
        assert 1 <= step.ratio <= 1.10
        assert step.launches_per_layer == 10
    assert step.launches <= 32 * 10 + 40
    # 32 layers of 218 M parameters, the head, and 128 KiB for each of 192 rows' 4,223 tokens.
    assert step.bytes_required == pytest.approx(32 * 436.2e6 + 2 * 32768 * 4096 + 192 * 4223 * 2**17, rel=1e-3)
    assert counted.step("sdpa", 96, place).launches_per_layer == 10
    assert counted.step("flash", 96, place, compiled=False).launches_per_layer == 12


def test_reading_the_whole_cache_is_seen(counted, monkeypatch):
    kernel = attention.varlen
    monkeypatch.setattr(attention, "varlen", lambda *given: kernel(*given[:-1], torch.full_like(given[-1], given[-2])))
    assert counted.step("flash", 48, counted.lengths()["start"]).ratio > 3


def test_an_addition_that_is_a_kernel_is_seen(counted, monkeypatch):
    monkeypatch.setattr(Projection, "added_to", lambda self, residual, inputs: residual + self(inputs))
    assert counted.step("flash", 48, 65).launches_per_layer == 12


def test_views_are_free_copies_are_kernels_and_values_must_not_be_asked_for():
    with torch.inference_mode(), KernelCounter() as counter:
        matrix = torch.zeros(4, 6, device="meta")
        counter.kernels.clear()
        matrix.view(2, 12).t()[3:].unbind(1)
        assert counter.kernels == []
        matrix.t().reshape(24)
        matrix.expand(3, 4, 6) + 1
        assert [kernel.bytes_read for kernel in counter.kernels] == [96, 96]
        torch.arange(3, device="meta").sum()
        assert counter.kernels[-1].bytes_read == 3 * 8
        with pytest.raises(AssertionError, match="cannot become a CUDA graph"):
            matrix.sum().item()
