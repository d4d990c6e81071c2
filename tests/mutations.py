"""Changes that would go unnoticed on a GPU until images are wrong or memory runs out, each with the test that notices it.

`python tests/mutations.py` makes each of them in a copy of the package and runs its test, which must fail there and pass without:
two minutes of CPU time. With part of a change's name as an argument: those alone. docs/engine.md has the table.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "src/emudrift/generation/"


@dataclass(frozen=True)
class Mutation:
    """One change.

    Attributes:
        what: it is, as in the table.
        file: in `PACKAGE`.
        old: text that occurs in it once.
        test: that fails, as file::name in tests/generation.
    """

    what: str
    file: str
    old: str
    new: str
    test: str

    @property
    def name(self) -> str:
        return self.test.split("::")[1]


MUTATIONS = [
    Mutation(
        "bytes per pixel of the decoder divided by 10",
        "emu3/memory.py",
        "DECODER_BYTES_PER_PIXEL = 10_400",
        "DECODER_BYTES_PER_PIXEL = 1_040",
        "test_memory.py::test_decoding_an_image_takes_what_is_planned",
    ),
    Mutation(
        "free memory times 9",
        "emu3/generator.py",
        "fits = plan.images(free)",
        "fits = plan.images(9 * free)",
        "test_grid_engine.py::test_auto_takes_what_the_device_has_free_and_no_more",
    ),
    Mutation(
        "no bytes for scoring",
        "emu3/memory.py",
        "per_image=cache + step + 2 * scoring_bytes(shape, grid)",
        "per_image=cache + step",
        "test_memory.py::test_a_step_and_sampling_take_what_is_planned",
    ),
    Mutation(
        "no bytes for the activations of prompts",
        "emu3/memory.py",
        "prefill=PREFILL_ROWS * grid.prompt_length * shape.activations_per_token",
        "prefill=0",
        "test_memory.py::test_a_prefill_takes_what_is_planned",
    ),
    Mutation(
        "no shared pool for CUDA graphs",
        "emu3/cuda_graphs.py",
        "torch.cuda.graph(graph, pool=self.pool, ",
        "torch.cuda.graph(graph, pool=None, ",
        "test_cuda_graphs.py::test_graphs_share_one_pool_and_the_processes_one_stream_waits_both_ways",
    ),
    Mutation(
        "a wait between streams removed",
        "emu3/cuda_graphs.py",
        "        torch.cuda.current_stream(self.device).wait_stream(self.side)\n",
        "",
        "test_cuda_graphs.py::test_graphs_share_one_pool_and_the_processes_one_stream_waits_both_ways",
    ),
    Mutation(
        "the decoder's stream does not wait for the weights",
        "emu3/generator.py",
        "            decoding_stream(weights.device).wait_stream(torch.cuda.current_stream(weights.device))\n",
        "            pass\n",
        "test_cuda_graphs.py::test_a_shard_by_graphs_with_pixels_made_meanwhile_has_the_same_bytes",
    ),
    Mutation(
        "pixels read before their copy is finished",
        "emu3/vq.py",
        "        copied.synchronize()\n",
        "",
        "test_cuda_graphs.py::test_pixels_are_read_when_their_copy_is_finished",
    ),
    Mutation(
        "images decoded while a graph is captured",
        "emu3/vq.py",
        "            with capturing:\n",
        "            if True:\n",
        "test_cuda_graphs.py::test_no_image_is_decoded_while_a_graph_is_captured",
    ),
    Mutation(
        "captures that another thread's waiting ends",
        "emu3/cuda_graphs.py",
        'capture_error_mode="thread_local"',
        'capture_error_mode="global"',
        "test_cuda_graphs.py::test_a_shard_by_graphs_with_pixels_made_meanwhile_has_the_same_bytes",
    ),
    Mutation(
        "counters not restored after the warm-up",
        "emu3/cuda_graphs.py",
        "                counter.copy_(value)\n",
        "                pass\n",
        "test_cuda_graphs.py::test_a_shard_by_graphs_with_pixels_made_meanwhile_has_the_same_bytes",
    ),
    Mutation(
        "a step that waits for the device",
        "emu3/grid_engine.py",
        "        self.position += 1\n",
        "        self.position += int(self.position) * 0 + 1\n",
        "test_cuda_graphs.py::test_the_published_shape_is_captured_without_waiting_for_the_device",
    ),
    Mutation(
        "TF32 allowed in the decoder",
        "emu3/vq.py",
        "allow_tf32=tf32",
        "allow_tf32=True",
        "test_vq.py::test_images_are_decoded_one_at_a_time_without_tf32",
    ),
    Mutation(
        "attention told that the whole cache is filled",
        "emu3/attention.py",
        "used = (positions[:, -1] + 1).to(torch.int32)",
        "used = torch.full_like(positions[:, -1], kv_length, dtype=torch.int32)",
        "test_roofline.py::test_a_step_reads_weights_and_filled_cache_and_a_layer_takes_ten_kernels",
    ),
    Mutation(
        "a residual added by a kernel of its own",
        "emu3/language_model.py",
        "return layer.down.added_to(hidden, self.elementwise.swiglu(gate_up))",
        "return hidden + layer.down(self.elementwise.swiglu(gate_up))",
        "test_roofline.py::test_a_step_reads_weights_and_filled_cache_and_a_layer_takes_ten_kernels",
    ),
    Mutation(
        "the check for finite values removed",
        "emu3/generator.py",
        "            self._check_finite(rows[:real], found)\n",
        "",
        "test_grid_engine.py::test_a_model_that_computes_nan_ends_the_shard",
    ),
    Mutation(
        "the self-check of flash attention removed",
        "emu3/attention.py",
        "        if not error <= allowed:  # Also if it is NaN.\n",
        "        if False:\n",
        "test_attention.py::test_flash_that_differs_is_not_used",
    ),
    Mutation(
        "the self-check of compiled kernels removed",
        "emu3/elementwise.py",
        "    if not largest <= 2 * torch.finfo(dtype).eps:  # Also if it is NaN.\n",
        "    if False:\n",
        "test_language_model.py::test_compiled_kernels_are_used_where_they_agree_with_torchs_own",
    ),
    Mutation(
        "positions rotated the other way round",
        "emu3/language_model.py",
        "torch.stack([cos, sin, -sin, cos], 1)",
        "torch.stack([cos, -sin, sin, cos], 1)",
        "test_grid_engine.py::test_tokens_equal_the_reference_for_prompts_of_different_lengths",
    ),
    Mutation(
        "the arm's attention not followed",
        "emu3/generator.py",
        "self.weights.language.using(self._usable(batching.attention))",
        "self.weights.language.using(self._attention())",
        "test_attention.py::test_the_first_shards_choice_holds_for_the_arm",
    ),
    Mutation(
        "the self-check of tokens at load removed",
        "emu3/generator.py",
        "        check_vocabulary(weights.checkpoint, self.recipe.processor.tokenizer, weights.model)\n",
        "",
        "test_emu3_check.py::test_a_checkpoint_that_was_not_checked_is_refused_when_it_is_loaded",
    ),
    Mutation(
        "only torch's own error counts as out of memory",
        "emu3/memory.py",
        "if isinstance(seen, RuntimeError) and any(text in str(seen) for text in OUT_OF_MEMORY):",
        "if False:",
        "test_cuda_graphs.py::test_memory_that_runs_out_in_a_step_halves_the_batch",
    ),
    Mutation(
        "errors while a graph is captured do not count",
        "emu3/memory.py",
        "seen = seen.__cause__ or seen.__context__",
        "seen = None",
        "test_cuda_graphs.py::test_memory_that_runs_out_in_a_step_halves_the_batch",
    ),
    Mutation(
        "weights hashed without looking at their values",
        "weight_files.py",
        'if not _is_finite(chunk, tensor["dtype"]):',
        "if False:",
        "test_emu3_check.py::test_every_value_of_every_dtype_is_looked_at",
    ),
    Mutation(
        "quantised checkpoints accepted",
        "emu3/check.py",
        "    _refuse_quantised(checkpoint, config, found)\n",
        "",
        "test_emu3_check.py::test_a_checkpoint_that_would_draw_wrong_pictures_is_refused",
    ),
    Mutation(
        "two sets of weights in a folder accepted",
        "emu3/checkpoint_files.py",
        "if (folder / SINGLE).exists():",
        "if False:",
        "test_emu3_check.py::test_a_checkpoint_that_would_draw_wrong_pictures_is_refused",
    ),
    Mutation(
        "a shard of equal images packed",
        "archives.py",
        "        _refuse_equal(path, prompts, packed)\n",
        "",
        "test_damaged_samples.py::test_a_shard_whose_images_are_all_equal_fails_and_leaves_no_archive",
    ),
    Mutation(
        "old names of an adapter not translated",
        "emu3/adapters.py",
        ", key_mapping=OLD_NAMES)",
        ")",
        "test_adapters.py::test_names_of_transformers_4_51_are_understood",
    ),
    Mutation(
        "adapters that cannot be merged not refused by the check",
        "emu3/adapters.py",
        "            model.merge_and_unload()  # Of",
        "            pass  # Of",
        "test_adapters.py::test_an_adapter_that_cannot_be_merged_is_refused_before_anything_is_loaded",
    ),
]


def table() -> str:
    rows = [f"| {each.what} | `{each.name}` |" for each in MUTATIONS]
    return "\n".join(["| change | test that fails |", "|---|---|", *rows])


def passes(source: Path, tests: list[str]) -> bool:
    """Whether all these tests pass with the package in a folder."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", "-m", "not slow"]
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *(f"tests/generation/{test}" for test in tests)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    return done.returncode == 0


def main() -> None:
    unnoticed, chosen = [], [each for each in MUTATIONS if any(word in each.what for word in sys.argv[1:] or [""])]
    if not passes(ROOT / "src", sorted({each.test for each in chosen})):
        raise SystemExit("the tests fail without any change")
    for each in chosen:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "src"
            shutil.copytree(ROOT / "src", source)
            path = source.parent / PACKAGE / each.file
            text = path.read_text()
            assert text.count(each.old) == 1, each
            path.write_text(text.replace(each.old, each.new))
            noticed = not passes(source, [each.test])
        print(f"{'noticed' if noticed else 'NOT NOTICED'}: {each.what} ({each.name})", flush=True)
        unnoticed += [] if noticed else [each]
    if unnoticed:
        raise SystemExit(f"{len(unnoticed)} of {len(chosen)} changes were not noticed")


if __name__ == "__main__":
    main()
