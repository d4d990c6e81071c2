"""Provenance: how the results were produced, from the manifests of the shards."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.evaluation.tables import of_set
from emudrift.features.image_sizes import sizes_differ
from emudrift.generation.attempts import FINISHED
from emudrift.generation.identical_arms import failed_controls
from emudrift.generation.manifest import Manifest, cut_words
from emudrift.report.elements.blocks import Cell, Table, label_in_set
from emudrift.report.elements.wording import Grave, listing
from emudrift.runtime.terminal import duration

ATTEMPTS = 50
"""Rows of the table of attempts, at most."""


def run_tables(
    experiment: Experiment, arms: Sequence[Arm], shards: dict[str, list[Manifest]], fid: pd.DataFrame
) -> list[Table]:
    """All tables of the section, in the order of the page.

    Args:
        shards: the manifests of each arm, by its name.
        fid: fid.csv.
    """
    return [
        _models_table(experiment, shards),
        _arms_table(arms, shards),
        _attempts_table(arms, shards),
        *_settings_tables([_as_generated(arm, shards[arm.name]) for arm in arms]),
        _extractors_table(experiment, fid),
        _versions_table([manifest for arm in arms for manifest in shards[arm.name]]),
    ]


def caveats_of_run(
    experiment: Experiment, arms: Sequence[Arm], shards: dict[str, list[Manifest]], sizes: Mapping[str, str]
) -> list[str]:
    """What a reader must know about how the images were generated, in sentences."""
    off: dict[str, list[str]] = {}
    for arm in arms:
        if text := experiment.model(arm.model).caveat(arm.settings):
            off.setdefault(text, []).append(arm.model)
    said = [text.format(models=listing(dict.fromkeys(models))) for text, models in off.items()]
    said += [
        Grave(
            f"{model} decodes its tokens with another VQ than {experiment.baseline}: part of the difference may come from the "
            f"VQ. Set “vq: {experiment.baseline}” for this model to decode both with the same one."
        )
        for model in other_vqs(experiment, shards)
    ]
    said += [
        Grave(
            f"{label_in_set(arm)} is no control: the config says that it is identical to {other}, but {count:,} of its images "
            "differ from those; it is compared like every model."
        )
        for arm, other, count in failed_controls(experiment, [m for each in shards.values() for m in each])
    ]
    said += [f"{differ[0].upper()}{differ[1:]}." for differ in [sizes_differ(sizes)] if differ]
    for arm in arms:
        flagged = sum(len(manifest.flagged) for manifest in shards[arm.name])
        if flagged:
            said.append(
                Grave(
                    f"{label_in_set(arm)}: its safety checker replaced {flagged:,} images by black ones (listed as “flagged” in "
                    "the manifests); they count as generated and increase its FID."
                )
            )
        cut: Counter[str] = Counter()
        for manifest in shards[arm.name]:
            cut.update(manifest.captions_cut)
        if cut:
            said.append(f"{label_in_set(arm)}: {cut_words(cut, sum(m.n_images for m in shards[arm.name]))}.")
        warned = dict.fromkeys(text for manifest in shards[arm.name] for text in manifest.warnings)
        said += [
            f"{label_in_set(arm)}: a library warned that images may not be as asked for. {text}" for text in warned
        ]
        forced = sum(manifest.forced for manifest in shards[arm.name])
        if forced:
            said.append(
                f"{label_in_set(arm)}: memory ran out, and {forced:,} images were generated in smaller batches than the rest. In "
                "16 bit this changes rounding: the images are equally good, but another run would not reproduce them exactly."
            )
    return said


def replaced_images(manifests: Iterable[Manifest]) -> Counter[str]:
    """How many images of each arm a safety checker replaced by black ones."""
    found: Counter[str] = Counter()
    for manifest in manifests:
        found[manifest.arm] += len(manifest.flagged)
    return +found


def experiment_facts(experiment: Experiment, fid: pd.DataFrame, manifests: Sequence[Manifest]) -> list[tuple[str, str]]:
    """Facts about the experiment as a whole, with their names. Times are those of the manifests."""
    config = experiment.config
    return [
        *(fact for view in experiment.sets.values() for fact in _facts_of_set(view)),
        (
            "Order and random numbers",
            f"from seed {config.seed}; each image has a separate random number generator",
        ),
        *(fact for view in experiment.sets.values() for fact in _sizes_of_set(view, fid)),
        ("Baseline", experiment.baseline),
        *_work(manifests),
    ]


def _facts_of_set(view: Experiment) -> list[tuple[str, str]]:
    source = view.config.prompts
    return [(_named("Prompts", view), f"{source.captions} ({source.source}), {source.caption} caption of each image")]


def _sizes_of_set(view: Experiment, fid: pd.DataFrame) -> list[tuple[str, str]]:
    chosen = {"full": "all of them", "same": "only the N images whose captions were used"}
    ours = of_set(fid, view.prompt_set)
    pairs = ours[["reference", "reference_selection"]].drop_duplicates().itertuples(index=False)
    references = [f"{images}: {chosen[selection]}" for images, selection in pairs]
    return [
        (_named("N", view), ", ".join(f"{n:,}" for n in sorted(view.config.sample_sizes))),
        (_named("Reference", view), "; ".join(references)),
    ]


def _named(fact: str, view: Experiment) -> str:
    return f"{fact}, {view.prompt_set}" if view.prompt_set else fact


def _work(manifests: Sequence[Manifest]) -> list[tuple[str, str]]:
    attempts = [attempt for manifest in manifests for attempt in manifest.attempts]
    if not attempts:
        return []
    on_gpu = [attempt.seconds for attempt in attempts if attempt.device and not attempt.device.startswith("cpu")]
    on_cpu = [attempt.seconds for attempt in attempts if not attempt.device or attempt.device.startswith("cpu")]
    hours = [f"{sum(on_gpu) / 3600:,.2f} GPU-hours"] if on_gpu else []
    hours += [f"{sum(on_cpu) / 3600:,.2f} hours of CPU jobs"] if on_cpu else []
    extra = len(attempts) - len(manifests)
    again = f", {extra:,} of them repeated after an interrupted one" if extra > 0 else ""
    return [
        ("Images generated", f"{_clock(min(a.start for a in attempts))} to {_clock(max(a.end for a in attempts))} UTC"),
        ("Work", f"{' and '.join(hours)} for {sum(manifest.n_images for manifest in manifests):,} images"),
        ("Attempts", f"{len(attempts):,} for {len(manifests):,} shards{again}"),
    ]


def _models_table(experiment: Experiment, shards: dict[str, list[Manifest]]) -> Table:
    rows = []
    for model in experiment.config.models:
        ours = [m for arm in experiment.arms() if arm.model == model.name for m in shards[arm.name]]
        roles = sorted({role for manifest in ours for role in manifest.revisions})
        found = {role: _values(m.revisions.get(role) for m in ours) for role in roles}
        revisions = "; ".join(f"{role} {revision}" for role, revision in found.items()) or "none recorded"
        rows.append([Cell(model.name), Cell(model.kind), *map(Cell, model.weights_words()), Cell(revisions)])
    return Table("Models", ["model", "generator", "checkpoint or images", "adapter", "resolved revisions"], rows)


def _arms_table(arms: Sequence[Arm], shards: dict[str, list[Manifest]]) -> Table:
    rows = []
    for arm in arms:
        ours = shards[arm.name]
        hours = [m.n_images / m.images_per_hour for m in ours if m.images_per_hour > 0]
        counted = sum(m.n_images for m in ours if m.images_per_hour > 0)
        attempts = sum(len(m.attempts) for m in ours)
        seconds = sum(attempt.seconds for m in ours for attempt in m.attempts)
        cells = [
            label_in_set(arm),
            arm.fingerprint,
            f"{sum(m.n_images for m in ours):,} in {len(ours):,}"
            + (f"; {black:,} black (safety checker)" if (black := sum(len(m.flagged) for m in ours)) else ""),
            _values(device for m in ours for device in m.devices) or "none",
            duration(seconds),
            f"{counted / sum(hours):,.0f}" if hours else "–",
            f"{attempts:,}" + (f" ({attempts - len(ours):,} repeated)" if attempts > len(ours) else ""),
            _batch_sizes(ours),
        ]
        rows.append([Cell(text, style="code" if text == arm.fingerprint else "") for text in cells])
        rows[-1][4] = Cell(cells[4], value=seconds)
    head = ["arm", "fingerprint", "images in shards", "device", "time", "images per hour", "attempts", "batch size"]
    return Table("Arms", head, rows)


def _attempts_table(arms: Sequence[Arm], shards: dict[str, list[Manifest]]) -> Table:
    """One row per attempt; if there are too many, only those that did not finish, with a note that says where the rest is."""
    lines = [
        (f"{label_in_set(arm)}, rows {manifest.rows[0]:,} to {manifest.rows[1]:,}", nth, attempt)
        for arm in arms
        for manifest in shards[arm.name]
        for nth, attempt in enumerate(manifest.attempts, start=1)
    ]
    ends = Counter(attempt.reason.partition(":")[0] for _, _, attempt in lines)
    note = f"{len(lines):,} attempts at {sum(map(len, shards.values())):,} shards. Outcomes: "
    note += ", ".join(f"{end} {count:,}" for end, count in ends.most_common()) + "."
    shown = lines if len(lines) <= ATTEMPTS else [line for line in lines if line[2].reason != FINISHED][:ATTEMPTS]
    if len(shown) < len(lines):
        unfinished = len(lines) - ends[FINISHED]
        what = (
            "those that did not finish"
            if len(shown) == unfinished
            else f"the first of {unfinished:,} that did not finish"
        )
        note += f" Listed: {what}; images/<arm>/<rows>.attempts.jsonl next to each shard has a line for every attempt."
    rows = [
        [
            Cell(text)
            for text in (
                shard,
                f"{nth}",
                attempt.job or "–",
                attempt.node,
                attempt.device or "–",
                _clock(attempt.start),
                _clock(attempt.end),
                f"{attempt.images:,}",
                attempt.reason,
            )
        ]
        for shard, nth, attempt in shown
    ]
    head = ["shard", "attempt", "job", "node", "device", "start (UTC)", "end (UTC)", "images", "outcome"]
    return Table("Attempts", head, rows, note=note)


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _batch_sizes(manifests: Sequence[Manifest]) -> str:
    """Effective batch sizes, the most frequent first."""
    counts: Counter[int] = Counter()
    for manifest in manifests:
        counts.update(manifest.drawn_together)
    if not counts:
        return "–"
    (usual, _), *others = counts.most_common()
    return "; ".join([f"{usual}", *(f"{size} for {count:,} images" for size, count in others)])


def other_vqs(experiment: Experiment, shards: dict[str, list[Manifest]]) -> list[str]:
    """Models whose tokens were decoded by another VQ than the baseline's."""
    found = {
        arm.model: {m.vq for m in shards[arm.name] if m.vq is not None} for arm in experiment.arms() if shards[arm.name]
    }
    ours = found.get(experiment.baseline, set())
    return [model for model, vqs in found.items() if ours and vqs - ours]


