"""Plan and status: what the disk holds, what it costs to finish, who works, what stopped and why; and starting over."""

import json
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import scipy.stats
from conftest import ROOT, small_config
from records import record

from emudrift.config.experiment import Experiment
from emudrift.config.reader import parse_config
from emudrift.data.dataset import prompt_table_of
from emudrift.data.prompt_table import write_prompts
from emudrift.errors import InputError
from emudrift.evaluation.fid.comparison import compare
from emudrift.evaluation.planning import required_n
from emudrift.evaluation.tables import write_table
from emudrift.generation.attempts import FINISHED, History, Recording
from emudrift.generation.progress_of_arms import survey
from emudrift.generation.remove_images import remove_images
from emudrift.report import plan_and_status as module
from emudrift.report.plan_and_status import expected_rate, plan_view, power_view, status_view
from emudrift.report.snakemake_plan import agreement_view
from emudrift.runtime.jobs import this_job
from emudrift.runtime.locks import Lock
from emudrift.runtime.progress import Progress
from emudrift.runtime.terminal import plain


@pytest.fixture
def experiment(tmp_path) -> Experiment:
    """Four arms of four shards of ten, none begun."""
    config = parse_config(small_config(sample_sizes=[40]), "test")
    experiment = Experiment(config, ROOT / "test.yaml")
    experiment.paths = replace(experiment.paths, results=tmp_path / "results")
    experiment.paths.results.mkdir()
    return experiment


def names(experiment: Experiment, arm: int, shard: int) -> tuple[str, str]:
    return experiment.arms()[arm].name, experiment.shards()[shard].name


def finish(experiment: Experiment, arm: int, shard: int, seconds: float = 36.0) -> None:
    """Ten images in so many seconds, 1,000 bytes each."""
    paths, shard_names = experiment.paths, names(experiment, arm, shard)
    paths.images(shard_names[0]).mkdir(parents=True, exist_ok=True)
    paths.archive(*shard_names).write_bytes(b"x" * 10_000)
    paths.manifest(*shard_names).write_text("{}")
    history = History(paths.attempts(*shard_names))
    history.begin(this_job(), 0, None)
    (attempt,) = history.attempts()
    history._write([replace(attempt, end=attempt.start + seconds, images=10, reason=FINISHED)])


def draw(experiment: Experiment, arm: int, shard: int, images: int) -> None:
    folder = experiment.paths.partial(*names(experiment, arm, shard))
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(images):
        (folder / f"{i:012d}.json").write_text("{}")


def stop(experiment: Experiment, arm: int, shard: int, error: Exception) -> None:
    history = History(experiment.paths.attempts(*names(experiment, arm, shard)))
    with pytest.raises(type(error)), Recording(history, this_job(), Progress("a", 10, "image")) as recording:
        recording.begin(0, None)
        raise error


def row(text: str, label: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.strip().startswith(label))
    return line.split(label)[1].split()


def test_a_plan_counts_shards_images_hours_and_bytes(experiment):
    for shard in (0, 1):
        finish(experiment, 0, shard)
    draw(experiment, 0, 2, 5)
    text = plain(*plan_view(experiment, survey(experiment)))
    # 1,000 images an hour measured: 15 of 40 are left; the other arms are as large and are expected to be as fast.
    assert row(text, "base, guidance 1") == ["2", "1", "1", "25", "of", "40", "1,000", "(measured)", "0.0"]
    assert row(text, "finetuned, guidance 3")[:6] == ["0", "0", "4", "0", "of", "40"]
    assert "1,000 (as base, guidance 1)" in text
    assert "CPU-hours left for generation: 0.1" in text
    assert "assumed" not in text


def test_the_rate_of_other_software_is_unknown_until_its_own_shard_has_finished(tmp_path):
    commands = [
        {"name": name, "generator": "command", "command": [name, "{prompts}", "{output}"], "guidance_scale": "each"}
        for name in ("one", "two")
    ]
    experiment = Experiment(parse_config(small_config(models=commands, sample_sizes=[40]), "test"), ROOT / "test.yaml")
    experiment.paths = replace(experiment.paths, results=tmp_path)
    assert "0.0, excluding one, guidance 1, one, guidance 3, two, guidance 1, two, guidance 3 (unknown until" in (
        plain(*plan_view(experiment, survey(experiment)))
    )
    finish(experiment, 0, 0)
    states = survey(experiment)
    assert [expected_rate(experiment, arm, states).source for arm in experiment.arms()] == [
        "measured", "as one, guidance 1", "unknown", "unknown"
    ]  # fmt: skip
    assert row(plain(*plan_view(experiment, states)), "two, guidance 1")[-2:] == ["unknown", "0.0"]


def test_without_a_finished_shard_the_rate_is_said_to_be_assumed(experiment):
    states = survey(experiment)
    assert expected_rate(experiment, experiment.arms()[0], states).images_per_hour == module.ASSUMED_RATE * 64
    assert "assumed: 400 images of 512 x 512 per hour" in plain(*plan_view(experiment, states))


