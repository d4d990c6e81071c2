"""The Emu3 generator: from captions to visual tokens and images, following the authors' recipe."""

import logging
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.models import Emu3Model
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.emu3 import vq
from emudrift.generation.emu3.attention import flash_fault
from emudrift.generation.emu3.checkpoint import load_emu3
from emudrift.generation.emu3.cuda_graphs import decoding_stream
from emudrift.generation.emu3.generate_engine import ReferenceEngine
from emudrift.generation.emu3.grid_engine import GridEngine
from emudrift.generation.emu3.language_model import LanguageModel
from emudrift.generation.emu3.memory import even_batch, halving_batches, is_out_of_memory
from emudrift.generation.emu3.recipe import Recipe, check_positions
from emudrift.generation.emu3.vocabulary import check_vocabulary
from emudrift.generation.interface import Batching
from emudrift.runtime.devices import torch_device
from emudrift.runtime.library_warnings import listen

logger = logging.getLogger(__name__)

BATCH_ON_CPU = 16


class Emu3Weights:
    """A loaded checkpoint with its adapter merged; shared by the arms of a model.

    Args:
        settings: of an arm; `dtype`, `attention`, `engine`, `device` and `adapter_scale` determine how it is loaded.
        checkpoint: folder of the base model and its processor.
        adapter: folder of a PEFT adapter to merge, or None.
        vq_checkpoint: folder of the checkpoint whose VQ decodes tokens to pixels; default: `checkpoint`.

    Raises:
        InputError: the device is not available, or the files cannot be loaded.
    """

    def __init__(
        self, settings: dict[str, Any], checkpoint: Path, adapter: Path | None = None, vq_checkpoint: Path | None = None
    ) -> None:
        listen()
        self.key = self.key_of(settings, checkpoint, adapter, vq_checkpoint)
        self.checkpoint, self.device = checkpoint, torch_device(settings["device"])
        # auto and flash refer to the grid engine's own KV cache; transformers' model itself is loaded with sdpa.
        loaded_with = "sdpa" if settings["attention"] in ("auto", "flash") else settings["attention"]
        dtype = getattr(torch, settings["dtype"])
        scale = settings.get("adapter_scale", 1)
        self.model = load_emu3(checkpoint, adapter, dtype, loaded_with, self.device, vq_checkpoint, scale)

    @staticmethod
    def key_of(settings: dict[str, Any], *folders: Path | None) -> tuple[Any, ...]:
        """Cache key; equal for arms that can share loaded weights."""
        loading = (settings[name] for name in ("dtype", "attention", "engine", "device"))
        return (*loading, settings.get("adapter_scale", 1), *folders)

    @cached_property
    def language(self) -> LanguageModel:
        return LanguageModel(self.model.model.text_model)

    @cached_property
    def flash_fault(self) -> str | None:
        """Why flash attention cannot be used with this model on this device; None if it can."""
        of = self.language
        fault = flash_fault(of.heads, of.kv_heads, of.head_dim, of.dtype, of.device)
        logger.info("flash attention: %s", "agrees with sdpa, and is used" if fault is None else f"not used, {fault}")
        return fault

    def device_name(self, engine: str = "grid") -> str:
        """Description of the device, for manifests."""
        if self.device.type != "cuda":
            return "cpu"
        # Where kernels are not compiled, 16 bit rounds differently, as it does on another GPU.
        plain = engine == "grid" and not self.language.elementwise.fused
        return torch.cuda.get_device_name(self.device) + (", elementwise kernels not compiled" if plain else "")


