"""Files of pipelines: of the many forms in which a repository holds the same weights, one is taken."""

import pytest

from emudrift.data.pipeline_files import wanted_files

# As in published repositories: one for other programs beside the index, half precision, other formats, shards, code.
REPOSITORY = [
    "README.md", "model_index.json", "sd_xl_base.safetensors", "pipeline_own.py", "scheduler/scheduler_config.json",
    "tokenizer/vocab.json", "tokenizer/merges.txt", ".cache/huggingface/x.json",
    "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors", "unet/diffusion_pytorch_model.bin", "unet/model.onnx",
    "encoder/model-00001-of-00002.safetensors", "encoder/model-00002-of-00002.safetensors",
    "vae/diffusion_pytorch_model.fp16-00001-of-00001.safetensors", "vae/diffusion_pytorch_model.safetensors",
]  # fmt: skip
ENCODER = {"encoder/model-00001-of-00002.safetensors", "encoder/model-00002-of-00002.safetensors"}


@pytest.mark.parametrize(
    ("variants", "weights"),
    [
        ([None], {"unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"}),
        (
            ["fp16"],
            {
                "unet/diffusion_pytorch_model.fp16.safetensors",
                "vae/diffusion_pytorch_model.fp16-00001-of-00001.safetensors",
            },
        ),
    ],
)
def test_of_a_repository_only_what_the_pipeline_reads_is_taken(variants, weights):
    found = wanted_files(REPOSITORY, variants, False)
    assert {name for name in found if name.endswith(".safetensors")} == weights | ENCODER
    assert {name for name in found if not name.endswith(".safetensors")} == {
        "model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt",
        "unet/config.json",
    }  # fmt: skip
    assert set(wanted_files(REPOSITORY, variants, True)) - set(found) == {"pipeline_own.py"}