def planned(experiment: Experiment, n: int, errors: tuple[float, float] = (1.0, 4.0)) -> tuple[list[list[str]], str]:
    """What a plan says after a pilot with these standard errors at guidance 1 and 3: the cells of N per pair, and all of it."""
    records = []
    for scale, error in zip((1.0, 3.0), errors, strict=True):
        records += [record(model, scale, n, 20.0, error=error) for model in ("base", "finetuned")]
    write_table(compare(records, "base"), experiment.paths.comparison_table)
    text = plain(*power_view(experiment))
    lines = [re.split(r"  +", line.strip()) for line in text.splitlines() if "finetuned − base" in line]
    return [line[-3:] for line in lines], " ".join(text.split())


def test_a_plan_after_a_pilot_says_how_many_images_are_enough(experiment):
    """By the test of the findings, both comparisons counted, and never less than the limit of 160 for 64 dimensions."""
    (narrow, wide), text = planned(experiment, 160)
    row = compare([record("base", 1.0, 160), record("finetuned", 1.0, 160)], "base").iloc[0]
    error = (row["high"] - row["low"]) / 2 / scipy.stats.t.ppf(0.975, 19)
    assert int(narrow[1].replace(",", "")) == required_n(error, 160, 1.0, comparisons=2)
    assert int(wide[1].replace(",", "")) > 8 * int(narrow[1].replace(",", ""))
    assert "in 80 % of experiments" in text
    assert "all 2 comparisons counted, from the standard errors at N = 160:" in text
    assert "range" not in text
    (sure, _), _ = planned(experiment, 160, (0.01, 1.0))
    assert sure == ["160"] * 3


def test_a_pilot_below_the_limit_gives_a_range_and_too_few_prompts_a_warning(experiment):
    (narrow, _), text = planned(experiment, 159)
    low, high = (int(end.replace(",", "")) for end in narrow[1].split(" to "))
    assert 160 <= low < high
    assert "a range: N is below the limit for a finding" in text
    assert "WARNING" not in text
    write_prompts(prompt_table_of(experiment), experiment.paths.prompts)
    (_, wide), text = planned(experiment, 160)
    assert f"WARNING: {wide[0]} images are more than the 600 prompts there are" in text
    assert "WARNING" not in planned(experiment, 160, (0.01, 0.02))[1]


def test_a_disk_that_will_not_suffice_is_warned_of(experiment, monkeypatch):
    usage = shutil.disk_usage(experiment.paths.results)
    assert "WARNING" not in plain(*plan_view(experiment, survey(experiment)))
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    assert "WARNING: not enough disk space" in plain(*plan_view(experiment, survey(experiment)))


def test_status_names_who_works_and_the_last_error_of_what_stopped(experiment):
    finish(experiment, 1, 0)
    draw(experiment, 1, 1, 4)
    stop(experiment, 1, 1, InputError("cannot write a.tar: no space left on device"))
    path = experiment.paths.lock(*names(experiment, 2, 0))
    with Lock(path, "a"):
        history = History(experiment.paths.attempts(*names(experiment, 2, 0)))
        history.begin(this_job(), 2, None)
        (attempt,) = history.attempts()
        history._write([replace(attempt, start=time.time() - 36)])
        draw(experiment, 2, 0, 8)
        text = plain(*status_view(experiment, survey(experiment)))
    # Six images in 36 s: 600 an hour, and 32 of 40 are left.
    assert row(text, "finetuned, guidance 1")[:7] == ["0", "1", "3", "8", "of", "40", "1"]
    assert 500 < int(row(text, "finetuned, guidance 1")[7]) <= 600, "less by what the test itself took"
    assert row(text, "finetuned, guidance 1")[8:] == ["3", "min"]
    assert f"finetuned, guidance 1, 000000-000010: process {os.getpid()} on" in text
    assert "stopped before completion, not running now (1):" in text
    assert "base, guidance 3, 000010-000020: error: cannot write a.tar: no space left on device" in text
    after = plain(*status_view(experiment, survey(experiment)))
    assert "running (" not in after.partition("stopped before")[0]
    assert "finetuned, guidance 1, 000000-000010: killed: ended without a record" in after


def test_a_finished_shard_whose_archive_was_lost_is_named(experiment):
    """One whose manifest was lost still has its images: its job verifies them and writes the manifest again."""
    for shard, lost in ((0, experiment.paths.archive), (1, experiment.paths.manifest)):
        finish(experiment, 0, shard)
        lost(*names(experiment, 0, shard)).unlink()
    text = plain(*status_view(experiment, survey(experiment)))
    assert "stopped before completion, not running now (1):" in text
    assert "base, guidance 1, 000000-000010: finished, but its archive is missing; snakemake -c 1 -f" in text
    assert row(text, "base, guidance 1")[:2] == ["1", "0"]


