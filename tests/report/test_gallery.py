"""The gallery's thumbnails and numbers: right arm, right prompt, right size; and what counts as failed."""

import io
import json
import shutil
import threading
import time
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import small_config
from PIL import Image
from records import write_tar

from emudrift.config.experiment import Experiment
from emudrift.config.reader import parse_config
from emudrift.config.row_range import RowRange
from emudrift.data.image_io import encode_png
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.report.gallery.grid_rows import side_by_side
from emudrift.report.gallery.row_blocks import MOST_PROMPTS, blocks, manifest_files, ranking_extractor
from emudrift.report.gallery.section import LOW_FLAG, ONE_COLOUR_FLAG, build_gallery
from emudrift.report.gallery.strips import (
    THUMBNAIL,
    Block,
    cells_of,
    disagreement,
    load_block,
    remove_other_blocks,
    spread,
    strip_of,
    write_block,
)
from emudrift.runtime import locks


def experiment(**changes) -> Experiment:
    return Experiment(parse_config(small_config(**changes), "test"), Path(__file__).parent / "test.yaml")


def flat(colour, size=(64, 64)) -> Image.Image:
    return Image.new("RGB", size, colour)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


# --- blocks ---


@pytest.mark.parametrize(("n", "shard_size"), [(20, 10), (400, 200), (10_000, 250), (10_000, 3_000), (25_000, 7)])
def test_blocks_are_whole_shards_without_gap_or_overlap(n: int, shard_size: int) -> None:
    made = experiment(sample_sizes=[n], shard_size=shard_size)
    found = blocks(made)
    assert found[0].start == 0
    assert all(a.stop == b.start for a, b in pairwise(found))
    assert min(n, MOST_PROMPTS) <= found[-1].stop < min(n, MOST_PROMPTS) + shard_size
    assert len(found) <= max(11, -(-n // shard_size)) <= 4_000
    shards = [shard for block in found for shard in made.shards_in(block)]
    assert shards == [shard for shard in made.shards() if shard.start < MOST_PROMPTS]
    assert len(manifest_files(made, found[0])) == 4 * len(made.shards_in(found[0]))


def test_small_shards_share_a_job() -> None:
    assert len(blocks(experiment(sample_sizes=[100_000], shard_size=10))) == 10


def test_arms_disagree_by_an_extractor_of_fid() -> None:
    clip = {"name": "clip", "checkpoint": {"path": "somewhere"}, "dims": 8}
    made = experiment(extractors=[clip, small_config()["extractors"][0]], metrics=["fid", "clip_score"])
    assert ranking_extractor(made).startswith("inception-random-")


# --- strips and numbers ---


def test_a_strip_holds_every_image_in_its_place_and_shape() -> None:
    images = [flat("red", (640, 320)), None, flat((0, 0, 255), (300, 600)), flat("lime")]
    strip = strip_of(images)
    assert strip == strip_of(images)
    with opened(strip) as image:
        assert image.size == (4 * THUMBNAIL, THUMBNAIL)
    wide, none, tall, small = (np.asarray(opened(cell).convert("RGBA")) for cell in cells_of(strip, 4))
    assert (none[..., 3] == 0).all()
    for cell, (height, width), colour in ((wide, (128, 256), 0), (tall, (256, 128), 2), (small, (64, 64), 1)):
        shown = cell[..., 3] > 127
        rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
        assert (len(rows), len(columns)) == (height, width)
        assert shown.sum() == height * width
        # In the middle of its square.
        assert (rows[0], columns[0]) == ((256 - height) // 2, (256 - width) // 2)
        # WebP's colours bleed at edges.
        inside = cell[rows[0] + 8 : rows[-1] - 7, columns[0] + 8 : columns[-1] - 7]
        assert inside[..., colour].min() > 240
        assert np.delete(inside[..., :3], colour, axis=2).max() < 15


def test_small_images_lose_nothing() -> None:
    noise = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (64, 64, 3), np.uint8)) for i in range(3)]
    for image, cell in zip(noise, cells_of(strip_of(noise), 3), strict=True):
        assert np.array_equal(np.asarray(opened(cell).convert("RGB")), np.asarray(image))


def test_spread_is_the_standard_deviation_of_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    expected = np.mean([pixels[..., channel].astype(float).std() for channel in range(3)])
    assert spread(Image.fromarray(pixels)) == pytest.approx(expected)
    assert spread(flat("teal")) == 0


def test_disagreement_is_the_mean_distance_of_all_pairs() -> None:
    generator = np.random.default_rng(1)
    arms = [generator.standard_normal((5, 7)).astype(np.float32) for _ in range(4)]
    found = disagreement(arms)
    for row in range(5):
        pairs = [np.sqrt(((a[row] - b[row]) ** 2).sum()) for a, b in combinations(arms, 2)]
        assert found[row] == pytest.approx(np.mean(pairs), rel=1e-5)
    assert disagreement(arms[:1]) is None
    assert (disagreement([arms[0], arms[0]]) == 0).all()


# --- blocks on the disk ---


