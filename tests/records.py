"""FID records whose truth is known, for the tests of tables, words, figures and the page."""

import hashlib
import io
import json
import math
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from emudrift.evaluation.fid.comparison import compare, fid_table
from emudrift.evaluation.fid.record import FidRecord
from emudrift.evaluation.intervals import FIXED, INFINITY_METHOD, METHOD, enough_images, pseudo_values
from emudrift.evaluation.ladder import LadderRecord, Rung
from emudrift.features.degradations import Degradation
from emudrift.report.answer.verdict import Verdict, verdict

BLOCKS = 20
RANDOM = "inception-random-0a1b2c3d4e5f"
PUBLISHED = "inception-9f8e7d6c5b4a"


def wobble(seed: int) -> np.ndarray:
    """One number per block, with mean 0 and a jackknife standard error of exactly 1."""
    values = np.random.default_rng(seed).standard_normal(BLOCKS)
    values -= values.mean()
    return values / math.sqrt((BLOCKS - 1) / BLOCKS * (values**2).sum())


def halvings(seed: int) -> np.ndarray:
    """Numbers whose root mean square is 1."""
    values = np.random.default_rng(seed).standard_normal(20)
    return values / np.sqrt(np.mean(values**2))


def record(
    model: str = "base",
    scale: float | None = 3.0,
    n: int = 400,
    corrected: float = 20.0,
    *,
    bias: float = 0.0,
    error: float = 1.0,
    seed: int | None = None,
    **changes: Any,
) -> FidRecord:
    """A FID whose jackknife gives `corrected` with standard error `error`; the plain one is higher by `bias`.

    Models have wobbles of their own unless `seed` says otherwise.
    """
    seed = sum(map(ord, model)) if seed is None else seed
    fid = corrected + bias
    width = 2.093 * error
    # Each block adds its share to the FID of a set of blocks; the shares of all sum to 0.
    share = (BLOCKS - 1) * error * wobble(seed)

    def of(blocks: list[int]) -> float:
        return float(corrected + bias * BLOCKS / len(blocks) - share[blocks].mean())

    half = [list(range(BLOCKS // 2)), list(range(BLOCKS // 2, BLOCKS))]
    cfg = "" if scale is None else f"-cfg{scale:g}"
    data: dict[str, Any] = {
        "arm": f"{model}{cfg}-abcdef012345",
        "model": model,
        "guidance_scale": scale,
        "extractor": PUBLISHED,
        "extractor_settings": {"name": "inception", "dims": 64, "device": "cpu", "sha256": "6726"},
        "weights": "published",
        "n": n,
        "dims": 64,
        "reference": {"key": "inception-00112233", "images": "demo/data/images", "selection": "full", "n": 600},
        "fid": fid,
        "means": 0.75 * corrected,
        "fid_jackknife": corrected,
        "low": corrected - width,
        "high": corrected + width,
        "confidence": 0.95,
        "method": f"{METHOD.format(20)}; {FIXED}",
        "leave_one_out": list(fid + bias / (BLOCKS - 1) + error * wobble(seed)),
        "halves": [(of(half[0]) + of(half[1])) / 2] * 3,
        "quarters": [corrected + 4 * bias] * 3,
        "block_sizes": [n // BLOCKS + (block < n % BLOCKS) for block in range(BLOCKS)],
        "bias_order": 1.0,
        "random_halves": [(fid + bias + error * z, fid + bias - error * z) for z in halvings(seed)],
        "fid_infinity": corrected,
        "fid_infinity_low": corrected - 1.1 * width,
        "fid_infinity_high": corrected + 1.1 * width,
        "fid_infinity_method": INFINITY_METHOD,
        "depends_on_reference": False,
        "reference_bias": 0.0,
        "reliable": enough_images(n, changes.get("dims", 64)),
    }
    data |= changes
    sizes = np.append(0, np.cumsum(data["block_sizes"]))
    if len(data["leave_one_out"]) == len(data["block_sizes"]):
        data.setdefault("pseudo_values", list(pseudo_values(data["fid"], data["leave_one_out"], sizes)))
    return FidRecord.model_validate(data)


def pair(scale: float | None, drift: float, **changes: Any) -> list[FidRecord]:
    return [record("base", scale, **changes), record("finetuned", scale, corrected=20 + drift, **changes)]


def study(
    scales: tuple[float, ...], sizes: tuple[int, ...], drift: tuple[float, ...], **changes: Any
) -> list[FidRecord]:
    """Two models whose corrected FIDs differ by `drift` at each scale; the plain FIDs fall with N as real ones do."""
    records = []
    for index, scale in enumerate(scales):
        for n in sizes:
            error = 14 / math.sqrt(n)
            for model, extra in (("base", 0.0), ("finetuned", drift[index])):
                level = 24 - 4 * index + extra
                jitter = 0.4 * error * math.sin(n + index)
                records.append(record(model, scale, n, level + jitter, bias=3500 / n, error=error, **changes))
    return records


def answer(
    records: list[FidRecord], baseline: str = "base", margins: dict[str, float] | None = None, **more: Any
) -> Verdict:
    return verdict(compare(records, baseline, margins=margins), fid_table(records), baseline, **more)


def ladder_of(**changes: Any) -> LadderRecord:
    """A ladder of round numbers; each interval is 10 % of its distance wide on both sides."""
    steps = [
        ("jpeg", 75, 0.5), ("jpeg", 35, 2.0), ("jpeg", 15, 8.0),
        ("blur", 1, 1.0), ("blur", 2, 4.0), ("blur", 4, 30.0),
        ("diversity", 32, 20.0), ("diversity", 8, 60.0), ("real", 160, 0.1),
    ]  # fmt: skip
    words = {"diversity": "only {:g} different real images", "real": "{:g} other real images"}
    rungs = [
        Rung(
            kind=kind,
            level=level,
            label=words[kind].format(level) if kind in words else Degradation(kind, level).label,
            distance=size,
            low=0.9 * size,
            high=1.1 * size,
        )
        for kind, level, size in steps
    ]
    found = {"n": 160, "reference_n": 600, "dims": 64, "reliable": True, "confidence": 0.95, "rungs": rungs} | changes
    return LadderRecord.model_validate(found)


def write_tar(path: Path, images: dict[str, bytes]) -> None:
    """An archive as shards write them, of encoded images by prompt_id, with as little in their records as can be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for prompt_id, data in images.items():
            record = json.dumps({"sha256": {".png": hashlib.sha256(data).hexdigest()}}).encode()
            for ending, content in ((".png", data), (".json", record)):
                header = tarfile.TarInfo(f"{prompt_id}{ending}")
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