def test_a_plan_says_where_snakemake_plans_otherwise(experiment):
    for shard in (0, 1, 2):
        finish(experiment, 0, shard)
    archive = experiment.paths.archive(*names(experiment, 0, 2))
    archive.unlink()
    states = survey(experiment)
    everything = {(state.arm.name, each.shard.name) for state in states for each in state.shards}
    done = {names(experiment, 0, 0), names(experiment, 0, 1)}
    assert agreement_view(states, everything - done) == []
    text = plain(*agreement_view(states, everything - {names(experiment, 0, 1)}))
    assert "snakemake -n also lists 1 finished shards" in text
    assert "not there" not in text
    text = plain(*agreement_view(states, everything - done - {names(experiment, 0, 2)}))
    assert f"{names(experiment, 0, 2)[0]} 000020-000030: finished, but its archive is missing" in text
    assert "also lists" not in text
    assert "snakemake -n fails: no such" in plain(*agreement_view(states, "no such"))


def test_starting_over_removes_one_shard_or_one_arm_and_nothing_else(experiment):
    for arm in (0, 1):
        for shard in (0, 1):
            finish(experiment, arm, shard)
    draw(experiment, 0, 2, 3)
    name = experiment.arms()[0].name
    folder = experiment.paths.images(name)
    (folder / "batch.json").write_text(json.dumps({"batch_size": 4, "prompt_length": 9}))
    written = {path.name: path for path in experiment.fid_files() if path.parent.name == name}
    kept = [path for path in experiment.fid_files() if path.parent.name != name]
    for path in (*written.values(), *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    assert remove_images(experiment, "base-cfg1", "000010-000020") == ["000010-000020"]
    # Only what was made from images of that shard.
    assert {n: path.exists() for n, path in written.items()} == {n: int(n[:-5]) <= 10 for n in written}
    assert all(path.exists() for path in kept)
    assert sorted(p.name for p in folder.glob("*.tar")) == ["000000-000010.tar"]
    assert (folder / "batch.json").exists()
    assert remove_images(experiment, name, None) == ["000000-000010", "000020-000030"]
    assert not folder.exists()
    assert survey(experiment)[1].images == 20


def test_starting_over_refuses_what_is_not_there_and_what_is_being_made(experiment):
    finish(experiment, 0, 0)
    with pytest.raises(InputError, match="there is no arm 'bose'; the arms are base-cfg1-"):
        remove_images(experiment, "bose", None)
    with pytest.raises(InputError, match="has no shard '000030-000040'; its shards are 000000-000010"):
        remove_images(experiment, "base-cfg1", "000030-000040")
    path = experiment.paths.lock(*names(experiment, 0, 0))
    with Lock(path, "a"), pytest.raises(InputError, match="is working on it; stop that job first"):
        remove_images(experiment, "base-cfg1", None)
    assert survey(experiment)[0].count("done") == 1


def test_starting_over_is_not_stopped_by_what_a_killed_job_left(experiment):
    """A half-packed archive, and the lock of a job that died on another machine an hour ago."""
    finish(experiment, 0, 0)
    draw(experiment, 0, 1, 4)
    folder = experiment.paths.images(names(experiment, 0, 0)[0])
    (folder / ".tmp-0123-000010-000020.tar").write_bytes(b"half")
    (folder / ".tmp-0123-batch.json").write_bytes(b"{")
    lock = Path(f"{experiment.paths.lock(*names(experiment, 0, 1))}.1")
    lock.write_text(json.dumps(vars(replace(this_job(), host="another-node", slurm_id="7"))))
    assert "SLURM job 7 on another-node" in plain(*status_view(experiment, survey(experiment)))
    hour_ago = time.time() - 3600
    os.utime(lock, (hour_ago, hour_ago))
    assert "running (" not in plain(*status_view(experiment, survey(experiment)))
    assert remove_images(experiment, "base-cfg1", None) == ["000000-000010", "000010-000020"]
    assert [path.name for path in folder.iterdir() if path.is_file()] == [".tmp-0123-batch.json"]


def test_a_tokenizers_rate_says_nothing_about_drawing(experiment):
    floor = {"name": "floor", "generator": "tokenizer", "of": "base"}
    config = parse_config(small_config(sample_sizes=[40], models=[*small_config()["models"], floor]), "test")
    other = Experiment(config, ROOT / "test.yaml")
    other.paths = experiment.paths
    finish(other, 4, 0, seconds=1)
    states = survey(other)
    assert expected_rate(other, other.arms()[4], states).source == "measured"
    assert expected_rate(other, other.arms()[0], states).source == "assumed"
    shutil.rmtree(other.paths.results)
    other.paths.results.mkdir()
    assert row(plain(*plan_view(other, survey(other))), "floor")[-3:] == ["not", "generated", "0.0"]
