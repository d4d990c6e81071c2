"""The files of FIDs: one record for each arm and N."""

from emudrift.config.experiment import Experiment
from emudrift.evaluation.fid.fid import fids_of_arm
from emudrift.runtime.json_files import write_json


def write_fids(experiment: Experiment, extractor_name: str, selection_name: str, arm_name: str) -> None:
    """Computes and writes the FIDs of an arm at every N. Raises InputError as `fids_of_arm` does."""
    experiment = experiment.set_of(arm_name)
    selection = experiment.selection(experiment.extractor(extractor_name), selection_name)
    for found in fids_of_arm(experiment, extractor_name, selection, arm_name):
        path = experiment.paths.fid(extractor_name, selection, arm_name, str(found.n))
        write_json(path, found.model_dump(mode="json"))
