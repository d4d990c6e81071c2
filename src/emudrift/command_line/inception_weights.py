"""Where a feature extractor's weights are on this machine, for comparisons that have no config yet."""

import os
from pathlib import Path
from typing import Any

from emudrift.config.extractors import INCEPTION_SHA256
from emudrift.config.paths import WORKFLOW, ExperimentPaths
from emudrift.data.downloads import download
from emudrift.errors import InputError

URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
_FILE = "pt_inception-2015-12-05-6726825d.pth"


def extractor_entry(name: str, dims: int | None, weights: Path | None, folder: Path) -> dict[str, Any]:
    """The entry of `extractors` in a config.

    Args:
        folder: the project, which may have the weights.

    Raises:
        InputError: the extractor is unknown, or its weights are not on this machine.
    """
    size = {} if dims is None else {"dims": dims}
    if name == "inception-random":
        return {"name": name} | size
    if name == "inception":
        return {"name": name} | size | {"weights": str(_published(weights, folder))}
    if name == "dinov2" and weights is not None:
        return {"name": name} | size | {"checkpoint": {"path": str(weights.expanduser().resolve())}}
    if name == "dinov2":
        raise InputError(
            "--extractor dinov2 needs --weights, the folder of a DINOv2 checkpoint in transformers' format"
        )
    raise InputError(f"--extractor {name}: unknown; expected inception, inception-random or dinov2")


def usual_places(folder: Path) -> list[Path]:
    """Where the published weights may be: the project's, the clone's, our own cache, and that of pytorch-fid."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    torch_home = Path(os.environ.get("TORCH_HOME") or cache / "torch")
    of_project = [ExperimentPaths(each, each / "resources") for each in (folder, WORKFLOW)]
    return [
        *(paths.inception_weights(INCEPTION_SHA256[:12]) for paths in of_project),
        cache / "emudrift" / _FILE,
        torch_home / "hub" / "checkpoints" / _FILE,
    ]


def download_weights() -> Path:
    """Downloads the published weights into our cache, 91 MB, checked. Raises InputError where that fails."""
    path = usual_places(Path())[2]
    if not path.exists():
        download(URL, f"sha256:{INCEPTION_SHA256}", path)
    return path


def _published(weights: Path | None, folder: Path) -> Path:
    if weights is not None:
        if not weights.expanduser().is_file():
            raise InputError(f"{weights}: --weights: there is no such file")
        return weights.expanduser().resolve()
    found = next((path for path in usual_places(folder) if path.is_file()), None)
    if found is None:
        raise InputError(
            "the published Inception weights are not on this machine; --download fetches them (91 MB), --weights FILE names a "
            "copy, and --extractor inception-random tries everything out with a stand-in whose numbers mean nothing"
        )
    return found
