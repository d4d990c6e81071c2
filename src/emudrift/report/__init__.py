"""The page, one self-contained HTML file: the answer in words, figures, images, tables and what was run."""

import base64
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from PIL import Image
from pydantic import BaseModel, ConfigDict

from emudrift.comparison import rows_of
from emudrift.config import AnyModel, Checkpoint, Emu3Model
from emudrift.errors import InputError
from emudrift.experiment import Arm, Experiment
from emudrift.figures import comparison_caption, fid_caption
from emudrift.grid import GridRow, side_by_side
from emudrift.records import load_record
from emudrift.report.verdict import decimals, interval_text, number, verdict

# Pixels of the longer side of a thumbnail: twice what the page shows, for dense screens.
THUMBNAIL = 320


class Manifest(BaseModel):
    """What generate_shard wrote beside an archive, as far as the page shows it."""

    model_config = ConfigDict(frozen=True)

    arm: str
    rows: tuple[int, int]
    n_images: int
    fingerprint: str
    settings: dict[str, Any]
    revisions: dict[str, str | None]
    versions: dict[str, str]
    device: str
    seconds: float
    attempts: int
    images_per_hour: float
    batch_size: int | None
    drawn_together: dict[int, int]
    vq: str | None

    @property
    def forced(self) -> int:
        """Images that were drawn with fewer neighbours than their arm fixed, because memory ran out."""
        return sum(count for size, count in self.drawn_together.items() if self.batch_size not in (None, size))


def load_manifests(paths: Iterable[str | Path]) -> list[Manifest]:
    """Reads the manifests of shards. Raises InputError, naming file and key, for a file that is none."""
    return [load_record(path, Manifest, "remove it with its archive and run again") for path in paths]


@dataclass(frozen=True)
class _Cell:
    """A cell of a table: what it says, in small what belongs to it, and the class that styles it."""

    text: str
    small: str = ""
    style: str = ""


@dataclass(frozen=True)
class _Table:
    """A table of the page; the first cell of a row is its heading."""

    title: str
    head: list[str]
    rows: list[list[_Cell]]


def build_report(
    experiment: Experiment,
    fid: pd.DataFrame,
    comparison: pd.DataFrame,
    manifests: Sequence[Manifest],
    grid: Sequence[GridRow],
    fid_svg: bytes,
    comparison_svg: bytes,
) -> str:
    """The page as HTML that needs no other file and no network. Equal inputs give equal text.

    Args:
        fid: fid.csv.
        comparison: comparison.csv.
        manifests: of all shards of all arms.
        grid: prompts to show; the images of each in the order of `grid.side_by_side(experiment.arms())`.
        fid_svg: by `figures.fid_curve`.
        comparison_svg: by `figures.comparison_figure`.

    Raises:
        InputError: an arm has no manifest, or fid.csv has arms that the config has not.
    """
    arms = side_by_side(experiment.arms())
    shards = {arm.name: [m for m in manifests if m.arm == arm.name] for arm in arms}
    strangers = sorted(set(fid["arm"]) - set(shards))
    if strangers:
        raise InputError(f"fid.csv has arms that the config has not: {', '.join(strangers)}; run the workflow again")
    for arm in arms:
        if not shards[arm.name]:
            raise InputError(f"arm {arm.name} has no manifest: run its shards before the report")
    answer = verdict(comparison, fid, experiment.baseline)
    random = sorted(set(fid.loc[fid["weights"] == "random", "extractor"]))
    config = experiment.config
    template = files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        title=config.name,
        question=_question(experiment),
        note=config.note,
        random=random,
        only_random=bool((fid["weights"] == "random").all()),
        verdict=answer,
        fid_figure=_data_uri(fid_svg, "image/svg+xml"),
        fid_caption=fid_caption(fid),
        comparison_figure=None if comparison.empty else _data_uri(comparison_svg, "image/svg+xml"),
        comparison_caption=comparison_caption(comparison),
        labels=["real image", *map(_label, arms)],
        grid=[_grid_row(row) for row in grid],
        fid_tables=_fid_tables(fid, arms),
        comparison_tables=_comparison_tables(comparison),
        off_distribution=[arm.model for arm in _off_distribution(arms)],
        baseline=experiment.baseline,
        other_vqs=_other_vqs(experiment, shards),
        forced=[
            (_label(arm), sum(m.forced for m in shards[arm.name]))
            for arm in arms
            if any(m.forced for m in shards[arm.name])
        ],
        experiment_facts=_experiment_facts(experiment, fid),
        run_tables=[
            _models_table(experiment, shards),
            _arms_table(arms, shards),
            *_settings_tables(arms),
            _extractors_table(experiment, fid),
            _versions_table(manifests),
        ],
    )