def _as_generated(arm: Arm, manifests: Sequence[Manifest]) -> Arm:
    """The arm with the attention that auto chose."""
    if arm.settings.get("attention") != "auto" or not manifests:
        return arm
    return replace(arm, settings=arm.settings | {"attention": f"auto: {_values(m.attention_used for m in manifests)}"})


def _settings_tables(arms: Sequence[Arm]) -> list[Table]:
    """Shared settings, and those that differ between arms."""
    keys = list(dict.fromkeys(key for arm in arms for key in arm.settings))
    texts = {key: [_setting(arm.settings[key]) if key in arm.settings else "–" for arm in arms] for key in keys}
    # Arms of other generators lack most settings; that alone is not a difference worth a column.
    known = {key: list(dict.fromkeys(_setting(a.settings[key]) for a in arms if key in a.settings)) for key in keys}
    shared = [[Cell(key), Cell(values[0])] for key, values in known.items() if len(values) == 1]
    differing = {key: texts[key] for key, values in known.items() if len(values) > 1}
    tables = [Table("Shared settings", ["setting", "value"], shared)] if shared else []
    if differing:
        rows = [[Cell(label_in_set(arm)), *(Cell(v[i]) for v in differing.values())] for i, arm in enumerate(arms)]
        tables.append(Table("Settings that differ between arms", ["arm", *differing], rows))
    return tables


