"""Verify and leftovers: what is damaged is found with the command that mends it; what no setting names is listed and removed."""

import random
from pathlib import Path

import numpy as np
import pytest
from painters import Group, archive_of, flipped, manifest_of

from emudrift.errors import InputError
from emudrift.features.feature_files import write_array
from emudrift.generation.leftovers import remove_tables_without_setting, scan_leftovers
from emudrift.generation.remove_images import remove_images
from emudrift.generation.verify import damage, verify
from emudrift.runtime.json_files import write_json


@pytest.fixture
def group(tmp_path, monkeypatch) -> Group:
    return Group(tmp_path, monkeypatch)


@pytest.fixture
def finished(group):
    """One arm of two shards, its features and a distance."""
    made = group.experiment()
    arm, (extractor,) = made.arms()[0].name, made.extractor_names
    for shard in made.shards():
        group.run(made, shard.name)
        write_array(made.paths.features(extractor, arm, shard.name), np.ones((10, 4), np.float32))
        write_json(made.paths.features_record(extractor, arm, shard.name), {"images": "1"})
    for path in made.extracted_files(extractor, arm, made.shards()):
        write_json(path, {"features": {}})
    write_json(made.paths.fid(extractor, "full", arm, "20"), {"fid": 1.5})
    return made


def drawn(choose: random.Random, files: list[Path], sizes: list[int], number: int) -> list[Path]:
    """Different files, the larger ones more often."""
    keys = {path: choose.random() ** (1 / size) for path, size in zip(files, sizes, strict=True)}
    return sorted(files, key=lambda path: keys[path])[-number:]


def test_a_bit_flipped_anywhere_is_found(finished):
    """In 100 random places of all files that something is computed from, ten at a time, each in another file."""
    files = [path for path in finished.paths.results.rglob("*") if path.is_file()]
    files = [path for path in files if path.suffix != ".jsonl"]
    sizes = [path.stat().st_size for path in files]
    choose = random.Random(0)
    assert damage(finished, verify(finished, 2)) == ""
    for _ in range(10):
        places = {path: choose.randrange(path.stat().st_size) for path in drawn(choose, files, sizes, 10)}
        for path, place in places.items():
            flipped(path, place)
        found = damage(finished, verify(finished, 2))
        # An archive whose manifest is damaged as well is named with that one.
        names = {path: str(path).removesuffix(".sha256").removesuffix(".tar") for path in places}
        assert [path for path, name in names.items() if name not in found] == []
        for path, place in places.items():
            flipped(path, place)
    assert damage(finished, verify(finished, 2)) == ""


def test_what_is_damaged_is_named_with_the_command_that_mends_it(group, finished):
    archive = archive_of(finished, 1)
    whole = archive.read_bytes()
    flipped(archive, 700)
    said = damage(finished, verify(finished, 1))
    assert f"{archive}: is not what was packed" in said
    assert f"1 of {len(verify(finished, 1))} files are damaged" in said
    target = manifest_of(finished, 1).relative_to(group.folder)
    assert said.endswith(f"  snakemake --configfile config.yaml -c 1 -f {target}")
    features = finished.paths.features(*finished.extractor_names, finished.arms()[0].name, "000000-000010")
    whole_features = features.read_bytes()
    extracted = f"{features.parent.relative_to(group.folder)}/extracted/000000-005000.json"
    for fault in (lambda: flipped(features, 10), features.unlink):
        fault()
        assert f" {extracted} {target}" in damage(finished, verify(finished, 1))
    features.write_bytes(whole_features)
    manifest_of(finished, 1).unlink()  # As Snakemake does before it runs a forced job.
    assert group.run(finished, 1) == 4
    assert archive.read_bytes() == whole
    assert damage(finished, verify(finished, 1)) == ""
    archive.unlink()
    assert f"{archive}: is missing, but its manifest is there" in damage(finished, verify(finished, 1))


def names(found) -> list[tuple[str, str, str]]:
    return [(each.arm, each.rows, each.what) for each in found]


