"""The program that a GPU is measured with, on a CPU: every finding is made, and what is wrong is listed."""

import sys

import emudrift.runtime.torchvision_fix  # noqa: F401

import pytest
import torch
from conftest import ROOT

from emudrift.generation.emu3 import attention, generator

sys.path.insert(0, str(ROOT / "bench"))
sys.path.insert(0, str(ROOT / "bench" / "gpu"))
import gpu_check

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """What the rehearsal stands in for or sets is put back."""
    monkeypatch.setattr(attention, "varlen", attention.varlen)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)


def test_the_rehearsal_makes_every_finding():
    report = gpu_check.run(CPU, small=True, budget=1e4)
    assert report["rehearsal"]
    assert (report["failed"], report["skipped"]) == ([], [])
    assert {name for name, _, _ in gpu_check.FINDINGS} < report.keys()
    assert report["model"]["flash_fault"] is None
    assert set(report["steps"]) == {"sdpa 2", "flash 2", "sdpa 3", "flash 3"}
    assert report["memory"]["effective_batch_size"] == 2
    assert report["resume"] == {
        "files": 30,
        "images_kept": 4,
        "batches_resumed": 1,
        "byte_identical": True,
        "wrong": [],
    }
    assert (report["whole"]["batches"], report["whole"]["files"]) == (2, 18)


def test_what_is_wrong_or_breaks_fails_and_the_others_go_on(monkeypatch):
    """Sampling that depends on the order of the batch, and a decoder that fails."""
    codes = generator.Emu3Generator.codes
    monkeypatch.setattr(generator.Emu3Generator, "codes", lambda self, prompts: codes(self, prompts) + prompts[0].row)

    def broken(*given):
        raise RuntimeError("CUDNN_STATUS_NOT_SUPPORTED")

    monkeypatch.setattr("emudrift.generation.emu3.vq.decode_codes", broken)
    report = gpu_check.run(CPU, small=True, budget=1e4, only=["pixels", "tokens"])
    assert report["failed"] == ["pixels", "tokens"]
    assert report["pixels"]["error"] == "RuntimeError: CUDNN_STATUS_NOT_SUPPORTED"
    assert "sdpa, top_k 1: not same_in_another_order" in report["tokens"]["wrong"]
    assert gpu_check.run(CPU, small=True, budget=0)["skipped"] == [name for name, _, _ in gpu_check.FINDINGS]
