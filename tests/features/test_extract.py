"""Features of several shards in one job: what is there and made of the same is kept, everything else is computed."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import experiment as small_experiment
from painters import Group, archive_of, flipped, manifest_of
from PIL import Image

from emudrift.config.row_range import RowRange
from emudrift.errors import InputError
from emudrift.features import extract as module
from emudrift.features.extract import are_there, extract_features, made_of
from emudrift.features.feature_files import load_features, write_array
from emudrift.generation.archives import read_samples
from emudrift.runtime.json_files import write_json


class Mean:
    """An extractor whose truth is known, the mean colour; counts the images that it is given."""

    dims = 3

    def __init__(self) -> None:
        self.seen = 0

    def features(self, images, batch_size):
        found = [np.asarray(image, np.float32).mean((0, 1)) for image in images]
        self.seen += len(found)
        return np.array(found, np.float32)


class Job:
    """The only feature job of an arm of two shards."""

    def __init__(self, group: Group, monkeypatch: pytest.MonkeyPatch, **changes) -> None:
        self.made, self.mean, self.loaded = group.experiment(**changes), Mean(), 0
        self.arm, (self.extractor,) = self.made.arms()[0].name, self.made.extractor_names
        self.rows = self.made.feature_job(self.extractor, 0)

        def load(experiment, name) -> Mean:
            self.loaded += 1
            return self.mean

        monkeypatch.setattr(module, "load_extractor", load)

    def run(self) -> int:
        """As Snakemake runs it, with its output deleted before; returns how many images were looked at."""
        before = self.mean.seen
        self.record.unlink(missing_ok=True)
        extract_features(self.made, self.extractor, self.arm, self.rows, 4)
        return self.mean.seen - before

    @property
    def record(self) -> Path:
        return self.made.paths.extracted(self.extractor, self.arm, self.rows.name)

    def files(self) -> list[Path]:
        return self.made.feature_files(self.extractor, self.arm, max(self.made.config.sample_sizes))


@pytest.fixture
def group(tmp_path, monkeypatch) -> Group:
    return Group(tmp_path, monkeypatch)


def means_of(archive: Path) -> np.ndarray:
    """By another way: from the members of the archive."""
    images = [Image.open(io.BytesIO(sample.members[".png"])) for sample in read_samples(archive)]
    return np.array([np.asarray(image.convert("RGB"), float).mean((0, 1)) for image in images])


def test_a_job_makes_the_features_of_its_shards_and_a_repeated_one_keeps_them(group, monkeypatch):
    job = Job(group, monkeypatch)
    for shard in (0, 1):
        group.run(job.made, shard)
    assert job.run() == 20
    assert job.loaded == 1
    expected = np.concatenate([means_of(archive_of(job.made, shard)) for shard in (0, 1)])
    np.testing.assert_allclose(load_features(job.files()), expected, rtol=1e-6)
    before, times = job.record.read_bytes(), [path.stat().st_mtime_ns for path in job.files()]
    assert job.run() == 0
    assert job.loaded == 1, "an extractor was loaded for nothing"
    assert (job.record.read_bytes(), [path.stat().st_mtime_ns for path in job.files()]) == (before, times)


def test_what_is_missing_damaged_or_of_other_images_is_made_and_nothing_else(group, monkeypatch):
    job = Job(group, monkeypatch)
    for shard in (0, 1):
        group.run(job.made, shard)
    job.run()
    record, first = job.record.read_bytes(), job.files()[0]
    for fault in (lambda: flipped(first, 100), first.unlink, first.with_suffix(".json").unlink):
        fault()
        assert job.run() == 10
        assert job.record.read_bytes() == record
    # A larger N: one shard more, under the same name of a job.
    larger = Job(group, monkeypatch, sample_sizes=[10, 30])
    assert (larger.record, len(larger.files())) == (job.record, 3)
    group.run(larger.made, 2)
    assert larger.run() == 10
    assert json.loads(record)["features"].items() < json.loads(larger.record.read_bytes())["features"].items()


def test_images_that_are_not_those_of_the_manifest_are_refused(group, monkeypatch):
    job = Job(group, monkeypatch)
    for shard in (0, 1):
        group.run(job.made, shard)
    job.run()
    content = json.loads(manifest_of(job.made, 1).read_text())
    ids = sorted(content["sha256"])
    content["sha256"][ids[0]], content["sha256"][ids[1]] = content["sha256"][ids[1]], content["sha256"][ids[0]]
    write_json(manifest_of(job.made, 1), content)
    with pytest.raises(InputError, match=f"image ({ids[0]}|{ids[1]}) is not the one of the manifest"):
        job.run()
    assert not job.record.exists()
    del content["sha256"][ids[0]]
    write_json(manifest_of(job.made, 1), content)
    with pytest.raises(InputError, match="its images are not those of its rows' prompts"):
        job.run()


def test_jobs_follow_from_the_config_and_take_several_shards_where_these_are_small(tmp_path):
    for size, shards in ((10, 500), (250, 20), (500, 10), (4_000, 1), (8_000, 1)):
        made = small_experiment(tmp_path, shard_size=size, sample_sizes=[10, 30_000])
        (extractor,) = made.extractor_names
        rows = size * shards
        assert made.feature_job(extractor, 2 * rows - size) == RowRange(rows, 2 * rows)
        files = made.extracted_files(extractor, "arm", made.shards())
        assert len(files) == -(-30_000 // rows)
        assert files[0] == made.paths.extracted(extractor, "arm", RowRange(0, rows).name)


def test_features_are_kept_if_images_weights_packages_and_code_are_the_same(tmp_path):
    made = small_experiment(tmp_path)
    (extractor,) = made.extractor_names
    path, record = tmp_path / "0.npy", tmp_path / "0.json"
    write_array(path, np.arange(6, dtype=np.float32).reshape(2, 3))
    same = made_of(made, extractor).of("12")
    write_json(record, same.model_dump())
    assert are_there(path, record, made_of(made, extractor).of("12"))
    others = [
        made_of(made, extractor).of("21"),
        made_of(made, extractor).of("13"),
        same.model_copy(update={"weights": "other"}),
        same.model_copy(update={"versions": {"torch": "0"}}),
        same.model_copy(update={"code": "edited"}),
        None,
    ]
    assert not any(are_there(path, record, other) for other in others)
    flipped(path, 140)
    assert not are_there(path, record, same), "damaged"


def test_weights_that_were_replaced_are_noticed(tmp_path):
    (tmp_path / "clip").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "clip" / name).write_text("old")
    extractors = [
        {"name": "inception-random", "dims": 64},
        {"name": "clip", "checkpoint": {"path": str(tmp_path / "clip")}},
    ]
    made = small_experiment(tmp_path, extractors=extractors)
    before = [made_of(made, name) for name in made.extractor_names]
    (tmp_path / "clip" / "model.safetensors").write_text("new")
    after = [made_of(made, name) for name in made.extractor_names]
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, False]


def test_captions_are_embedded_in_files_that_depend_on_neither_n_nor_the_size_of_shards(tmp_path):
    names = {}
    for size, n in ((10, 4_000), (250, 5_000), (250, 12_000)):
        made = small_experiment(tmp_path, shard_size=size, sample_sizes=[10, n])
        names[size, n] = [path.stem for path in made.caption_files("clip", n)]
    assert names[10, 4_000] == names[250, 5_000] == ["000000-005000"]
    assert names[250, 12_000] == ["000000-005000", "005000-010000", "010000-015000"]
