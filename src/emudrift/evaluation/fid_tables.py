"""fid.csv and comparison.csv, from the records of all FIDs."""

from emudrift.config.experiment import Experiment
from emudrift.data.prompts import load_prompts
from emudrift.evaluation.fid.comparison import compare, fid_table
from emudrift.evaluation.fid.record import FidRecord, load_records
from emudrift.evaluation.fid.set_differences import set_differences
from emudrift.evaluation.tables import write_table
from emudrift.generation.identical_arms import identical_arms
from emudrift.generation.manifest import load_manifests


def write_fid_table(experiment: Experiment) -> None:
    """All distances in one table. Raises InputError where a record is missing or broken."""
    table = fid_table(_records(experiment), experiment.model_names, experiment.config.note)
    write_table(table, experiment.paths.fid_table)


def write_comparison_table(experiment: Experiment) -> None:
    """Every model against the baseline, paired by prompt. Raises InputError where a record is missing or broken, or arms
    have the same images."""
    records = [record for record in _records(experiment) if experiment.model(record.model).generates]
    identical = identical_arms(experiment, load_manifests(experiment.manifests()))
    table = compare(
        records, experiment.baseline, experiment.model_names, experiment.config.note, experiment.margins, identical
    )
    write_table(table, experiment.paths.comparison_table)
    if len(experiment.sets) > 1:
        degrees = {
            (each.arm, each.extractor, each.reference.selection, each.n): len(each.block_sizes) - 1 for each in records
        }
        between = set_differences(table, degrees, lambda one, other: share_images(experiment, one, other))
        write_table(between, experiment.paths.set_differences)


def share_images(experiment: Experiment, one: str, other: str) -> bool:
    """Whether two sets of prompts have images in common: by number in one captions file, or by name in one folder."""
    views = experiment.sets[one], experiment.sets[other]
    prompts = [load_prompts(view.paths.prompts)[: max(view.config.sample_sizes)] for view in views]
    captions = [view.path(view.config.prompts.captions).resolve() for view in views]
    if captions[0] == captions[1] and set.intersection(*({each.image_id for each in some} for some in prompts)):
        return True
    # Captions of COCO are those of Karpathy's file, too.
    folders = [view.config.prompts.images for view in views]
    files = [
        {view.path(folder).resolve() / each.file_name for each in some if each.file_name}
        if folder is not None
        else set()
        for view, folder, some in zip(views, folders, prompts, strict=True)
    ]
    return bool(files[0] & files[1])


def _records(experiment: Experiment) -> list[FidRecord]:
    records = load_records(experiment.fid_files())
    return [record.model_copy(update={"prompt_set": experiment.arm(record.arm).prompt_set}) for record in records]
