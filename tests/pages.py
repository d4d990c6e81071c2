"""A report whose truth is known, and its page taken apart, for the tests of the page."""

import tempfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
from conftest import small_config
from PIL import Image
from records import record

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.reader import parse_config
from emudrift.evaluation.fid.comparison import compare, fid_table
from emudrift.evaluation.intervals import enough_images
from emudrift.generation.attempts import Attempt
from emudrift.generation.manifest import Manifest
from emudrift.report.gallery.grid_rows import side_by_side
from emudrift.report.gallery.section import Gallery, build_gallery
from emudrift.report.gallery.strips import Block, Shown, strip_of
from emudrift.report.page import Content, build_report

HOSTILE = """<script>alert(1)</script> "><img src=x onerror='alert(2)'> & it's "quoted" {{ 7 * 7 }}"""
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"


class Page(HTMLParser):
    """The tags of a page with their attributes, and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.style = ""
        self.last = ""
        self.source = html
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.last = tag

    def handle_data(self, data: str) -> None:
        if self.last == "script":
            return
        if self.last == "style":
            self.style += data
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self.last = ""

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def attempts(n: int, images: int) -> list[Attempt]:
    """All but the last were killed by their walltime; half an hour together."""
    device, begun = "cpu (2 threads)", 1_800_000_000.0
    killed = [Attempt("41", "node7", device, begun, begun + 600, 0, 50, "walltime: 20 s are left")] * (n - 1)
    last = Attempt("42", "node8", device, begun + 1000, begun + 2800 - 600 * (n - 1), 50 * (n - 1), images, "finished")
    return [*killed, last]


class Study:
    """Everything that a page is made of, for two models at two scales; the drift at each scale is known."""

    def __init__(
        self,
        drift: tuple[float, float] = (3.0, 9.0),
        drifts: dict[str, tuple[float, float]] | None = None,
        **changes: Any,
    ) -> None:
        """Args: drifts: those of named sets of prompts that have others."""
        config = small_config(**({"sample_sizes": [100, 400], "shard_size": 200} | changes))
        self.experiment = Experiment(parse_config(config, "test"), Path(__file__).parent / "test.yaml")
        extractor, *_ = self.experiment.extractor_names
        views = self.experiment.sets.values()
        self.records = [
            record(
                arm.model,
                arm.guidance_scale,
                n,
                20
                + (
                    (drifts or {}).get(arm.prompt_set, drift)[arm.guidance_scale != 1]
                    if arm.model == "finetuned"
                    else 0
                ),
                bias=2,
                error=0.5,
                arm=arm.name,
                extractor=extractor,
                weights="random" if extractor.startswith("inception-random") else "published",
                dims=64,
                reliable=enough_images(n, 64),
                **self._of_set(arm),
            )
            for view in views
            if not view.without_distance()
            for arm in view.arms()
            for n in view.config.sample_sizes
        ]
        self.manifests = [
            Manifest(
                arm=arm.name,
                rows=(shard.start, shard.stop),
                n_images=shard.stop - shard.start,
                fingerprint=arm.fingerprint,
                settings=arm.settings,
                model_digest="cd" * 32,
                sha256={},
                revisions={"checkpoint": "c0ffee"},
                versions={"torch": "2.13.0"},
                attempts=attempts(1 + (shard.start == 200), shard.stop - shard.start),
                images_per_hour=400.0,
                batch_size=8,
                drawn_together={8: shard.stop - shard.start},
                vq="a" * 64,
            )
            for view in views
            for arm in view.arms()
            for shard in view.shards()
        ]
        arms = len(self.experiment.main.arms())
        self.captions = ["a red circle"]
        self.images = [small("red"), *[small("blue")] * arms]
        self.tokenizers: dict[str, pd.DataFrame] = {}

    @staticmethod
    def _of_set(arm: Arm) -> dict[str, Any]:
        """A named set has real images of its own, and so errors of its own."""
        if not arm.prompt_set:
            return {}
        reference = {"key": f"inception-{arm.prompt_set}", "images": arm.prompt_set, "selection": "full", "n": 600}
        seed = sum(map(ord, arm.prompt_set + arm.model))
        return {"prompt_set": arm.prompt_set, "reference": reference, "seed": seed}

    @property
    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        names, floors = self.experiment.model_names, self.experiment.floors
        drawn = [each for each in self.records if each.model not in floors]
        return fid_table(self.records, names), compare(
            drawn, self.experiment.baseline, names, margins=self.experiment.margins
        )

    def gallery(self, folder: Path, view: Experiment | None = None) -> Gallery:
        view = view or self.experiment.main
        arms = side_by_side(view.arms())
        shown = [
            Shown(row=row, prompt_id=f"{row:012d}", caption=caption, spread=[50.0] * len(arms), disagreement=2.5)
            for row, caption in enumerate(self.captions)
        ]
        block = Block(rows="000000-000400", extractor="dinov2", arms=[arm.name for arm in arms], prompts=shown)
        (folder / block.rows).mkdir(parents=True)
        for each in shown:
            (folder / block.strip(each.row)).write_bytes(strip_of([*self.images[:1], *self.images[1:][: len(arms)]]))
        return build_gallery(view, [block], folder)

    def html(self, **more: Any) -> str:
        with tempfile.TemporaryDirectory() as folder:
            galleries = [self.gallery(Path(folder, name or "-"), view) for name, view in self.experiment.sets.items()]
        galleries[0].data["folder"] = "gallery"
        content = Content(*self.tables, self.manifests, SVG, SVG, galleries[0], tokenizers=self.tokenizers, **more)
        further = dict(zip([*self.experiment.sets][1:], galleries[1:], strict=True))
        return build_report(self.experiment, replace(content, further_galleries=further))

    def page(self, **more: Any) -> Page:
        return Page(self.html(**more))


def small(colour: str, size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.new("RGB", size, colour)


def words(text: str) -> str:
    """Every run of white space, no-break spaces included, as one space."""
    return " ".join(text.split())
