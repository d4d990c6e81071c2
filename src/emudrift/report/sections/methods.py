"""The methods paragraph, ready to paste: what was done, from the settings and the results, with what it cites."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from emudrift.config.experiment import Experiment
from emudrift.config.extractors import AnyExtractor, Clip, Dinov2, Inception
from emudrift.config.models import Emu3Model, FolderModel, TokenizerModel
from emudrift.report.elements.wording import listing
from emudrift.report.sections.citations import CITATIONS
from emudrift.report.sections.provenance import Manifest

_SOFTWARE = ("torch", "transformers", "peft", "diffusers", "numpy", "pillow")


@dataclass(frozen=True)
class Methods:
    """`paragraphs`: plain text, citations in round brackets. `bibtex`: the entries of all that is cited, in that order."""

    paragraphs: list[str]
    bibtex: str

    @property
    def text(self) -> str:
        return "\n\n".join(self.paragraphs)


def methods(
    experiment: Experiment,
    fid: pd.DataFrame,
    comparison: pd.DataFrame,
    metrics: pd.DataFrame | None,
    manifests: Sequence[Manifest],
) -> Methods:
    """What a paper would say about an experiment. Every sentence is true of its settings, or left out.

    Args:
        fid, comparison, metrics: fid.csv, comparison.csv and, where there are metrics beyond FID, metrics.csv.
        manifests: of all shards.
    """
    paragraphs = [
        " ".join(filter(None, [_prompts(experiment), _models(experiment), _generation(experiment)])),
        " ".join(filter(None, [_distance(experiment, fid), _uncertainty(fid, comparison)])),
        "" if metrics is None else _metrics(metrics),
        _software(manifests),
    ]
    said = [paragraph for paragraph in paragraphs if paragraph]
    whole = "\n".join(said)
    cited = sorted((key for key in CITATIONS if key in whole), key=whole.index)
    return Methods(said, "\n\n".join(CITATIONS[key] for key in cited))


def _prompts(experiment: Experiment) -> str:
    config, source = experiment.config, experiment.config.prompts
    sizes = sorted(config.sample_sizes)
    lin = "MSCOCO (Lin et al., 2014;"
    what = {"coco": f"captions in the format of {lin}", "karpathy": f"captions of {lin}"}.get(
        source.source, "captions (of"
    )
    splits = f", split {listing(source.splits)}" if source.splits else ""
    smaller = f", and for the nested subsets of the first {listing(f'{n:,}' for n in sizes[:-1])}" if sizes[1:] else ""
    return (
        f"Prompts were {what} {source.captions}{splits}), the {source.caption} caption of each image, in a random order drawn "
        f"once (seed {config.seed}). Every model has one image for each of the same {sizes[-1]:,} prompts; results are given "
        f"for all of them{smaller}."
    )


def _models(experiment: Experiment) -> str:
    said = []
    for model in experiment.config.models:
        if isinstance(model, Emu3Model):
            checkpoint = _name(experiment, model.checkpoint)
            adapter = (
                "" if model.adapter is None else f", with the adapter {_name(experiment, model.adapter)} merged into it"
            )
            vq = "" if model.vq is None else f", its tokens decoded by the VQ of {model.vq}"
            said.append(f"{model.name} is Emu3 (Wang et al., 2024), checkpoint {checkpoint}{adapter}{vq}")
        elif isinstance(model, TokenizerModel):
            said.append(f"{model.name} is the dataset's own images, encoded and decoded by the VQ of {model.of}")
        elif isinstance(model, FolderModel):
            said.append(f"{model.name} is a set of images that existed before")
        else:
            said.append(f"{model.name} is drawn by {model.generator}")
    return f"Models: {'; '.join(said)}."


def _generation(experiment: Experiment) -> str:
    config = experiment.config
    if not any(isinstance(model, Emu3Model) for model in config.models):
        return ""
    drawn, scales = config.generation, [f"{scale:g}" for scale in config.guidance_scales]
    guided = [scale for scale in config.guidance_scales if scale != 1]
    negative = (
        "an empty negative prompt" if not drawn.negative_prompt else f"the negative prompt “{drawn.negative_prompt}”"
    )
    parts = [
        f"Emu3 drew at {drawn.width} × {drawn.height} pixels with classifier-free guidance (Ho and Salimans, 2022) of scale "
        f"{listing(scales)}"
        + (f" and {negative}" if guided else "")
        + f", in {drawn.dtype}, sampling each visual token among the {drawn.top_k:,} likeliest, with a random number generator "
        "of its own for each image that all arms share."
    ]
    if drawn.suffix_overrides:
        each = listing(f"“{suffix}” at guidance {scale:g}" for scale, suffix in sorted(drawn.suffix_overrides.items()))
        parts.append(f"To each caption the suffix “{drawn.suffix}” was appended, except {each}.")
    elif drawn.suffix:
        parts.append(f"To each caption the suffix “{drawn.suffix}” was appended.")
    return " ".join(parts)


def _distance(experiment: Experiment, fid: pd.DataFrame) -> str:
    seen = [each for each in experiment.config.extractors if experiment.extractor_name(each) in set(fid["extractor"])]
    parts = [f"{_measure(each)} {_features(experiment, each)}." for each in seen]
    references = []
    columns = ["reference", "reference_selection"]
    for (images, selection), table in fid.groupby(columns, sort=False):
        counts = sorted(set(table["reference_n"].dropna()))
        if selection == "same":
            references.append(f"the real images of the same N captions ({images})")
        else:
            references.append(
                f"{f'{counts[-1]:,} real images' if counts else 'ready statistics of real images'} ({images})"
            )
    parts.append(f"The reference was {listing(dict.fromkeys(references))}.")
    return " ".join(parts)


def _measure(extractor: AnyExtractor) -> str:
    if isinstance(extractor, Dinov2):
        return "FD-DINOv2, the Fréchet distance (Heusel et al., 2017) between features of DINOv2 (Stein et al., 2023),"
    return "The Fréchet Inception Distance (FID; Heusel et al., 2017)"


def _features(experiment: Experiment, extractor: AnyExtractor) -> str:
    if isinstance(extractor, Inception):
        weights = (
            f"an Inception network with random weights (seed {extractor.seed}), a stand-in whose values mean nothing outside "
            "this experiment"
            if extractor.name == "inception-random"
            else f"the published FID weights of Inception (sha256 {extractor.sha256[:12]}…)"
        )
        seen = extractor.preprocessing
        if seen.size is not None and seen.crop == "none":
            steps = [f"distorted to {seen.size} × {seen.size}"]
        else:
            steps = [] if seen.size is None else [f"scaled to a shorter side of {seen.size}"]
            steps += ["cropped to the largest centred square"] if seen.crop == "center" else []
        filters = {
            "bicubic": "brought to 299 × 299 with an antialiased bicubic filter (see Parmar et al., 2022)",
            "pytorch-fid": "brought to 299 × 299 with the bilinear filter of pytorch-fid",
        }
        seen_as = ", then ".join([*steps, filters[seen.resize]])
        return f"was computed from {extractor.dims:,} features of {weights}; images were {seen_as}"
    preprocessing = extractor.PREPROCESSING
    shape = "the largest central square of images" if preprocessing["crop"] == "center" else "images"
    return (
        f"was computed from {extractor.dims:,} features of {_name(experiment, extractor.checkpoint)}, which saw {shape} scaled "
        f"by an antialiased bicubic filter to {preprocessing['size']} pixels"
    )


def _uncertainty(fid: pd.DataFrame, comparison: pd.DataFrame) -> str:
    last = fid[fid["n"] == fid["n"].max()]
    confidence, made = f"{last['confidence'].iloc[0] * 100:.3g} %", " or ".join(dict.fromkeys(last["method"]))
    parts = [
        f"FID is biased upwards at finite N: estimates are corrected by a delete-one-block jackknife over prompts (Busing et "
        f"al., 1999), whose {confidence} t intervals are given (at N = {int(last['n'].iloc[0]):,}: {made})."
    ]
    if fid["fid_infinity"].notna().any():
        parts.append(
            "FID∞ extrapolates FID to infinite N by a line in 1/N (Chong and Forsyth, 2020), with a jackknife interval of "
            "its own."
        )
    if not comparison.empty:
        together = int((comparison["n"] == comparison["n"].max()).sum())
        scales = dict(zip(fid["arm"], fid["guidance_scale"], strict=True))
        arms = [*comparison["arm"], *comparison["baseline_arm"]]
        without = " (those without one with every arm)" if any(math.isnan(scales[arm]) for arm in arms) else ""
        parts.append(
            f"Models were compared with {comparison['baseline'].iloc[0]} at equal guidance scale{without} and N, paired by "
            "prompt: the jackknife was applied to the difference, leaving out the same prompts on both sides."
        )
        if together > 1:
            parts.append(
                f"p values and intervals are given plain and adjusted for the {together} comparisons (Holm, 1979); findings go "
                "by the adjusted ones."
            )
    return " ".join(parts)


_METRICS = {
    "kid": "KID (Bińkowski et al., 2018; unbiased, over all pairs)",
    "precision": "precision and recall (Kynkäänniemi et al., 2019; k = 3)",
    "density": "density and coverage (Naeem et al., 2020; k = 5)",
    "cmmd": "CMMD (Jayasumana et al., 2024)",
    "clip_score": "CLIPScore (Hessel et al., 2021; 100 · max(cos, 0), mean over images)",
}


def _metrics(metrics: pd.DataFrame) -> str:
    parts = []
    for extractor, table in metrics.groupby("extractor", sort=False):
        names = [text for metric, text in _METRICS.items() if metric in set(table["metric"])]
        parts.append(f"{listing(names)} through {extractor}")
    confidence = f"{metrics['confidence'].iloc[0] * 100:.3g} %"
    return f"Further metrics at N = {metrics['n'].max():,}, with {confidence} intervals: {'; '.join(parts)}."


def _software(manifests: Sequence[Manifest]) -> str:
    found = {
        package: list(dict.fromkeys(m.versions[package] for m in manifests if package in m.versions))
        for package in _SOFTWARE
    }
    versions = [f"{package} {'/'.join(values)}" for package, values in found.items() if values]
    devices = list(dict.fromkeys(device for manifest in manifests for device in manifest.devices))
    drawn = f" Images were drawn on {listing(devices)}." if devices else ""
    return f"Everything was computed with emudrift ({', '.join(versions)}).{drawn}"


def _name(experiment: Experiment, checkpoint: Clip | object) -> str:
    hub, revision, path = (getattr(checkpoint, key) for key in ("hub", "revision", "path"))
    return str(path) if hub is None else f"{hub} at revision {revision[:12]}"
