"""Validation of the judge before anything is judged: its files, its answers, and that it is none of the models under test."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from emudrift.config.experiment import Experiment
from emudrift.config.following import Following
from emudrift.data.prompt_questions import read_prompt_questions
from emudrift.errors import InputError
from emudrift.generation.command import check_command, command_files
from emudrift.generation.model_files import are_unchanged, digest_of, hash_files, hub_commit, load_model_record
from emudrift.runtime.json_files import load_record, write_json

ENDINGS = {".json", ".safetensors", ".jinja", ".model", ".txt"}
"""Files of a checkpoint that can change an answer."""


class JudgeRecord(BaseModel):
    """What `check_judge` found.

    Attributes:
        digest: sha256 over all files that can change an answer.
        revision: commit of a downloaded judge.
    """

    model_config = ConfigDict(frozen=True)

    judge: str
    digest: str
    files: dict[str, Any]
    revision: str | None


def check_judge(experiment: Experiment) -> JudgeRecord:
    """Validates and hashes the judge's files; does not load its weights.

    Raises:
        InputError: something is missing, weights are not in safetensors, an answer has no token, or the weights are those of a
            model under test.
    """
    following = experiment.following
    judge, folder = following.asked, following.folder()
    asked = [each for file in following.files() for of_one in read_prompt_questions(file).values() for each in of_one]
    if folder is None:
        words = following.settings["answer_command"]
        found = check_command(words, [experiment.path(file) for file in judge.files], experiment.project, "judge")
        return JudgeRecord(judge=judge.label, digest=found["digest"], files=found["files"]["command"], revision=None)
    paths = checkpoint_files(folder)
    if not any(path.suffix == ".safetensors" for path in paths.values()):
        raise InputError(f"judge: {folder}: has no weights (*.safetensors); a whole model is needed, no adapter")
    files = hash_files(paths, weights=True)
    weights = {file["sha256"]: name for name, file in files.items() if name.endswith(".safetensors")}
    for model in experiment.config.models:
        record = load_model_record(experiment.paths.model_record(model.name))
        if shared := weights.keys() & set(_sums(record["files"])):
            raise InputError(
                f"judge: {weights[min(shared)]} of {folder} has the weights of {model.name}, a model under test, which must not "
                "judge its own pictures; choose another judge"
            )
    # Here, since transformers takes seconds to import.
    from emudrift.generation.judging.transformers_judge import load_judge_processor, option_tokens

    tokenizer = load_judge_processor(folder).tokenizer
    for each in sorted({each.options for each in asked}):
        option_tokens(tokenizer, each)
    return JudgeRecord(judge=judge.label, digest=digest_of(files), files=files, revision=hub_commit(folder))


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """The files of a checkpoint by name. Raises InputError where there is no such folder."""
    if not folder.is_dir():
        raise InputError(f"judge: model: there is no folder {folder}")
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix in ENDINGS}


def write_judge_record(experiment: Experiment) -> None:
    write_json(experiment.paths.judge_record, check_judge(experiment).model_dump(mode="json"))


def load_judge_record(experiment: Experiment) -> JudgeRecord:
    return load_record(
        experiment.paths.judge_record, JudgeRecord, "remove it and run again: the judge is checked again"
    )


def refuse_changed_judge(experiment: Experiment, record: JudgeRecord) -> None:
    """Raises InputError if the judge's files are no longer those that `check_judge` recorded."""
    paths = _paths(experiment.following)
    if not are_unchanged(record.files, paths) and digest_of(hash_files(paths)) != record.digest:
        raise InputError(
            f"judge: its files have changed since check_judge validated them. If this is intended, remove "
            f"{experiment.paths.judge_record} and run again: all pictures are then judged anew"
        )


def _paths(following: Following) -> Mapping[str, Path]:
    folder, experiment = following.folder(), following.experiment
    if folder is not None:
        return checkpoint_files(folder)
    files = [experiment.path(file) for file in following.asked.files]
    return command_files(following.settings["answer_command"], files, experiment.project)


def _sums(files: Any) -> Iterable[str]:
    """All sha256 of a model's record, however its files are nested."""
    if isinstance(files, dict):
        if isinstance(files.get("sha256"), str):
            yield files["sha256"]
        for each in files.values():
            yield from _sums(each)
