"""Arms whose images are byte-identical: they would be compared with themselves, so the run stops, unless it is a control."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.errors import InputError
from emudrift.generation.manifest import Manifest, load_manifest
from emudrift.generation.model_files import load_model_record

logger = logging.getLogger(__name__)

ENOUGH = 50
"""Images of a shard other than the first from which on two arms are called the same: a few may be equal for a weak adapter."""


def refuse_identical(experiment: Experiment, arm: Arm) -> None:
    """Compares the first shard that an arm and each other one of its set of prompts have both finished.

    Called before and after a shard is generated: of two arms at least the one that ends last finds the other.

    Raises:
        InputError: all their images are the same, and the config does not say that they are.
    """
    experiment = experiment.set_of(arm.name)
    if not experiment.model(arm.model).generates:
        return
    ours = _finished(experiment, arm)
    for other in experiment.generated_arms() if ours else ():
        if other.name == arm.name:
            continue
        common = ours & _finished(experiment, other)
        shards = [
            each for each in experiment.shards() if each.name in common and (not each.start or _size(each) >= ENOUGH)
        ]
        manifests = [(each, _manifest(experiment, each, shards[0])) for each in (arm, other)] if shards else []
        found = [(each, manifest) for each, manifest in manifests if manifest is not None]
        if len(found) == 2 and (not shards[0].start or found[0][1].n_images >= ENOUGH):
            _refuse(experiment, found)


def identical_arms(experiment: Experiment, manifests: Iterable[Manifest]) -> set[frozenset[str]]:
    """The pairs of arms, by name, all of whose images are the same: the controls of a config.

    Args:
        manifests: of all shards.

    Raises:
        InputError: as `refuse_identical`.
    """
    of_arm = _by_arm(manifests)
    arms = [arm for arm in experiment.generated_arms() if 0 in of_arm.get(arm.name, {})]
    found = set()
    for one, other in combinations(arms, 2):
        if one.prompt_set != other.prompt_set:
            continue
        _refuse(experiment, [(each, of_arm[each.name][0]) for each in (one, other)])
        if _images(of_arm[one.name]) == _images(of_arm[other.name]):
            found.add(frozenset((one.name, other.name)))
    return found


def failed_controls(experiment: Experiment, manifests: Iterable[Manifest]) -> list[tuple[Arm, str, int]]:
    """Arms that the config calls controls and that are none.

    Returns:
        Each with the name of the model that it was to equal, and the number of its images that differ from those of the model's
        arm at the same guidance scale.
    """
    of_arm, arms, found = _by_arm(manifests), experiment.generated_arms(), []
    for arm in arms:
        named = experiment.model(arm.model).identical_to
        for other in arms if named is not None else ():
            alike = (other.prompt_set, other.guidance_scale) == (arm.prompt_set, arm.guidance_scale)
            if alike and named in (other.model, other.family):
                ours, theirs = (_images(of_arm.get(each.name, {})) for each in (arm, other))
                if count := sum(ours[prompt] != theirs.get(prompt) for prompt in ours):
                    found.append((arm, other.model, count))
    return found


def _by_arm(manifests: Iterable[Manifest]) -> dict[str, dict[int, Manifest]]:
    """Manifests by arm and first row."""
    found: dict[str, dict[int, Manifest]] = {}
    for manifest in manifests:
        found.setdefault(manifest.arm, {})[manifest.rows[0]] = manifest
    return found


def _images(manifests: Mapping[int, Manifest]) -> dict[str, str]:
    """sha256 of every image of an arm, by prompt_id."""
    return {prompt: sha256 for manifest in manifests.values() for prompt, sha256 in manifest.sha256.items()}


def _refuse(experiment: Experiment, pair: Sequence[tuple[Arm, Manifest]]) -> None:
    """Raises InputError where two arms have the same images in a shard, and the config does not call one of them a control."""
    (one, ours), (other, theirs) = sorted(pair, key=lambda each: _place(experiment, each[0]))
    if ours.sha256 != theirs.sha256 or _is_control(experiment, one, other):
        return
    hint = (
        "" if one.model == other.model else f", or say identical_to: {one.family} for {other.family} if it is a control"
    )
    first, stop = ours.rows
    which = f"images of rows {first:,} to {stop:,}" if first else f"first {stop:,} images"
    raise InputError(
        f"{one.label} and {other.label}: the {which} of both are byte-identical, so comparing them "
        f"would say nothing: {_reason(experiment, one, other)}. Correct it{hint}"
    )


def _is_control(experiment: Experiment, one: Arm, other: Arm) -> bool:
    """Whether two arms may be the same: an adapter at strength 0, or `identical_to` of either names what both are."""
    if one.model == other.model:
        return False
    named = [experiment.model(arm.model).identical_to for arm in (one, other)]
    same = {one.model, one.family, named[0]} & {other.model, other.family, named[1]} - {None}
    return bool(same and any(named)) or 0 in (one.adapter_scale, other.adapter_scale)


def _reason(experiment: Experiment, one: Arm, other: Arm) -> str:
    """What is likely to be wrong."""
    if one.model == other.model:
        return f"{one.model} ignores its guidance scale"
    kinds = {experiment.model(arm.model).kind for arm in (one, other)}
    trained = [arm for arm in (other, one) if arm.adapter_scale is not None]
    if one.family == other.family:
        return f"the strength, or the checkpoint, of the adapter of {one.family} changes nothing"
    if trained:
        return f"the adapter of {trained[0].model} was never applied, or changes nothing"
    if kinds == {"folder"}:
        return "both take the same files"
    return "both are the same model with the same settings, under two names"


def _place(experiment: Experiment, arm: Arm) -> int:
    """The baseline first, then the order of the config."""
    return -1 if arm.model == experiment.baseline else experiment.model_names.index(arm.model)


def _finished(experiment: Experiment, arm: Arm) -> set[str]:
    """The rows of an arm's finished shards.

    By the copies that no rule declares: Snakemake deletes the others of jobs that failed.
    """
    return {path.stem for path in experiment.paths.kept_manifest(arm.name, "any").parent.glob("[0-9]*.json")}


def _size(shard: RowRange) -> int:
    return shard.stop - shard.start


def _manifest(experiment: Experiment, arm: Arm, shard: RowRange) -> Manifest | None:
    """The manifest of a finished shard; None if it is of other files than its model has now, or just being written again."""
    record = experiment.paths.model_record(experiment.record_name(arm.model))
    try:
        found = load_manifest(experiment.paths.kept_manifest(arm.name, shard.name))
        return found if found.model_digest == load_model_record(record)["digest"] else None
    except (
        InputError
    ) as error:  # Another arm's fault is no fault of this one, and the tables look at all of them again.
        logger.info("%s", error)
        return None