def _extractors_table(experiment: Experiment, fid: pd.DataFrame) -> Table:
    rows = []
    for extractor in experiment.config.extractors:
        name = experiment.extractor_name(extractor)
        table = fid[fid["extractor"] == name]
        counts = [f"{n:,}" for n in sorted(set(table["reference_n"].dropna()))]
        references = [
            "" if table.empty else f"{_values(table['reference'])}: {_values(table['reference_selection'])}",
            f"{counts[0]} to {counts[-1]} images" if len(counts) > 1 else f"{counts[0]} images" if counts else "",
            f"key {_values(table['reference_key'])}" if table["reference_key"].nunique() == 1 else "",
        ]
        seen = extractor.preprocessing_words().items()
        preprocessing = "; ".join(f"{key} {_setting(value)}" for key, value in seen) or "–"
        weights = extractor.weights_details(experiment)
        cells = [name, weights, f"{extractor.dims:,}", preprocessing, experiment.config.device]
        rows.append([*(Cell(str(cell)) for cell in cells), Cell(", ".join(filter(None, references)))])
    head = ["extractor", "weights", "dimensions", "preprocessing", "device", "reference"]
    return Table("Feature extractors and their reference", head, rows)


def _versions_table(manifests: Sequence[Manifest]) -> Table:
    packages = sorted({package for manifest in manifests for package in manifest.versions})
    rows = [[Cell(p), Cell(_values(m.versions.get(p, "none") for m in manifests))] for p in packages]
    return Table("Versions", ["package", "version"], rows)


def _values(values: Iterable[Any]) -> str:
    """Distinct values, in order of appearance."""
    return ", ".join(dict.fromkeys("unknown" if value is None else str(value) for value in values))


def _setting(value: Any) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_setting(each)}" for key, each in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, str):
        return value if value.strip() == value and value else f"“{value}”"
    return f"{value:g}" if isinstance(value, float) else str(value)
