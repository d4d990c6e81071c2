"""An arm: a model at a guidance scale, named by a fingerprint of everything that can change a pixel."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any


def fingerprint(settings: dict[str, Any]) -> str:
    """12 hex digits of sha256 over settings as canonical JSON."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Arm:
    """A model at a guidance scale. `settings` holds everything of it that can change a pixel, and nothing else."""

    model: str
    guidance_scale: float | None
    settings: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.settings)

    @property
    def name(self) -> str:
        scale = "" if self.guidance_scale is None else f"-cfg{self.guidance_scale:g}"
        return f"{self.model}{scale}-{self.fingerprint}"

    @property
    def label(self) -> str:
        """For people: `base, guidance 3`."""
        return self.model if self.guidance_scale is None else f"{self.model}, guidance {self.guidance_scale:g}"
