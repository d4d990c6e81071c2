"""Validates a diffusers pipeline on disk without loading it."""

import hashlib
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emudrift.config.diffusers_model import DiffusersModel
from emudrift.config.experiment import Experiment
from emudrift.data.pipeline_files import wanted_files
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.diffusers.adapter_files import adapter_files, find_adapter
from emudrift.generation.diffusers.network_files import denoiser_of, find_network, network_files, refuse_other_kind
from emudrift.generation.model_files import are_unchanged, digest_of, hash_files, hub_commit
from emudrift.generation.weight_files import scan_tensors

Components = dict[str, tuple[str, str]]


def check_pipeline(folder: Path, variant: str | None, custom_pipeline: str | None, code: bool) -> dict[str, Any]:
    """Validates a pipeline: its index, a folder for each component, complete safetensors for each network.

    Args:
        variant: of the weight files, or None.
        custom_pipeline: name of the Python file that defines the pipeline, or None.
        code: whether Python files of the checkpoint may be executed.

    Returns:
        `digest` (sha256 over all used files), `files` (name to size, time and sha256), `revisions` (hub commit).

    Raises:
        InputError: a file is missing or damaged, or the pipeline requires code that is not trusted.
    """
    index = load_index(folder)
    if custom_pipeline is not None and not (folder / f"{custom_pipeline}.py").is_file():
        raise InputError(f"{folder}: custom_pipeline: there is no {custom_pipeline}.py in this folder")
    components = components_of(index)
    theirs = [name for name, (library, _) in components.items() if _is_theirs(folder / name, library)]
    if not code and (theirs or isinstance(index.get("_class_name"), list)):
        raise InputError(
            f"{folder}: contains custom Python code ({', '.join(theirs) or 'its pipeline'}); review it, and if you trust it set "
            "trust_remote_code: true"
        )
    files = scan_pipeline(folder, variant, code)
    for name in components:
        _check_component(folder, name, files, variant)
    scan_tensors(path for path in files.values() if path.suffix == ".safetensors")
    hashed = hash_files(files, weights=True)
    commit = hub_commit(folder)
    return {
        "digest": digest_of(hashed),
        "files": {"checkpoint": hashed},
        "revisions": {} if commit is None else {"checkpoint": commit},
    }


def scan_pipeline(folder: Path, variant: str | None, code: bool) -> dict[str, Path]:
    """The files that a pipeline is loaded from, by path relative to its folder. Raises InputError if there is no folder."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: the checkpoint folder is missing; is its path right, or was it not downloaded yet?"
        )
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: there[name] for name in wanted_files(there, [variant], code)}


def load_index(folder: Path) -> dict[str, Any]:
    """Loads model_index.json. Raises InputError if it is missing or invalid."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: the checkpoint folder is missing; is its path right, or was it not downloaded yet?"
        )
    path = folder / "model_index.json"
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{folder}: has no model_index.json, so it is not a diffusers pipeline") from error
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(index, dict) or not index.get("_class_name"):
        raise InputError(f"{path}: has no pipeline class (_class_name)")
    return index


def components_of(index: dict[str, Any]) -> Components:
    """Name to (library, class) of each component of a pipeline."""
    pairs = {name: value for name, value in index.items() if isinstance(value, list) and not name.startswith("_")}
    return {name: (value[0], value[1]) for name, value in pairs.items() if len(value) == 2 and all(value)}


def _is_theirs(folder: Path, library: str) -> bool:
    """Whether a component's class is defined in a Python file of the checkpoint."""
    return library.startswith("transformers_modules.") or (folder / f"{library}.py").is_file()


def _check_component(folder: Path, name: str, files: dict[str, Path], variant: str | None) -> None:
    if not (folder / name).is_dir():
        raise InputError(f"{folder}: the folder of the component {name} is missing; copy or download it again")
    is_network = (folder / name / "config.json").is_file() and not (folder / name / "tokenizer_config.json").is_file()
    if is_network and not any(path.suffix == ".safetensors" and path.parent.name == name for path in files.values()):
        which = "weights" if variant is None else f"weights (of variant {variant} or without a variant)"
        others = sorted(path.name for path in (folder / name).iterdir() if path.suffix in (".bin", ".safetensors"))
        there = f"; found {', '.join(others)}" if others else ""
        raise InputError(f"{folder / name}: no {which} in safetensors format{there}; other formats are not loaded")


