"""An arm: a model, its adapter at one strength, at a guidance scale; named by a fingerprint of what can change a pixel."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any


def fingerprint(settings: dict[str, Any]) -> str:
    """12 hex digits of sha256 over settings as canonical JSON."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Arm:
    """A model at a guidance scale.

    Attributes:
        model: its name; `finetuned@step200@0.5` for an adapter at half strength, from step 200 of its training.
        settings: everything of it that can change a pixel, and nothing else.
        adapter_scale: strength of the model's adapter; None without one.
        step: training step of the adapter, if it is one of several checkpoints of a run.
        prompt_set: name of the set of prompts that its images are generated for; "" where there is one without a name.
        in_main_set: whether that is the first of the sets, whose arms are named as if there were no other: nothing that exists
            is generated again where a set is added.
    """

    model: str
    guidance_scale: float | None
    settings: dict[str, Any]
    adapter_scale: float | None = None
    step: int | None = None
    prompt_set: str = ""
    in_main_set: bool = True

    @property
    def family(self) -> str:
        """The name of the config's entry, which arms of one adapter at several strengths, or of one training run, share."""
        return self.model.partition("@")[0]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.settings)

    @property
    def name(self) -> str:
        scale = "" if self.guidance_scale is None else f"-cfg{self.guidance_scale:g}"
        return f"{self.model}{scale}{'' if self.in_main_set else f'@{self.prompt_set}'}-{self.fingerprint}"

    @property
    def label(self) -> str:
        """For people: `base, guidance 3`."""
        return self.model if self.guidance_scale is None else f"{self.model}, guidance {self.guidance_scale:g}"
