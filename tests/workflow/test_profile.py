"""What the SLURM profile asks for, as Snakemake plans it; no SLURM needed. tests/slurm runs it on a cluster."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yte
from conftest import ROOT, Workflow, small_config

GPU_RULES = {"generate_shard", "extract_features", "reference_features", "embed_captions"}
LOCAL_RULES = {
    "all",
    "extract_prompts",
    "check_model",
    "check_experiment",
    "list_reference_images",
    "collect",
    "compare",
}


@pytest.fixture(scope="module")
def workflow(new_workflow) -> Workflow:
    workflow = new_workflow("profile")
    workflow.write_config(small_config())
    return workflow


def requests(workflow: Workflow, *arguments: str) -> dict[str, dict[str, str]]:
    """Rule, single or in a group, to what its jobs ask for; rules that run where Snakemake runs are left out."""
    result = workflow.snakemake("--dry-run", *arguments, config="test.yaml")
    found, rule = {}, ""
    for line in result.stdout.splitlines():
        words = line.split()
        if words[:1] == ["rule"]:
            rule = words[1].rstrip(":")
        elif rule and words[:1] == ["resources:"]:
            found[rule] = dict(re.findall(r"(\w+)=([^,]+)", line))
    return {rule: resources for rule, resources in found.items() if rule not in LOCAL_RULES}


def test_gpu_rules_ask_for_one_a100_and_the_others_for_none(workflow):
    asked = requests(workflow, "--profile", "slurm")
    assert set(asked) > GPU_RULES - {"embed_captions"}, "captions are embedded only where clip_score is asked for"
    for rule, resources in asked.items():
        wanted = ("gpu", "1", "a100") if rule in GPU_RULES else ("cpu", None, None)
        assert (resources["slurm_partition"], resources.get("gpu"), resources.get("gpu_model")) == wanted, rule
        assert int(resources["mem_mb"]) >= 4000, rule
        assert 10 <= int(resources["runtime"]) <= 24 * 60, rule


def test_both_ways_to_name_the_profile_ask_for_the_same(workflow):
    assert requests(workflow, "--profile", "slurm") == requests(workflow, "--workflow-profile", "slurm")


def test_time_grows_with_every_attempt_and_stops_at_the_limit_of_the_partition():
    profile = yte.process_yaml((ROOT / "profiles/slurm/config.yaml").read_text())
    assert profile["retries"] == 3
    for rule, resources in profile["set-resources"].items():
        first, second, late = (eval(resources["runtime"], {"attempt": n, "min": min}) for n in (1, 2, 1000))
        assert first < second <= late == 24 * 60, rule


def test_the_block_at_the_top_sets_everything_that_differs_between_clusters(workflow):
    """Names that mean something in Python, or look like numbers, stay names."""
    profile = workflow.folder / "profiles/slurm/config.yaml"
    shipped = profile.read_text()
    text = shipped
    for old, new in {
        'account = "" ': 'account = "00123" ',
        'qos = "" ': 'qos = "input" ',
        'cpu_partition = "cpu"': 'cpu_partition = "all"',
        'gpu_partition = "gpu"': 'gpu_partition = "gpu-long"',
        "gpu_limit = 24 * 60": "gpu_limit = 90",
        '- one_gpu = dict(gpu=1, gpu_model="a100")': '- one_gpu = dict(gres="gpu:a100:1")',
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    profile.write_text(text)
    try:
        asked = requests(workflow, "--profile", "slurm")
    finally:
        profile.write_text(shipped)
    shard, fid = asked["generate_shard"], asked["compute_fid"]
    assert (shard["slurm_account"], shard["qos"], shard["slurm_partition"]) == ("00123", "input", "gpu-long")
    assert (shard["runtime"], shard["gres"]) == ("90", "gpu:a100:1")
    assert "gpu_model" not in shard
    assert (fid["slurm_account"], fid["slurm_partition"]) == ("00123", "all")


@pytest.mark.parametrize(
    ("squeue", "sacct", "answer"),
    [
        ("7|RUNNING 8|COMPLETED", "7|PENDING 6|COMPLETED", "7|RUNNING 6|COMPLETED 8|COMPLETED"),  # squeue counts
        (None, "7|CANCELLED_by_1000 8|TIMEOUT", "7|CANCELLED 8|TIMEOUT"),  # in one word, as the plugin knows it
        ("7|PREEMPTED", None, "7|CANCELLED"),  # SLURM will not start it again
        (None, "7|PREEMPTED", "7|PREEMPTED"),  # it may
        ("7|RUNNING", None, "7|RUNNING"),  # no accounting
        ("", "", ""),  # no jobs yet: an answer, too
        (None, None, None),
    ],
)
def test_our_sacct_answers_from_squeue_and_the_real_one(tmp_path, squeue, sacct, answer):
    for name, rows in (("squeue", squeue), ("sacct", sacct)):
        lines = "\n".join((rows or "").split()).replace("_", " ")
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{lines}'\nexit {int(rows is None)}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{ROOT / 'scripts/slurm'}:{tmp_path}:{os.environ['PATH']}"
    result = subprocess.run(
        ["sacct", "-X", "--parsable2", "--name", "run"], env=os.environ | {"PATH": path}, text=True, capture_output=True
    )
    if answer is None:
        assert result.returncode != 0
        assert "neither squeue nor sacct answers" in result.stderr
    else:
        assert sorted(result.stdout.split()) == sorted(answer.split())


def test_our_sacct_passes_other_questions_on(tmp_path):
    (tmp_path / "sacct").write_text("#!/bin/sh\necho real $*\n")
    (tmp_path / "sacct").chmod(0o755)
    path = f"{ROOT / 'scripts/slurm'}:{tmp_path}:{os.environ['PATH']}"
    result = subprocess.run(["sacct", "-j", "7"], env=os.environ | {"PATH": path}, text=True, capture_output=True)
    assert result.stdout == "real -j 7\n"


def test_the_link_that_makes_the_short_name_work_is_there():
    assert Path(ROOT / "slurm").readlink() == Path("profiles/slurm")
    assert [path.name for path in (ROOT / "slurm").iterdir()] == ["config.yaml"], "Snakemake wants exactly one file"
