"""A whole experiment of existing images in this process: what the rules do, in their order, without starting a job for each.

Every step is the function that the rule's script calls. A step is left out where the record of what it was made of says that it
is up to date.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from emudrift.config.experiment import Experiment
from emudrift.data.dataset import write_prompt_table, write_reference_list
from emudrift.data.image_sources import scan_reference_images
from emudrift.data.prompts import load_prompts
from emudrift.errors import InputError
from emudrift.evaluation.fid_files import write_fids
from emudrift.evaluation.fid_tables import write_comparison_table, write_fid_table
from emudrift.evaluation.measure_ladder import measure_ladder
from emudrift.features.extract import extract_features, made_of
from emudrift.features.record_check import record_check
from emudrift.features.reference import extract_reference_features, write_reference_statistics
from emudrift.generation.model_files import load_model_record
from emudrift.generation.record_model import record_model
from emudrift.generation.registry import is_unchanged
from emudrift.generation.run_shard import run_shard
from emudrift.report.figures.all_figures import write_figures
from emudrift.report.gallery.row_blocks import blocks
from emudrift.report.gallery_and_page import write_gallery_block, write_page
from emudrift.runtime.atomic_files import sha256_of
from emudrift.runtime.json_files import write_json

logger = logging.getLogger(__name__)

_PACKAGE = Path(__file__).resolve().parents[1]


def run_in_process(experiment: Experiment) -> None:
    """Makes all results of an experiment with models of existing images, whose metric is FID.

    Raises:
        InputError: of any step.
    """
    batch = experiment.config.resources.feature_batch_size
    _prompts_and_models(experiment)
    record_check(experiment)
    for arm in experiment.arms():
        for shard in experiment.shards():
            run_shard(experiment, arm, shard, None)
    _reference(experiment, batch)
    extractors = experiment.extractor_names
    for extractor in extractors:
        for arm in experiment.arms():
            for job in dict.fromkeys(experiment.feature_job(extractor, shard.start) for shard in experiment.shards()):
                extract_features(experiment, extractor, arm.name, job, batch)
    for extractor in extractors:
        for selection in experiment.selections(experiment.extractor(extractor)):
            for arm in experiment.arms():
                logger.info("%s: computing the FID and its interval", arm.name)
                write_fids(experiment, extractor, selection, arm.name)
    _tables_and_page(experiment)


def _prompts_and_models(experiment: Experiment) -> None:
    paths = experiment.paths
    sources = [experiment.path(experiment.config.prompts.captions), experiment.config_path]
    if not _is_newer(paths.prompts, sources):
        write_prompt_table(experiment)
    for model in experiment.model_names:
        record = paths.model_record(model)
        if _is_newer(record, [paths.prompts]):
            recorded = load_model_record(record)
            if is_unchanged(experiment, recorded, load_prompts(paths.prompts)):
                continue
        record_model(experiment, model)


def _reference(experiment: Experiment, batch: int) -> None:
    """List, features and statistics of the reference, and its ladder where the config asks for one."""
    paths = experiment.paths
    listing = _listing(experiment.reference_images)
    ladders = experiment.ladders()
    for name in experiment.extractor_names:
        key = experiment.reference_key(experiment.extractor(name))
        made, record = made_of(experiment, name), paths.reference_statistics(key).with_suffix(".made.json")
        # Names of the prompts decide which of the dataset's images are listed.
        wanted = {"listing": listing, "prompts": sha256_of(paths.prompts)} | (made.model_dump() if made else {})
        outputs = [experiment.reference_list, paths.reference_features(key), paths.reference_statistics(key)]
        if not made or not _says(record, wanted) or not all(path.exists() for path in outputs):
            record.unlink(missing_ok=True)
            ladders.get(name, record).unlink(missing_ok=True)
            write_reference_list(experiment)
            extract_reference_features(experiment, name, batch)
            write_reference_statistics(experiment, name)
            write_json(record, wanted)
        if name in ladders and not ladders[name].exists():
            measure_ladder(experiment, name, batch)


def _tables_and_page(experiment: Experiment) -> None:
    """Tables, figures, gallery and page; nothing where they show the same numbers and images already."""
    paths = experiment.paths
    made_from = [*experiment.fid_files(), *experiment.manifests(), paths.prompts, *experiment.ladders().values()]
    wanted = {
        "config": sha256_of(experiment.config_path),
        "code": _digest(sorted(_PACKAGE.rglob("*.py")) + sorted((_PACKAGE / "report").rglob("*.j2"))),
        "made_from": _digest(made_from),
    }
    record = paths.page.with_suffix(".made.json")
    if _says(record, wanted) and all(path.exists() for path in (paths.page, paths.fid_table, paths.comparison_table)):
        return
    record.unlink(missing_ok=True)
    logger.info("writing tables, figures, gallery and page")
    write_fid_table(experiment)
    write_comparison_table(experiment)
    write_figures(experiment)
    for block in blocks(experiment):
        write_gallery_block(experiment, block)
    write_page(experiment)
    write_json(record, wanted)


def _is_newer(output: Path, inputs: list[Path]) -> bool:
    """As for make: it is there, and none of the inputs was written after it."""
    return output.exists() and all(path.stat().st_mtime_ns <= output.stat().st_mtime_ns for path in inputs)


def _says(record: Path, wanted: dict[str, Any]) -> bool:
    """Whether a record of what something was made of is there, and is this one."""
    try:
        return bool(json.loads(record.read_bytes()) == wanted)
    except FileNotFoundError:
        return False
    except ValueError:
        logger.warning("%s is damaged; it is written again", record)
        return False


def _listing(source: Path) -> str:
    """sha256 over the names, sizes and times of a folder's images, or of an archive."""
    files = [source / name for name in scan_reference_images(source)] if source.is_dir() else [source]
    digest = hashlib.sha256()
    for path in files:
        try:
            stat = path.stat()
        except OSError as error:
            raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
        digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _digest(files: list[Path]) -> str:
    return hashlib.sha256("\n".join(map(sha256_of, files)).encode()).hexdigest()
