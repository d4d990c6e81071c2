"""A report whose truth is known, and its page taken apart, for the tests of the page."""

import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
from conftest import small_config
from PIL import Image
from records import record

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

    def __init__(self, drift: tuple[float, float] = (3.0, 9.0), **changes: Any) -> None:
        config = small_config(**({"sample_sizes": [100, 400], "shard_size": 200} | changes))
        self.experiment = Experiment(parse_config(config, "test"), Path(__file__).parent / "test.yaml")
        extractor, *_ = self.experiment.extractor_names
        self.records = [
            record(
                arm.model,
                arm.guidance_scale,
                n,
                20 + (drift[arm.guidance_scale != 1] if arm.model == "finetuned" else 0),
                bias=2,
                error=0.5,
                arm=arm.name,
                extractor=extractor,
                weights="random" if extractor.startswith("inception-random") else "published",
                dims=64,
                reliable=enough_images(n, 64),
            )
            for arm in self.experiment.arms()
            for n in self.experiment.config.sample_sizes
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
            for arm in self.experiment.arms()
            for shard in self.experiment.shards()
        ]
        arms = len(self.experiment.arms())
        self.captions = ["a red circle"]
        self.images = [small("red"), *[small("blue")] * arms]
        self.tokenizers: dict[str, pd.DataFrame] = {}

    @property
    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        names, floors = self.experiment.model_names, self.experiment.floors
        drawn = [each for each in self.records if each.model not in floors]
        return fid_table(self.records, names), compare(
            drawn, self.experiment.baseline, names, margins=self.experiment.margins
        )

    def gallery(self, folder: Path) -> Gallery:
        arms = side_by_side(self.experiment.arms())
        shown = [
            Shown(row=row, prompt_id=f"{row:012d}", caption=caption, spread=[50.0] * len(arms), disagreement=2.5)
            for row, caption in enumerate(self.captions)
        ]
        block = Block(rows="000000-000400", extractor="dinov2", arms=[arm.name for arm in arms], prompts=shown)
        (folder / block.rows).mkdir()
        for each in shown:
            (folder / block.strip(each.row)).write_bytes(strip_of(self.images))
        return build_gallery(self.experiment, [block], folder)

    def html(self, **more: Any) -> str:
        with tempfile.TemporaryDirectory() as folder:
            gallery = self.gallery(Path(folder))
        gallery.data["folder"] = "gallery"
        content = Content(*self.tables, self.manifests, SVG, SVG, gallery, tokenizers=self.tokenizers, **more)
        return build_report(self.experiment, content)

    def page(self, **more: Any) -> Page:
        return Page(self.html(**more))


def small(colour: str, size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.new("RGB", size, colour)


def words(text: str) -> str:
    """Every run of white space, no-break spaces included, as one space."""
    return " ".join(text.split())
