"""Real Snakemake over finished images: whatever makes a shard's job run again, the generator is not called and bytes stay."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from conftest import archives, small_config

from emudrift.data.prompt_table import prompt_table

PROGRAM = """
import json, sys
from pathlib import Path
from PIL import Image

prompts, output = Path(sys.argv[1]), Path(sys.argv[2])
for prompt in map(json.loads, prompts.read_text(encoding="utf-8").splitlines()):
    colour = tuple(prompt["seed"].to_bytes(8, "little")[:3])
    with Path("calls.txt").open("a") as calls:
        calls.write(prompt["prompt_id"] + "\\n")
    image = Image.new("RGB", (prompt["width"], prompt["height"]), colour)
    image.save(output / f"{prompt['prompt_id']}.tmp", format="PNG")
    (output / f"{prompt['prompt_id']}.tmp").rename(output / f"{prompt['prompt_id']}.png")
"""


def config(**changes):
    command = [sys.executable, "paint.py", "{prompts}", "{output}"]
    return small_config(models=[{"name": "paint", "generator": "command", "command": command}]) | changes


class Shards:
    """A workflow whose generator counts, and the manifests of its two shards as targets."""

    def __init__(self, workflow) -> None:
        self.workflow, self.results = workflow, workflow.folder / "results/small"
        (workflow.folder / "paint.py").write_text(PROGRAM)
        self.config = workflow.write_config(config())

    def targets(self) -> list[str]:
        from emudrift.config.experiment import Experiment

        made = Experiment.load(self.config)
        return [f"results/small/images/{made.arms()[0].name}/{shard.name}.json" for shard in made.shards()]

    def run(self, *arguments: str) -> int:
        """Makes the shards; returns how many images were generated for them."""
        before = self.calls()
        self.workflow.snakemake(*self.targets(), "--quiet", "rules", *arguments, config=self.config)
        return self.calls() - before

    def calls(self) -> int:
        path = self.workflow.folder / "calls.txt"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def planned(self, *arguments: str) -> dict[str, list[str]]:
        return self.workflow.planned(*self.targets(), *arguments, config=self.config)

    def state(self) -> dict[str, bytes]:
        made = {path: (self.workflow.folder / path).read_bytes() for path in self.targets()}
        return made | archives(self.results)


@pytest.fixture(scope="module")
def shards(new_workflow) -> Shards:
    made = Shards(new_workflow("finished-images"))
    assert made.run() == 20
    made.before = made.state()
    assert len(made.before) == 4
    return made


def test_forced_jobs_generate_nothing(shards):
    """Forced as the part of a job that runs on a node is: so does a late duplicate of a finished job begin."""
    assert len(shards.planned("--forceall")["generate_shard"]) == 2, "nothing is forced: the test proves nothing"
    assert shards.run("--forceall") == 0
    assert shards.state() == shards.before
    assert shards.planned() == {}


def test_results_copied_without_their_times_generate_nothing(shards, new_workflow):
    """In the worst order: what is read is newer than what was made of it; Snakemake's own memory is not copied."""
    copy = Shards(new_workflow("copied"))
    shutil.copytree(shards.results, copy.results, copy_function=shutil.copyfile)
    # Never into the future: Snakemake refuses a job whose output is older than its input.
    hour_ago = time.time() - 3600
    for path in copy.results.glob("images/*/*.json"):
        os.utime(path, (hour_ago, hour_ago))
    assert len(copy.planned()["generate_shard"]) == 2
    assert "also lists 2 finished shards" in copy.workflow.snakemake("plan", config=copy.config).stdout
    assert copy.run() == 0
    assert copy.state() == shards.before
    assert copy.planned() == {}


def test_a_changed_time_upstream_generates_nothing(shards):
    """With a manifest deleted as well, as Snakemake leaves it behind a job that was cancelled."""
    os.utime(shards.workflow.folder / "demo/data/captions.json")
    Path(shards.workflow.folder, shards.targets()[1]).unlink()
    assert shards.run() == 0
    assert shards.state() == shards.before


def test_a_setting_changed_and_changed_back_plans_nothing(shards):
    shards.config = shards.workflow.write_config(config(seed=1))
    assert shards.run() == 20
    assert json.loads(Path(shards.workflow.folder, shards.targets()[0]).read_text())["taken"] == []
    shards.config = shards.workflow.write_config(config())
    assert shards.planned() == {}
    assert {path: data for path, data in shards.state().items() if path in shards.before} == shards.before


def test_columns_of_prompts_plan_no_shard_and_conditions_generate_only_what_is_new(shards):
    prompts = config()["prompts"]
    shards.config = shards.workflow.write_config(config(prompts=prompts | {"annotations": ["aspect_ratio"]}))
    assert shards.planned() == {}
    table = prompt_table("coco", shards.workflow.folder / prompts["captions"], caption="longest", seed=0)
    words = table["caption"].str.split().str.len()
    least = int(words.median())
    first, chosen = ({*some["prompt_id"][:20]} for some in (table, table[words >= least]))
    assert 0 < len(first & chosen) < 20
    shards.config = shards.workflow.write_config(config(prompts=prompts | {"where": {"caption_words": {"min": least}}}))
    # One after another: a shard cannot take what another one, which is made again at the same time, has just given up.
    assert shards.run("--cores", "1") == len(chosen - first)
    manifests = [json.loads(Path(shards.workflow.folder, target).read_text()) for target in shards.targets()]
    assert {prompt_id for manifest in manifests for prompt_id in manifest["sha256"]} == chosen
    shards.config = shards.workflow.write_config(config())
    assert shards.run() == 0, "all are there, set aside"


@pytest.mark.slow
def test_starting_over_is_the_way_to_generate_again(shards):
    arm = Path(shards.targets()[0]).parent.name
    shards.workflow.snakemake("remove_images", config=shards.config, environment={"ARM": arm, "ROWS": "000000-000010"})
    assert shards.run() == 10
    assert {path: data for path, data in shards.state().items() if path in shards.before}.keys() == shards.before.keys()