def _question(experiment: Experiment) -> str:
    others = [name for name in experiment.model_names if name != experiment.baseline]
    if not others:
        return f"FID of {experiment.baseline}"
    return f"{', '.join(others)} against {experiment.baseline}"


def _label(arm: Arm) -> str:
    """`base, guidance 3`, whose last two words stay on one line."""
    return arm.label.replace("guidance ", "guidance\N{NO-BREAK SPACE}")


# --- images ---


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _grid_row(row: GridRow) -> dict[str, Any]:
    images = [None if image is None else _thumbnail(image) for image in (row.real, *row.images)]
    return {"prompt_id": row.prompt_id, "caption": row.caption, "images": images}


def _thumbnail(image: Image.Image) -> dict[str, Any]:
    """A small copy: lossless where the image itself is small, since JPEG would add faults of its own."""
    small = image.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if max(image.size) <= 128:
        small.save(buffer, format="PNG", optimize=True)
        kind = "image/png"
    else:
        small.save(buffer, format="JPEG", quality=88)
        kind = "image/jpeg"
    return {"source": _data_uri(buffer.getvalue(), kind), "width": small.width, "height": small.height}


# --- tables of results ---


def _fid_tables(fid: pd.DataFrame, arms: Sequence[Arm]) -> list[_Table]:
    """One table per extractor: a row per N, a column per arm."""
    tables = []
    labels = {arm.name: _label(arm) for arm in arms}
    for extractor, table in fid.groupby("extractor", sort=False):
        present = set(table["arm"])
        names = [name for name in labels if name in present]
        places = decimals(float((table["high"] - table["low"]).median()))
        cells = {(row.n, row.arm): _fid_cell(row, places) for row in rows_of(table)}
        rows = [
            [_Cell(f"{n:,}"), *(cells.get((n, name), _Cell("–")) for name in names)]
            for n in sorted(table["n"].unique())
        ]
        tables.append(_Table(_extractor_title(str(extractor), table), ["N", *(labels[name] for name in names)], rows))
    return tables


def _fid_cell(row: Any, places: int) -> _Cell:
    corrected, low, high = (number(value, places) for value in (row.fid_jackknife, row.low, row.high))
    return _Cell(number(row.fid, places), f"{corrected} [{low} to {high}]", "" if row.reliable else "unreliable")


def _comparison_tables(comparison: pd.DataFrame) -> list[_Table]:
    """One table per extractor: a row per N, a column per model and guidance scale."""
    tables = []
    for extractor, table in comparison.groupby("extractor", sort=False):
        cells, heads = {}, {}
        for row in rows_of(table):
            key = (row.baseline_arm, row.arm)
            scale = "" if pd.isna(row.guidance_scale) else f", guidance\N{NO-BREAK SPACE}{row.guidance_scale:g}"
            heads[key] = f"{row.model} − {row.baseline}{scale}"
            cells[row.n, key] = _difference_cell(row)
        rows = [[_Cell(f"{n:,}"), *(cells[n, key] for key in heads)] for n in sorted(table["n"].unique())]
        tables.append(_Table(_extractor_title(str(extractor), table), ["N", *heads.values()], rows))
    return tables


