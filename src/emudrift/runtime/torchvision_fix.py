"""Makes torchvision importable beside the CPU build of torch. Import this module before transformers or pytorch-fid.

The torchvision wheel of the package index is built against CUDA: beside the CPU build of torch its import stops at
`operator torchvision::nms does not exist`. Only the schemas of two operators are missing; with them defined, models and
transforms work (`torchvision.ops.nms` and `torchvision.io.read_image` do not, and emudrift uses neither).
Where torchvision imports, this module does nothing.
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
    # The definitions live as long as this object does.
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for _schema in _SCHEMAS:
        if not hasattr(torch.ops.torchvision, _schema.split("(")[0]):
            _library.define(_schema)
    import torchvision  # noqa: F401