# --- as an entry of the registry ---


def check_model(experiment: Experiment, model: DiffusersModel, prompts: Sequence[Prompt]) -> dict[str, Any]:
    if find_spec("diffusers") is None:
        raise InputError(
            f"models: {model.name}: generator: diffusers needs the package diffusers; pip install 'emudrift[diffusers]'"
        )
    folder = experiment.checkpoint_folders(model)["checkpoint"]
    found = check_pipeline(folder, model.variant, model.custom_pipeline, model.trust_remote_code)
    found["digest"] = _check_call(experiment, model, folder, found["digest"])
    for role, files in _parts(experiment, model).items():
        scan_tensors(path for path in files.values() if path.suffix == ".safetensors")
        hashed = hash_files(files, weights=True)
        commit = hub_commit(experiment.checkpoint_folders(model)[role])
        found["digest"] = hashlib.sha256(f"{found['digest']} {digest_of(hashed)}".encode()).hexdigest()
        found["files"][role] = hashed
        found["revisions"] |= {} if commit is None else {role: commit}
    adapter = adapter_of(experiment, model)
    if adapter is not None and not model.trust_remote_code:  # A pipeline of its own code is compared when it is loaded.
        from emudrift.generation.diffusers.adapters import apply_adapter
        from emudrift.generation.diffusers.loading import empty_pipeline

        apply_adapter(empty_pipeline(folder), adapter, model.adapter_scale or 1)
    return found


def _parts(experiment: Experiment, model: DiffusersModel) -> dict[str, dict[str, Path]]:
    """The files of a model besides those of its pipeline, by role. Raises InputError where they are missing."""
    adapter, network = adapter_of(experiment, model), network_of(experiment, model)
    found = {} if network is None else {"network": network_files(network[1], network[0], model.variant)}
    return found if adapter is None else found | {"adapter": adapter_files(adapter)}


def network_of(experiment: Experiment, model: DiffusersModel) -> tuple[str, Path] | None:
    """The component that another network stands in place of, and that one's folder. Raises InputError if it is missing."""
    if model.network is None:
        return None
    folders = experiment.checkpoint_folders(model)
    name = denoiser_of(components_of(load_index(folders["checkpoint"])), folders["checkpoint"])
    found = find_network(folders["network"], name)
    refuse_other_kind(found, folders["checkpoint"] / name)
    return name, found


def _check_call(experiment: Experiment, model: DiffusersModel, folder: Path, digest: str) -> str:
    """Checks arguments, guidance and scheduler against the pipeline's class and configs.

    Returns:
        The digest; another one where the class has an argument for guidance of its own, which no setting names.
    """
    # Here, since these import diffusers.
    from emudrift.generation.diffusers.call import GUIDANCE, call_of
    from emudrift.generation.diffusers.scheduler import check_scheduler

    arms = [arm.settings for arm in experiment.arms() if arm.model == model.name]
    call = call_of(folder, load_index(folder), model.custom_pipeline)
    try:
        call.check(arms)
        if model.scheduler is not None:
            check_scheduler(folder, model.scheduler.model_dump(), call.chooses_sigmas)
    except InputError as error:
        raise InputError(f"models: {model.name}: {error}") from error
    if call.kind not in GUIDANCE or model.guidance_argument is not None:
        return digest
    return hashlib.sha256(f"{digest} {GUIDANCE[call.kind]}".encode()).hexdigest()


def adapter_of(experiment: Experiment, model: DiffusersModel) -> Path | dict[str, Path] | None:
    """The adapter of a model, as `find_adapter` gives it; None without one. Raises InputError as that does."""
    if model.adapter is None:
        return None
    return find_adapter(experiment.checkpoint_folders(model)["adapter"], model.adapter.weight_name)


def model_is_unchanged(experiment: Experiment, model: DiffusersModel, files: dict[str, Any]) -> bool:
    folder = experiment.checkpoint_folders(model)["checkpoint"]
    same = all(are_unchanged(files.get(role, {}), part) for role, part in _parts(experiment, model).items())
    return same and are_unchanged(files["checkpoint"], scan_pipeline(folder, model.variant, model.trust_remote_code))
