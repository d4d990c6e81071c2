"""Makes torchvision importable with the CPU build of torch, and cheap. Import this module before transformers or pytorch-fid.

The torchvision wheel on PyPI is built for CUDA: with the CPU build of torch, its import fails with
`operator torchvision::nms does not exist`. Only the schemas of two operators are missing; once they are defined, models and
transforms work (`torchvision.ops.nms` and `torchvision.io.read_image` do not, but emudrift does not use them). If torchvision
can be imported, nothing is defined.

Half the cost of importing torchvision is torch's compiler (torch._dynamo, with sympy and torch.distributed), which a single
operator needs when it is called. It is asked for through a function that imports the compiler only then.
"""

import sys
from types import ModuleType

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_COMPILER = "torch._dynamo.utils"


def _is_compile_supported(device_type: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return is_compile_supported(device_type)


def _forget_torchvision() -> None:
    """Removes what was imported of it before it failed."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


def _import_torchvision() -> None:
    """Imports torchvision without torch's compiler; with it where it is loaded already, or where torchvision needs more of it."""
    if _COMPILER not in sys.modules:
        stand_in = ModuleType(_COMPILER)
        stand_in.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
        sys.modules[_COMPILER] = stand_in
        try:
            import torchvision

            return
        except (ImportError, AttributeError):
            _forget_torchvision()
        finally:
            del sys.modules[_COMPILER]
    import torchvision  # noqa: F401


try:
    _import_torchvision()
except RuntimeError as error:
    if "torchvision::" not in str(error):
        raise
    _forget_torchvision()
    # The definitions exist as long as this object does.
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for _schema in _SCHEMAS:
        if not hasattr(torch.ops.torchvision, _schema.split("(")[0]):
            _library.define(_schema)
    _import_torchvision()
