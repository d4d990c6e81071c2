"""What only a GPU can show of the Emu3 engine, in under nine minutes; the same program rehearses itself on a CPU.

On a GPU: random bfloat16 weights of the published model's shape, made on the device, and its VQ in float32. Without a GPU, or
with --small: a model of two small layers, with torch's FlashAttention stood in for, whose speed means nothing. One line of JSON
per finding while it runs, and one with all of them at the end. A finding that fails, or finds something wrong, is listed in
`failed`, and the others go on; then the exit code is 1.
"""

import argparse
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent, HERE.parents[1] / "src"):
    sys.path.insert(0, str(folder))

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import gpu_findings as findings
import random_emu3
import torch
import transformers
from measuring import bandwidth

from emudrift.errors import InputError
from emudrift.generation.emu3 import attention

TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY |= {"num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512}

# Name, seconds that it needs on a GPU, function.
FINDINGS: list[tuple[str, float, Callable[..., dict[str, Any]]]] = [
    ("kernels", 20, findings.kernels),
    ("steps", 60, findings.steps),
    ("pixels", 30, findings.pixels),
    ("documented", 40, findings.documented),
    ("tokens", 60, findings.tokens),
    ("memory", 30, findings.memory),
    ("resume", 20, findings.resume),
    ("whole", 60, findings.whole),
]


# The next finding may be the one that matters.
FAULTS = (
    AssertionError,
    AttributeError,
    ImportError,
    InputError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda where there is a GPU")
    parser.add_argument("--small", action="store_true", help="a model of two small layers; always on a CPU")
    parser.add_argument("--budget", type=float, default=500, help="seconds, after which no finding is begun")
    parser.add_argument("--only", nargs="+", choices=[name for name, _, _ in FINDINGS], help="these findings only")
    arguments = parser.parse_args()
    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    print(json.dumps(report := run(device, arguments.small, arguments.budget, arguments.only)))
    if "OUT" in os.environ:
        Path(os.environ["OUT"], "gpu_check.json").write_text(json.dumps(report, indent=1))
    return 1 if report["failed"] else 0


def run(device: torch.device, small: bool, budget: float, only: list[str] | None = None) -> dict[str, Any]:
    """All findings by name; `failed` lists those that ended in an error, `skipped` those that no time was left for."""
    start, small = time.monotonic(), small or device.type == "cpu"
    report: dict[str, Any] = {"rehearsal": small, "failed": [], "skipped": []}

    def note(name: str, found: dict[str, Any]) -> None:
        report[name] = found
        print(json.dumps({name: found, "after": round(time.monotonic() - start, 1)}), flush=True)

    note("machine", machine(device))
    if device.type == "cpu":
        torch.set_num_threads(1)
        attention.varlen = findings.varlen_on_cpu
    transformers.utils.logging.set_verbosity_error()
    shape = TINY if small else random_emu3.LARGE
    visual = 256 if small else random_emu3.VISUAL_TOKENS
    model = random_emu3.random_model(shape, visual, device, torch.bfloat16, published_vq=not small)
    bench = findings.Bench(
        weights=random_emu3.RandomWeights(model),
        small=small,
        bandwidth=bandwidth(device),
        left=lambda: budget - (time.monotonic() - start),
    )
    note(
        "model",
        {
            "parameters_b": round(random_emu3.parameters(model) / 1e9, 3),
            "bandwidth_gb_per_s": round(bench.bandwidth / 1e9, 1),
            "elementwise_compiled": bench.weights.language.elementwise.fused,
            "flash_fault": bench.weights.flash_fault,
            "one_split": bool(attention.ONE_SPLIT),
        },
    )
    for name, seconds, find in FINDINGS:
        if only and name not in only:
            continue
        if bench.left() < seconds:
            report["skipped"].append(name)
            continue
        try:
            note(name, find(bench))
            if report[name].get("wrong"):
                report["failed"].append(name)
        except FAULTS as error:
            report["failed"].append(name)
            note(name, {"error": f"{type(error).__name__}: {error}"[:400], "trace": traceback.format_exc()[-1500:]})
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    report["seconds"] = round(time.monotonic() - start, 1)
    return report


def machine(device: torch.device) -> dict[str, Any]:
    found = {"torch": torch.__version__, "transformers": transformers.__version__, "python": sys.version.split()[0]}
    if device.type == "cpu":
        return found | {"device": "cpu"}
    return found | {
        "device": torch.cuda.get_device_name(),
        "capability": torch.cuda.get_device_capability(),
        "cudnn": torch.backends.cudnn.version(),
        "free_gb": round(torch.cuda.mem_get_info()[0] / 1e9, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