def test_nothing_of_the_config_is_left_over(finished):
    assert names(scan_leftovers(finished)) == []


def test_what_the_config_no_longer_names_is_listed_with_its_size_and_removed(group, finished):
    arm, extractor = finished.arms()[0].name, finished.extractor_names[0]
    fid = finished.paths.fid(extractor, "full", arm, "20")
    other = group.experiment(shard_size=20, sample_sizes=[10], seed=0)
    group.run(other)
    found = scan_leftovers(other)
    assert names(found) == [
        (arm, "000000-000010", "shard"), (arm, "000010-000020", "shard"), ("n-20", "", "of another N")
    ]  # fmt: skip
    shard = [path for path in finished.paths.results.rglob("000010-000020*") if path.is_file()]
    assert {path.parent.parent.name for path in shard} == {"images", arm, extractor}
    assert found[1].size == sum(path.stat().st_size for path in shard)
    for each in found:
        assert each.command.startswith(f"ARM={each.arm} ")
        remove_images(other, each.arm, each.rows or None)
        assert not any(path.exists() for path in each.files)
    assert scan_leftovers(other) == []
    assert not fid.exists()
    assert archive_of(other).exists()


def test_arms_features_prompts_and_models_of_other_settings_are_listed(group, finished):
    models = [{"name": "next", "generator": "emu3", "checkpoint": {"path": "demo/models/base"}}]
    other = group.experiment(models=models, seed=1, extractors=[{"name": "inception-random", "dims": 192}])
    arm = finished.arms()[0].name
    folder = finished.paths.results
    write_array(
        other.paths.features(finished.extractor_names[0], other.arms()[0].name, "000000-000010"), np.ones((2, 2))
    )
    (folder / "notes.txt").write_text("mine")
    finished.paths.annotations("0123456789ab").touch()
    found = names(scan_leftovers(other))
    assert found == [
        (arm, "", "arm"),
        (f"features/{finished.extractor_names[0]}", "", "of an extractor or a metric"),
        ("annotations-0123456789ab.parquet", "", "columns of other prompts"),
        ("models/base.json", "", "model"),
        ("models/finetuned.json", "", "model"),
        (finished.paths.prompts.name, "", "prompts of other settings"),
    ]
    with pytest.raises(InputError, match=f"left over .*{arm}, features/"):
        remove_images(other, "none", None)
    assert remove_images(other, arm, None) == ["000000-000010", "000010-000020"]
    assert not list(Path(folder).rglob(f"*{arm}*"))
    assert (folder / "notes.txt").exists()


def test_tables_that_no_setting_makes_any_more_go_with_the_next_page(group, finished):
    paths = group.experiment(metrics=["fid", "kid"]).paths
    ladder = paths.figure("ladder", ".svg")
    groups = [paths.group_table, paths.figure("groups", ".svg")]
    for table in (paths.metric_table, paths.metric_differences, ladder, *groups, paths.fid_table):
        table.parent.mkdir(exist_ok=True)
        write_json(table, {})
    remove_tables_without_setting(group.experiment(metrics=["fid", "kid"], ladder=True))
    assert paths.metric_table.exists()
    assert ladder.exists()
    assert not any(path.exists() for path in groups)
    made = group.experiment()
    assert [each[0] for each in names(scan_leftovers(made))] == [
        "figures/ladder.svg", "metric_differences.csv", "metrics.csv"
    ]  # fmt: skip
    remove_tables_without_setting(made)
    assert names(scan_leftovers(made)) == []
    assert [path.name for path in paths.results.glob("*.csv*")] == ["fid.csv", "fid.csv.sha256"]


def test_images_that_were_set_aside_are_left_over(group):
    made = group.experiment()
    group.run(made)
    other = group.experiment("e" * 64)
    group.run(other)
    arm = made.arms()[0].name
    assert names(scan_leftovers(other)) == [(f"images/{arm}/.set-aside", "", "images of other prompts or weights")]
    remove_images(other, f"images/{arm}/.set-aside", None)
    assert names(scan_leftovers(other)) == []
    assert archive_of(other).exists()
