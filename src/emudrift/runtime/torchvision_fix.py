"""Makes torchvision importable with the CPU build of torch. Import this module before transformers or pytorch-fid.

The torchvision wheel on PyPI is built for CUDA: with the CPU build of torch, its import fails with
`operator torchvision::nms does not exist`. Only the schemas of two operators are missing; once they are defined, models and
transforms work (`torchvision.ops.nms` and `torchvision.io.read_image` do not, but emudrift does not use them).
If torchvision can be imported, this module does nothing.
"""

import sys

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

try:
    import torchvision
except RuntimeError as error:
    if "torchvision::" not in str(error):
        raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    # The definitions exist as long as this object does.
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for _schema in _SCHEMAS:
        if not hasattr(torch.ops.torchvision, _schema.split("(")[0]):
            _library.define(_schema)
    import torchvision  # noqa: F401