def _difference_cell(row: Any) -> _Cell:
    difference, interval = interval_text(row)
    plain = number(row.difference, decimals(row.high - row.low), signed=True)
    style = row.finding.split()[0] + ("" if row.reliable else " unreliable")
    return _Cell(f"{difference} [{interval}]", f"{row.finding}; plain {plain}", style)


def _extractor_title(extractor: str, table: pd.DataFrame) -> str:
    return f"{extractor} (random weights)" if (table["weights"] == "random").any() else extractor


# --- what was run ---


def _experiment_facts(experiment: Experiment, fid: pd.DataFrame) -> list[tuple[str, str]]:
    config = experiment.config
    chosen = {"full": "all of them", "same": "only the N images whose captions were used"}
    pairs = fid[["reference", "reference_selection"]].drop_duplicates().itertuples(index=False)
    references = [f"{images}: {chosen[selection]}" for images, selection in pairs]
    source = config.prompts
    return [
        ("Prompts", f"{source.captions} ({source.source}), {source.caption} caption of each image"),
        (
            "Order and random numbers",
            f"drawn from seed {config.seed}; each image has a random number generator of its own",
        ),
        ("N", ", ".join(f"{n:,}" for n in sorted(config.sample_sizes))),
        ("Reference", "; ".join(references)),
        ("Baseline", experiment.baseline),
    ]


def _models_table(experiment: Experiment, shards: dict[str, list[Manifest]]) -> _Table:
    rows = []
    for model in experiment.config.models:
        ours = [m for arm in experiment.arms() if arm.model == model.name for m in shards[arm.name]]
        roles = sorted({role for manifest in ours for role in manifest.revisions})
        found = {role: _values(m.revisions.get(role) for m in ours) for role in roles}
        revisions = "; ".join(f"{role} {revision}" for role, revision in found.items()) or "none recorded"
        rows.append([_Cell(model.name), _Cell(model.generator), *map(_Cell, _weights(model)), _Cell(revisions)])
    return _Table("Models", ["model", "generator", "checkpoint or images", "adapter", "resolved revisions"], rows)


def _weights(model: AnyModel) -> tuple[str, str]:
    if not isinstance(model, Emu3Model):
        return model.images, "–"
    return _checkpoint(model.checkpoint), "–" if model.adapter is None else _checkpoint(model.adapter)


def _checkpoint(checkpoint: Checkpoint) -> str:
    return str(checkpoint.path) if checkpoint.hub is None else f"{checkpoint.hub} at {checkpoint.revision}"


def _arms_table(arms: Sequence[Arm], shards: dict[str, list[Manifest]]) -> _Table:
    rows = []
    for arm in arms:
        ours = shards[arm.name]
        hours = [m.n_images / m.images_per_hour for m in ours if m.images_per_hour > 0]
        counted = sum(m.n_images for m in ours if m.images_per_hour > 0)
        attempts = sum(m.attempts for m in ours)
        cells = [
            _label(arm),
            arm.fingerprint,
            f"{sum(m.n_images for m in ours):,} in {len(ours):,}",
            _values(m.device for m in ours),
            _duration(sum(m.seconds for m in ours)),
            f"{counted / sum(hours):,.0f}" if hours else "–",
            f"{attempts:,}" + (f" ({attempts - len(ours):,} repeated)" if attempts > len(ours) else ""),
            _batch_sizes(ours),
        ]
        rows.append([_Cell(text, style="code" if text == arm.fingerprint else "") for text in cells])
    head = ["arm", "fingerprint", "images in shards", "device", "time", "images per hour", "attempts", "batch size"]
    return _Table("Arms", head, rows)