class Emu3Generator:
    """Generates images with an Emu3 checkpoint, for one arm.

    Args:
        settings: of the arm (`Arm.settings`).
        batching: batch size, padding and attention; see `plan`. Default: `BATCH_ON_CPU` without padding.

    Attributes:
        batching: as above; may be set until the first image is generated. Raises InputError for an attention that cannot be used.
        effective_batch_size: actual batch size; smaller than in `batching` after running out of memory.
    """

    def __init__(self, settings: dict[str, Any], weights: Emu3Weights, batching: Batching | None = None) -> None:
        self.settings, self.weights = settings, weights
        self.size: tuple[int, int] = (settings["width"], settings["height"])
        self.recipe = Recipe(weights.checkpoint, weights.model, settings)
        check_vocabulary(weights.checkpoint, self.recipe.processor.tokenizer, weights.model)
        self.engine: GridEngine | ReferenceEngine
        if settings["engine"] == "grid":
            self.engine = GridEngine(weights.model, weights.language, self.recipe)
        else:
            self.engine = ReferenceEngine(weights.model, self.recipe)
        self._sampling = threading.Lock()
        if self.overlaps:
            # What loads the weights; from here on the streams wait for each other no more.
            decoding_stream(weights.device).wait_stream(torch.cuda.current_stream(weights.device))
        self.batching = batching or Batching(BATCH_ON_CPU, 0, self._attention())

    @property
    def overlaps(self) -> bool:
        """Whether images are decoded while tokens are sampled: on a GPU one is limited by memory, the other by arithmetic; on a
        CPU both take all cores."""
        return self.weights.device.type == "cuda" and isinstance(self.engine, GridEngine)

    @property
    def batching(self) -> Batching:
        return self._batching

    @batching.setter
    def batching(self, batching: Batching) -> None:
        self._batching, self.effective_batch_size = batching, batching.batch_size
        if isinstance(self.engine, GridEngine):
            self.engine.prompt_length = batching.prompt_length
            if batching.attention is not None:
                self.engine.language = self.weights.language.using(self._usable(batching.attention))

    def _attention(self) -> str | None:
        """The kernel that the settings ask for, or the fastest that works; None for the reference engine, which loads its own."""
        if not isinstance(self.engine, GridEngine):
            return None
        stated: str = self.settings["attention"]
        if stated != "auto":
            return self._usable(stated)
        return "flash" if self.weights.flash_fault is None else "sdpa"

    def _usable(self, attention: str) -> str:
        if attention == "flash" and (fault := self.weights.flash_fault) is not None:
            raise InputError(
                f"attention: flash, which this arm's images are generated with, cannot be used on {self.device()}: {fault}; use "
                "another GPU, or set generation: attention: sdpa, which generates other images"
            )
        return attention

    @property
    def fills(self) -> bool:
        """Whether batches are padded with dummy rows: in 16 bit the size affects rounding; on a GPU each size needs graphs."""
        return self.settings["dtype"] != "float32" or self.weights.device.type == "cuda"

    def plan(self, captions: Sequence[str], shard_size: int, batch_size: int | None) -> Batching:
        """Chooses the batch size, the padding and the attention.

        Args:
            captions: of the whole prompt table; the longest of them, or the negative prompt, determines the padding.
            shard_size: images per shard; it is split into batches of equal size.
            batch_size: the requested size, or None: as large as the device's free memory allows.

        Raises:
            InputError: the longest prompt leaves too few positions for an image.
        """
        length = self.recipe.longest(list(captions))
        check_positions(*self.size, self.weights.model.config.text_config.max_position_embeddings, length)
        if batch_size is None:
            batch_size = self._largest_batch(length, shard_size)
        return Batching(batch_size, length, self._attention())

    def _largest_batch(self, prompt_length: int, shard_size: int) -> int:
        if self.weights.device.type != "cuda":
            return even_batch(BATCH_ON_CPU, shard_size)
        if not isinstance(self.engine, GridEngine):
            raise InputError(
                "resources: generation_batch_size: auto is supported for engine: grid only; give a number for "
                "engine: reference (the published study used 20)"
            )
        torch.cuda.empty_cache()
        free, plan = torch.cuda.mem_get_info(self.weights.device)[0], self.engine.memory(prompt_length)
        fits = plan.images(free)
        logger.info(
            "batch size %d: %d images of %.2f GB each fit into %.1f GB of free memory beside %.1f GB for prompts, decoding and "
            "libraries, and shards have %d images",
            even_batch(fits, shard_size),
            fits,
            plan.per_image / 1e9,
            free / 1e9,
            plan.reserved / 1e9,
            shard_size,
        )
        return even_batch(fits, shard_size)

    def codes(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """Samples visual tokens: codebook indices, (batch, h, w) uint16. Halves the batch size when memory runs out.

        Raises:
            InputError: there is not enough memory for a single image, or the model's output is not finite.
        """

        def attempt() -> np.ndarray:
            with self._sampling:
                return self._codes(prompts)

        def release() -> None:
            if isinstance(self.engine, GridEngine):
                self.engine.release()

        what = f"generate one image of {self.size[0]} x {self.size[1]} with this model"
        return halving_batches(self, attempt, release, what)

    def _codes(self, prompts: Sequence[Prompt]) -> np.ndarray:
        parts = []
        for start in range(0, len(prompts), self.effective_batch_size):
            rows = list(prompts[start : start + self.effective_batch_size])
            real = len(rows)
            if self.fills:
                rows += [rows[-1]] * (self.effective_batch_size - real)
            codes = self.engine.codes([row.caption for row in rows], [row.seed for row in rows])[:real]
            found = codes.to(torch.int32).cpu().numpy()
            self._check_finite(rows[:real], found)
            parts.append(found.astype(np.uint16))
        return np.concatenate(parts)

    def _check_finite(self, rows: list[Prompt], codes: np.ndarray) -> None:
        """Ends the shard if a model computed NaN or infinity: its images would be of arbitrary tokens."""
        broken = [row.prompt_id for row, image in zip(rows, codes, strict=True) if (image < 0).any()]
        if broken:
            dtype = self.settings["dtype"]
            cause = (
                "float16 overflows in this model; set generation: dtype: bfloat16"
                if dtype == "float16"
                else f"the weights or the adapter are damaged, or their values are too large for {dtype}"
            )
            raise InputError(
                f"the model's output is NaN or infinite for {len(broken)} of {len(rows)} images, the first that of prompt "
                f"{broken[0]}: {cause}"
            )

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Decodes codes (batch, h, w) to images (batch, height, width, 3) uint8; may be called from another thread than `codes`.

        Raises:
            InputError: there is not enough memory, even after freeing the language model's cache.
        """
        try:
            return self._pixels(codes)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            logger.warning("out of memory while decoding; freeing the language model's cache")
        with self._sampling:  # After the batch that is being sampled, whose cache it is, and before the next one.
            if isinstance(self.engine, GridEngine):
                self.engine.release()
            try:
                return self._pixels(codes)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                raise InputError(
                    f"not enough device memory to decode one image of {self.size[0]} x {self.size[1]}; use a larger device, or "
                    "check that nothing else runs on it (nvidia-smi)"
                ) from error

    def _pixels(self, codes: np.ndarray) -> np.ndarray:
        tokens, tf32 = torch.from_numpy(codes.astype(np.int64)), self.settings.get("decoder_tf32", False)
        stream = torch.cuda.stream(decoding_stream(self.weights.device)) if self.overlaps else nullcontext()
        with stream:
            return vq.decode_codes(self.weights.model.model.vqmodel, tokens, tf32).numpy()

    def device(self) -> str:
        return self.weights.device_name(self.settings["engine"])


_loaded: list[Emu3Weights] = []
"""The weights that this process loaded last, if any."""


def shared_weights(settings: dict[str, Any], folders: dict[str, Path]) -> Emu3Weights:
    """The weights of an arm. Arms that are loaded one after another share them where they can."""
    places = folders["checkpoint"], folders.get("adapter"), folders.get("vq")
    if not (_loaded and _loaded[0].key == Emu3Weights.key_of(settings, *places)):
        _loaded.clear()  # First, so that two models never need memory at the same time.
        _loaded.append(Emu3Weights(settings, *places))
    return _loaded[0]


def load_model(experiment: Experiment, model: Emu3Model, arm: Arm) -> Emu3Generator:
    """The generator of an arm, for the registry."""
    return Emu3Generator(arm.settings, shared_weights(arm.settings, experiment.checkpoint_folders(model)))