class Made:
    """An experiment of 20 prompts whose every image has a colour of its own, and whose features are known."""

    def __init__(self, folder: Path) -> None:
        real = folder / "real"
        real.mkdir()
        generator = np.random.default_rng(0)
        self.prompts = [
            Prompt(row, f"{row:012d}", row, f"{row}.png", 48, 24, f"caption {row}", row) for row in range(20)
        ]
        for prompt in self.prompts:
            flat((250, prompt.row, 0), (48, 24)).save(real / prompt.file_name)
        self.experiment = experiment(prompts={"captions": "demo/data/captions.json", "images": str(real)})
        self.experiment.paths = replace(self.experiment.paths, results=folder / "results")
        self.arms = [arm.name for arm in side_by_side(self.experiment.arms())]
        self.features = {arm: generator.standard_normal((20, 64)).astype(np.float32) for arm in self.arms}
        for arm in self.arms:
            for shard in self.experiment.shards():
                self.write_archive(arm, shard, self.prompts[shard.start : shard.stop])
                path = self.experiment.paths.features(ranking_extractor(self.experiment), arm, shard.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, self.features[arm][shard.start : shard.stop])
        self.folder, self.index = folder / "gallery" / "000000-000020", folder / "gallery" / "000000-000020.json"

    def colour(self, arm: str, prompt: Prompt) -> tuple[int, int, int]:
        return (self.arms.index(arm), prompt.row, 200)

    def write_archive(self, arm: str, shard: RowRange, prompts: list[Prompt]) -> Path:
        path = self.experiment.paths.archive(arm, shard.name)
        write_tar(path, {prompt.prompt_id: encode_png(flat(self.colour(arm, prompt))) for prompt in prompts})
        return path

    def write(self) -> Block:
        write_block(self.experiment, self.prompts, RowRange(0, 20), self.index, self.folder)
        return load_block(self.index)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_every_arms_image_stands_under_its_own_arm_and_prompt(made: Made) -> None:
    block = made.write()
    assert [shown.prompt_id for shown in block.prompts] == [prompt.prompt_id for prompt in made.prompts]
    assert block.arms == made.arms
    for prompt in made.prompts:
        real, *drawn = cells_of((made.folder.parent / block.strip(prompt.row)).read_bytes(), 5)
        assert opened(real).convert("RGBA").getpixel((32, 32)) == (250, prompt.row, 0, 255)
        assert opened(real).convert("RGBA").getpixel((32, 2))[3] == 0
        assert [opened(cell).convert("RGB").getpixel((5, 5)) for cell in drawn] == [
            made.colour(arm, prompt) for arm in made.arms
        ]


def test_disagreement_comes_from_the_features_of_the_same_rows(made: Made) -> None:
    features = np.stack(list(made.features.values())).astype(float)
    pairs = [np.sqrt(((a - b) ** 2).sum(axis=1)) for a, b in combinations(features, 2)]
    found = [shown.disagreement for shown in made.write().prompts]
    assert found == pytest.approx(np.mean(pairs, axis=0).tolist(), rel=1e-4)


def test_the_same_block_gives_the_same_bytes_and_replaces_what_was_there(made: Made) -> None:
    made.write()
    before = {path.name: path.read_bytes() for path in (*made.folder.iterdir(), made.index)}
    (made.folder / "stale.webp").write_bytes(b"old")
    made.write()
    assert {path.name: path.read_bytes() for path in (*made.folder.iterdir(), made.index)} == before
    assert len(before) == 21


def test_what_a_killed_job_left_is_removed_and_a_living_one_is_waited_for(made: Made, monkeypatch) -> None:
    leftover = made.folder.parent / ".tmp-0123456789ab-000000-000020"
    leftover.mkdir(parents=True)
    (leftover / "000000.webp").write_bytes(b"half")
    monkeypatch.setattr(locks, "LOOK", 0.05)
    order = []

    def first() -> None:
        with locks.Lock(made.folder.with_name("000000-000020.lock"), "test"):
            started.set()
            time.sleep(0.5)
            order.append("first")

    started = threading.Event()
    thread = threading.Thread(target=first)
    thread.start()
    started.wait()
    made.write()
    order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert sorted(path.name for path in made.folder.parent.iterdir()) == [
        "000000-000020",
        "000000-000020.json",
        "000000-000020.json.sha256",
    ]


