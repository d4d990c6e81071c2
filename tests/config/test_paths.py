"""The tree of results: patterns find the files that the same methods name, and nothing beside them."""

import inspect
from pathlib import Path

import pytest

from emudrift.config.paths import ExperimentPaths, download_record, existing, shortened

PATHS = ExperimentPaths(Path("/r"), Path("/s"))
ROWS = "000000-000010"


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


def test_a_pattern_finds_what_the_same_method_names(tmp_path):
    paths = ExperimentPaths(tmp_path / "r", tmp_path / "s")
    shards = [("base-cfg7.5-0a", ROWS), ("base-cfg7.5-0a", "000010-000020"), ("b", ROWS)]
    for shard in shards:
        for path in paths.of_shard(*shard):
            touched(path)
    for litter in (".tmp-12-000000-000010.tar", "batch.json", "000000-000010.tar.bak"):
        touched(paths.images("b") / litter)
    touched(Path(f"{paths.lock('b', ROWS)}.1"))
    for method in (paths.archive, paths.manifest, paths.attempts, paths.partial):
        found = {path: names for path, names in existing(method("{arm}", "{rows}"))}
        assert found == {method(*shard): dict(zip(("arm", "rows"), shard, strict=True)) for shard in shards}
    assert [names for _, names in existing(paths.archive("b", "{rows}"))] == [{"rows": ROWS}]


def test_a_pattern_without_names_is_that_file(tmp_path):
    path = ExperimentPaths(tmp_path, tmp_path).tokenizer_quality("floor-0a")
    assert list(existing(path)) == []
    touched(path)
    assert list(existing(path)) == [(path, {})]


def test_nothing_is_found_where_nothing_is(tmp_path):
    assert list(existing(ExperimentPaths(tmp_path / "absent", tmp_path).archive("{arm}", "{rows}"))) == []


def test_no_two_files_lie_in_one_place():
    methods = [m for name, m in inspect.getmembers(PATHS, inspect.ismethod) if m.__annotations__.get("return") is Path]
    paths = [method(*(f"{{{name}}}" for name in inspect.signature(method).parameters)) for method in methods]
    found = {
        name: getattr(PATHS, name) for name, value in inspect.getmembers(type(PATHS)) if isinstance(value, property)
    }
    paths += [found.pop("judged").answers("{arm}", "{judge}", "{rows}"), *found.values()]
    assert len(paths) > 40
    assert len(set(paths)) == len(paths)
    assert all(path.is_relative_to("/r") or path.is_relative_to("/s") for path in paths)


def test_the_workflow_sees_short_paths_and_nothing_is_cut_that_lies_elsewhere():
    seen = ExperimentPaths(Path("/home/r"), Path("/data/s")).seen_from("/home")
    assert (seen.prompts, seen.coco("a.zip")) == (Path("r/prompts-unknown.parquet"), Path("/data/s/coco/a.zip"))
    assert shortened("/homes/r", "/home") == Path("/homes/r")


@pytest.mark.parametrize(("names", "log"), [((), "logs/collect.log"), (("a", "b"), "logs/collect/a/b.log")])
def test_logs_and_benchmarks_lie_in_a_folder_of_their_rule(names, log):
    assert PATHS.log("collect", *names) == Path("/r", log)
    assert PATHS.benchmark("collect", *names) == Path("/r", log.replace("log", "benchmark", 1).replace(".log", ".tsv"))


def test_the_record_of_a_download_lies_beside_its_folder():
    assert download_record(PATHS.model("some--sd@1.0.fp16")) == Path("/s/models/some--sd@1.0.fp16.json")
