"""The Emu3 generator: captions in, images out, by the authors' recipe."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from emudrift.devices import torch_device
from emudrift.generators import Drawing
from emudrift.generators.emu3.checkpoint import load_emu3
from emudrift.generators.emu3.engine import GridEngine
from emudrift.generators.emu3.recipe import Recipe
from emudrift.generators.emu3.reference import ReferenceEngine
from emudrift.generators.emu3.vq import decode_codes
from emudrift.prompts import Prompt


class Emu3Generator:
    """Draws with an Emu3 checkpoint, one batch at a time.

    Args:
        settings: those of the arm (`Arm.settings`).
        checkpoint: folder of the base model and its processor.
        adapter: folder of a PEFT adapter that is merged into it, or None.
        batch_size: fill every batch up to this size with dummy rows, and pad all prompts to the longest of `captions`. In 16
            bit both move roundings, and so tokens; in float32 they change nothing and are not needed (None).

    Raises:
        InputError: no such device, or files that cannot be loaded.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        checkpoint: Path,
        adapter: Path | None,
        batch_size: int | None = None,
        captions: Sequence[str] = (),
    ) -> None:
        self._device = torch_device(settings["device"])
        self.size: tuple[int, int] = (settings["width"], settings["height"])
        self.model = load_emu3(
            checkpoint, adapter, getattr(torch, settings["dtype"]), settings["attention"], self._device
        )
        self.recipe = Recipe(checkpoint, self.model, settings)
        self.batch_size = batch_size
        self.engine: GridEngine | ReferenceEngine
        if settings["engine"] == "grid":
            length = 0 if batch_size is None else self.recipe.longest(list(captions))
            self.engine = GridEngine(self.model, self.recipe, length)
        else:
            self.engine = ReferenceEngine(self.model, self.recipe)

    def codes(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """Visual tokens as codes of the codebook, (batch, h, w) int64."""
        rows = list(prompts)
        if self.batch_size is not None:
            rows += [rows[-1]] * (self.batch_size - len(rows))
        return self.engine.codes([row.caption for row in rows], [row.seed for row in rows])[: len(prompts)]

    def draw(self, prompts: Sequence[Prompt]) -> Iterator[Drawing]:
        codes = self.codes(prompts)
        for code, image in zip(codes, decode_codes(self.model.model.vqmodel, codes), strict=True):
            yield Drawing(image, code.to(torch.int32).cpu().numpy().astype("uint16"))

    def device(self) -> str:
        return torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "cpu"