def test_blocks_of_another_n_go(made: Made) -> None:
    made.write()
    folder = made.folder.parent
    shutil.copytree(made.folder, folder / "000000-000010")
    for name in ("000000-000010.json", "000000-000010.json.sha256"):
        shutil.copy(made.index, folder / name)
    remove_other_blocks(folder, ["000000-000020"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "000000-000020",
        "000000-000020.json",
        "000000-000020.json.sha256",
    ]


def test_a_hundred_arms_fit_into_a_strip() -> None:
    strip = strip_of([flat((place, 0, 0), (300, 300)) for place in range(100)])
    assert opened(strip).width <= 16383
    cells = [opened(cell).convert("RGB") for cell in cells_of(strip, 100)]
    assert abs(cells[99].getpixel((80, 80))[0] - 99) < 4


def test_a_broken_archive_leaves_no_half_gallery(made: Made) -> None:
    shard, arm = made.experiment.shards()[1], made.arms[2]
    for prompts, message in (
        (made.prompts[:10], "does not match the prompt table"),
        (made.prompts[10:15], "has 5 images, 10 expected"),
    ):
        made.write_archive(arm, shard, prompts)
        with pytest.raises(InputError, match=rf"000010-000020\.tar: {message}"):
            made.write()
        assert list(made.folder.parent.iterdir()) == []
    made.experiment.paths.archive(arm, shard.name).unlink()
    with pytest.raises(InputError, match=r"000010-000020\.tar: incomplete archive"):
        made.write()


# --- what counts as failed ---


def block_of(made: Experiment, spreads: list[list[float]]) -> Block:
    return Block.model_validate(
        {
            "rows": "000000-000020",
            "extractor": "dinov2",
            "arms": [arm.name for arm in side_by_side(made.arms())],
            "prompts": [
                {"row": row, "prompt_id": f"{row}", "caption": f"caption {row}", "spread": each, "disagreement": 1.5}
                for row, each in enumerate(spreads)
            ],
        }
    )


def strips(folder: Path, block: Block) -> Path:
    for shown in block.prompts:
        path = folder / block.strip(shown.row)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(strip_of([flat("red")] * (len(block.arms) + 1)))
    return folder


def test_failures_come_first_and_floors_never_fail(tmp_path: Path) -> None:
    floor = {"name": "floor", "generator": "tokenizer", "of": "base"}
    made = experiment(models=[*small_config()["models"], floor])
    assert side_by_side(made.arms())[0].model == "floor"
    spreads = [[0, 60, 60, 60, 60], [60, 60, 4.9, 60, 60], [60, 60, 60, 60, 5.0], [60, 0, 60, 60, 1]]
    block = block_of(made, spreads)
    gallery = build_gallery(made, [block], strips(tmp_path, block))
    assert [card.row for card in gallery.cards] == [3, 1, 0, 2]
    assert gallery.failed == {"one colour": 3, "low CLIPScore": 0}
    assert [len(tile.flags) for tile in gallery.cards[0].tiles] == [0, 0, 1, 0, 0, 1]


def test_rows_beyond_the_largest_n_are_not_shown(tmp_path: Path) -> None:
    made = experiment(sample_sizes=[15])
    block = block_of(made, [[60.0] * 4] * 20)
    scores = {arm: np.arange(15.0) for arm in block.arms}
    gallery = build_gallery(made, [block], strips(tmp_path, block), scores)
    assert gallery.total == len(gallery.data["prompts"]) == 15


def test_the_lowest_hundredth_of_clip_scores_is_flagged(tmp_path: Path) -> None:
    made = experiment(sample_sizes=[50])
    block = block_of(made, [[60.0] * 4] * 50)
    generator = np.random.default_rng(0)
    scores = {arm: generator.normal(25, 3, 50) for arm in block.arms}
    scores[block.arms[2]][31] = 2.0
    gallery = build_gallery(made, [block], strips(tmp_path, block), scores)
    lowest = np.sort(np.concatenate(list(scores.values())))[:2]
    assert gallery.failed["low CLIPScore"] == 2
    assert gallery.cards[0].row in {
        31,
        int(np.flatnonzero([lowest[1] in s for s in np.transpose(list(scores.values()))])[0]),
    }
    (entry,) = [each for each in gallery.data["prompts"] if each[0] == 31]
    assert entry[gallery.data["keys"].index("flags")] == [0, 0, LOW_FLAG, 0]
    assert ONE_COLOUR_FLAG != LOW_FLAG
    tile = next(card for card in gallery.cards if card.row == 31).tiles[3]
    assert (tile.score, tile.flags) == ("CLIPScore 2.0", ["low CLIPScore"])


def test_without_real_images_there_is_no_place_for_them(tmp_path: Path) -> None:
    prompts = {"captions": "demo/data/captions.json"}
    made = experiment(prompts=prompts)
    block = block_of(made, [[60.0] * 4])
    path = tmp_path / block.strip(0)
    path.parent.mkdir()
    path.write_bytes(strip_of([None, *(flat(colour) for colour in ("red", "lime", "blue", "white"))]))
    gallery = build_gallery(made, [block], tmp_path)
    assert len(gallery.cards[0].tiles) == len(gallery.data["labels"]) == 4
    assert gallery.data["columns"] == 5


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    made = experiment()
    block = block_of(made, [[60.0] * 4])
    with pytest.raises(
        InputError, match=r"000000\.webp: no such file or directory; remove .*000000-000020 and run again"
    ):
        build_gallery(made, [block], tmp_path)
    with pytest.raises(InputError, match=r"000000-000020\.json: was built for other arms"):
        build_gallery(made, [block.model_copy(update={"arms": block.arms[1:]})], tmp_path)
    (tmp_path / "a.json").write_text(json.dumps({"rows": "x"}))
    with pytest.raises(InputError, match=r"a\.json: extractor: Field required"):
        load_block(tmp_path / "a.json")