def _batch_sizes(manifests: Sequence[Manifest]) -> str:
    """How many images were drawn together, the usual number first."""
    counts: Counter[int] = Counter()
    for manifest in manifests:
        counts.update(manifest.drawn_together)
    if not counts:
        return "–"
    (usual, _), *others = counts.most_common()
    return "; ".join([f"{usual}", *(f"{size} for {count:,} images" for size, count in others)])


def _other_vqs(experiment: Experiment, shards: dict[str, list[Manifest]]) -> list[str]:
    """Models whose tokens another VQ turned into pixels than the baseline's."""
    found = {
        arm.model: {m.vq for m in shards[arm.name] if m.vq is not None} for arm in experiment.arms() if shards[arm.name]
    }
    ours = found.get(experiment.baseline, set())
    return [model for model, vqs in found.items() if ours and vqs - ours]


def _settings_tables(arms: Sequence[Arm]) -> list[_Table]:
    """The settings that all arms share, and those in which they differ."""
    keys = list(dict.fromkeys(key for arm in arms for key in arm.settings))
    texts = {key: [_setting(arm.settings[key]) if key in arm.settings else "–" for arm in arms] for key in keys}
    shared = [[_Cell(key), _Cell(values[0])] for key, values in texts.items() if len(set(values)) == 1]
    differing = {key: values for key, values in texts.items() if len(set(values)) > 1}
    tables = [_Table("Settings of all arms", ["setting", "value"], shared)] if shared else []
    if differing:
        rows = [[_Cell(_label(arm)), *(_Cell(v[i]) for v in differing.values())] for i, arm in enumerate(arms)]
        tables.append(_Table("Settings in which arms differ", ["arm", *differing], rows))
    return tables


def _extractors_table(experiment: Experiment, fid: pd.DataFrame) -> _Table:
    rows = []
    for extractor in experiment.config.extractors:
        name = experiment.extractor_name(extractor)
        settings = experiment.extractor_settings(extractor)
        table = fid[fid["extractor"] == name]
        counts = [f"{n:,}" for n in sorted(set(table["reference_n"].dropna()))]
        references = [
            f"{_values(table['reference'])}: {_values(table['reference_selection'])}",
            f"{counts[0]} to {counts[-1]} images" if len(counts) > 1 else f"{counts[0]} images" if counts else "",
            f"key {_values(table['reference_key'])}" if table["reference_key"].nunique() == 1 else "",
        ]
        weights = f"random, seed {settings['seed']}" if "seed" in settings else f"sha256 {settings['sha256']}"
        preprocessing = "; ".join(f"{key} {_setting(value)}" for key, value in settings["preprocessing"].items())
        cells = [name, weights, f"{settings['dims']:,}", preprocessing, settings["device"]]
        rows.append([*(_Cell(str(cell)) for cell in cells), _Cell(", ".join(filter(None, references)))])
    head = ["extractor", "weights", "dimensions", "preprocessing", "device", "reference"]
    return _Table("Extractors and their reference", head, rows)


def _versions_table(manifests: Sequence[Manifest]) -> _Table:
    packages = sorted({package for manifest in manifests for package in manifest.versions})
    rows = [[_Cell(p), _Cell(_values(m.versions.get(p, "none") for m in manifests))] for p in packages]
    return _Table("Versions", ["package", "version"], rows)


def _off_distribution(arms: Sequence[Arm]) -> list[Arm]:
    """Arms of Emu3 at 512 x 512: it was trained at areas near 720 x 720."""
    found = {
        arm.model: arm
        for arm in arms
        if arm.settings.get("generator") == "emu3" and (arm.settings["width"], arm.settings["height"]) == (512, 512)
    }
    return list(found.values())


def _values(values: Iterable[Any]) -> str:
    """All different values, in order of appearance."""
    return ", ".join(dict.fromkeys("unknown" if value is None else str(value) for value in values))


def _setting(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return value if value.strip() == value and value else f"“{value}”"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = round(seconds / 60), round(seconds / 60) // 60
    return f"{hours:,} h {minutes % 60} min" if hours else f"{minutes} min"
