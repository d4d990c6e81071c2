"""Where the hours went: sums of what Snakemake measured, per rule, and nothing of what it could not measure."""

from pathlib import Path

import pytest
from pages import Page, Study

from emudrift.config.paths import ExperimentPaths
from emudrift.errors import InputError
from emudrift.report.sections.benchmarks import Cost, cost_tables, load_costs

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


@pytest.fixture
def paths(tmp_path: Path) -> ExperimentPaths:
    return ExperimentPaths(tmp_path / "results", tmp_path / "resources")


def benchmark(path: Path, seconds: float, memory: str, cpu: str) -> None:
    """A file as Snakemake 9.27 writes it; NA is what it writes of a job that was over before it looked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}{seconds}\t0:00:00\t{memory}\t1.0\t1.0\t1.0\t0.0\t0.0\t99.0\t{cpu}\n")


def test_times_add_up_per_rule_and_memory_is_that_of_the_largest_job(paths):
    benchmark(paths.benchmark("generate_shard", "base", "000000-000010"), 7200.5, "2048.0", "9000.25")
    benchmark(paths.benchmark("generate_shard", "base", "000010-000020"), 3600, "512.0", "1000")
    benchmark(paths.benchmark("collect"), 0.4, "NA", "NA")
    benchmark(paths.benchmark("compute_fid", "inception", "full", "base", "10"), 2, "NA", "NA")
    benchmark(paths.benchmark("compute_fid", "inception", "full", "base", "20"), 3, "100.0", "1.5")
    assert load_costs(paths) == [
        Cost("generate_shard", 2, 10800.5, 10000.25, 2048.0),
        Cost("compute_fid", 2, 5, 1.5, 100.0),
        Cost("collect", 1, 0.4, None, None),
    ]


def test_the_page_says_nothing_of_its_own_job_nor_of_what_experiments_share(paths):
    benchmark(paths.benchmark("report"), 100, "1.0", "1.0")
    benchmark(paths.shared_benchmark("reference_features", "inception-0a"), 100, "1.0", "1.0")
    assert load_costs(paths) == []
    assert cost_tables([]) == []


@pytest.mark.parametrize("text", ["", HEAD, HEAD + "1.0\n", HEAD + "x\t" * 10 + "\n"])
def test_a_broken_benchmark_is_one_error_with_its_remedy(paths, text):
    path = paths.benchmark("collect")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(InputError, match=r"collect\.tsv: not a benchmark of Snakemake .*remove it"):
        load_costs(paths)


def test_the_page_shows_the_hours_of_every_rule():
    costs = [Cost("generate_shard", 12, 45_000, 90_000, 3072), Cost("collect", 1, 0.4, None, None)]
    page = Page(Study().html(costs=costs))
    text = " ".join(page.text.split())
    assert "Where the hours went" in text
    assert "12.50 hours in 13 jobs" in text
    for cells in (["generate_shard", "12", "12.500", "25.000", "3.00"], ["collect", "1", "0.000", "–", "–"]):
        assert "".join(cells) in text, cells
