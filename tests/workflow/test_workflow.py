"""The DAG as a user meets it: what a change reruns, what survives a kill, and what the shipped experiments plan."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, archives, arm_name, small_config

from emudrift.config.paths import ExperimentPaths
from emudrift.features.statistics import Statistics, write_statistics
from emudrift.generation.attempts import KILLED


def test_the_experiment_makes_every_output(finished):
    names = {"fid.csv", "comparison.csv", "report.html", "checked.json"}
    endings = (".svg", ".pdf", ".png", "-data.csv")
    names |= {f"figures/{name}{ending}" for name in ("fid", "difference", "grid") for ending in endings}
    names |= {"gallery/000000-000020.json", "gallery/000000-000020/000019.webp"}
    assert [name for name in names if not (finished.results / name).stat().st_size] == []
    assert len(list(finished.results.glob("prompts-*.parquet"))) == 1
    assert len(archives(finished.results)) == 8
    table = pd.read_csv(finished.results / "fid.csv")
    assert len(table) == 8
    assert table[["fid", "low", "high", "n", "reference_n"]].notna().all(axis=None)
    assert not list(finished.results.glob("images/*/.partial/*")), "work in progress was left behind"


def finished_copy(finished, new_workflow):
    """The finished experiment in a folder of its own, where a test may break it."""
    workflow = new_workflow("over")
    workflow.take_over(finished.folder)
    workflow.config = workflow.write_config(small_config())
    return workflow


@pytest.mark.slow
def test_a_shard_that_is_started_over_is_drawn_again_with_what_follows(finished, new_workflow):
    """On a copy: only its own jobs are planned, and the bytes come out the same."""
    workflow = finished_copy(finished, new_workflow)
    config = workflow.config
    before = archives(workflow.folder / "results/small")
    assert workflow.planned(config=config) == {}
    said = workflow.snakemake("remove_images", config=config, environment={"ARM": "base-cfg3", "ROWS": "000010-000020"})
    assert "removed 1 shards of base-cfg3: 000010-000020" in said.stdout
    plan = workflow.planned(config=config)
    assert set(plan) == {"generate_shard", "extract_features", "compute_fid", "gallery"} | AFTERWARDS
    assert {rule: len(plan[rule]) for rule in ("generate_shard", "compute_fid")} == {
        "generate_shard": 1,
        "compute_fid": 2,  # the files of one job: N = 10 and 20
    }
    (ten,) = workflow.folder.glob("results/small/fid/*/full/base-cfg3-*/.kept/10.json")
    kept = ten.stat().st_mtime_ns
    assert not ten.with_name("20.json").exists()
    workflow.snakemake("results/small/fid.csv", "--quiet", "rules", config=config)
    assert archives(workflow.folder / "results/small") == before
    assert ten.stat().st_mtime_ns == kept, (
        "the FID of N = 10, which had none of its images in that shard, was computed again"
    )
    assert ten.with_name("20.json").exists()
    refused = workflow.snakemake("remove_images", config=config, check=False)
    assert refused.returncode != 0
    assert "say which arm" in refused.stdout


def test_starting_an_arm_over_leaves_nothing_of_it_but_logs(finished, new_workflow):
    """Whatever is made of an arm's images is found by its name: a path that moves cannot be left behind."""
    workflow = finished_copy(finished, new_workflow)
    results, arm = workflow.folder / "results/small", arm_name(finished, "base-cfg3")
    records = {"logs", "benchmarks"}

    def of_arm() -> set[str]:
        found = (path.relative_to(results) for path in results.rglob("*") if path.is_file())
        return {str(path) for path in found if arm in str(path) and path.parts[0] not in records}

    before = of_arm()
    assert {path.partition("/")[0] for path in before} == {"images", "features", "fid"}
    workflow.snakemake("remove_images", config=workflow.config, environment={"ARM": "base-cfg3"})
    assert of_arm() == set()
    assert len(archives(results)) == 6
    assert not (results / "report.html").exists()


def test_without_its_benchmarks_nothing_is_planned(finished, new_workflow):
    workflow = finished_copy(finished, new_workflow)
    shutil.rmtree(workflow.folder / "results/small/benchmarks")
    shutil.rmtree(workflow.folder / "resources/benchmarks")
    assert workflow.planned(config=workflow.config) == {}


def test_every_job_leaves_a_benchmark(finished):
    paths = ExperimentPaths(finished.results, finished.folder / "resources")
    jobs = Counter(
        path.relative_to(paths.benchmarks).parts[0].removesuffix(".tsv") for path in paths.benchmarks.rglob("*.tsv")
    )
    assert jobs == {
        "extract_prompts": 1, "list_reference_images": 1, "check_model": 2, "check_experiment": 1, "generate_shard": 8,
        "extract_features": 4, "compute_fid": 4, "collect": 1, "compare": 1, "plot": 1, "gallery": 1, "report": 1,
    }  # fmt: skip


def test_plan_and_status_can_be_asked_at_any_time(finished):
    for target in ("plan", "status"):
        text = finished.snakemake(target, "--quiet", "all", config=finished.config).stdout
        assert text.count("20 of 20") == 4, text
    assert finished.planned(config=finished.config) == {}, "asking made something stale"


def test_nothing_is_planned_when_nothing_changed(finished):
    assert finished.planned(config=finished.config) == {}


AFTERWARDS = {"collect", "compare", "plot", "report"}


def test_adding_an_n_plans_only_its_distances_and_what_follows(finished):
    config = finished.write_config(small_config(sample_sizes=[10, 15, 20]), "n.yaml")
    plan = finished.planned(config=config)
    assert set(plan) == {"compute_fid"} | AFTERWARDS
    assert len({Path(path).parent for path in plan["compute_fid"]}) == 4


def test_adding_a_larger_n_keeps_every_finished_shard(finished):
    config = finished.write_config(small_config(sample_sizes=[10, 20, 30]), "larger.yaml")
    plan = finished.planned(config=config)
    assert (
        set(plan) == {"check_experiment", "generate_shard", "extract_features", "compute_fid", "gallery"} | AFTERWARDS
    )
    assert {Path(path).stem for path in plan["generate_shard"]} == {"000020-000030"}
    assert {Path(path).name for path in plan["extract_features"]} == {"000000-005000.json"}
    assert len(plan["extract_features"]) == 4, "one job for each arm, which keeps what is there (test_extract.py)"
    assert {Path(path).stem for path in plan["compute_fid"]} == {"10", "20", "30"}


def test_snakemakes_own_report_holds_the_figures_and_the_page(finished):
    finished.snakemake("--report", "own.html", config=finished.config)
    text = (finished.folder / "own.html").read_text()
    for name in ("figures/fid.svg", "figures/difference.svg", "figures/grid.png", "report.html"):
        assert f"results/small/{name}" in text, name
    assert "extrapolated to infinite N" in text, "the caption of the figure"


def test_a_gallery_that_is_lost_is_made_again(finished):
    strip = finished.results / "gallery/000000-000020"
    strip.rename(finished.folder / "elsewhere")
    try:
        assert set(finished.planned(config=finished.config)) == {"gallery", "report"}
    finally:
        (finished.folder / "elsewhere").rename(strip)


def test_another_order_of_the_models_makes_anew_what_shows_it(finished):
    models = small_config()["models"][::-1]
    config = finished.write_config(small_config(models=models, baseline="base"), "order.yaml")
    assert {"collect", "compare", "gallery", "plot", "report"} <= set(finished.planned(config=config))
    assert "generate_shard" not in finished.planned(config=config)


def test_another_note_makes_the_figures_and_the_page_anew_and_not_the_gallery(finished):
    plan = finished.planned(config=finished.write_config(small_config(note="Another."), "note.yaml"))
    assert set(plan) == AFTERWARDS


def test_a_model_that_is_called_a_control_is_compared_anew(finished):
    models = small_config()["models"]
    controls = [models[0], models[1] | {"identical_to": models[0]["name"]}]
    plan = finished.planned(config=finished.write_config(small_config(models=controls), "control.yaml"))
    assert set(plan) == AFTERWARDS - {"collect"}


def test_changing_the_batch_size_plans_nothing(finished):
    resources = {"generation_batch_size": 3, "feature_batch_size": 5}
    assert finished.planned(config=finished.write_config(small_config(resources=resources), "batch.yaml")) == {}


def test_changing_a_guidance_scale_plans_only_its_arms(finished):
    config = finished.write_config(small_config(guidance_scales=[1, 2]), "scale.yaml")
    plan = finished.planned(config=config)
    assert set(plan) == {"generate_shard", "extract_features", "compute_fid", "gallery"} | AFTERWARDS
    arms = [Path(path).parent.name for path in plan["generate_shard"]]
    arms += [Path(path).parents[1].name for path in plan["extract_features"]]
    assert {arm.rsplit("-", 1)[0] for arm in arms} == {"base-cfg2", "finetuned-cfg2"}


def test_adding_a_model_plans_only_its_arms(finished):
    third = {"name": "third", "generator": "folder", "images": "demo/data/images"}
    config = finished.write_config(small_config(models=[*small_config()["models"], third]), "model.yaml")
    plan = finished.planned(config=config)
    assert set(plan) == {
        "check_model", "check_experiment", "generate_shard", "extract_features", "compute_fid", "gallery", *AFTERWARDS
    }  # fmt: skip
    assert {Path(path).parent.name.rsplit("-", 1)[0] for path in plan["generate_shard"]} == {"third"}


def test_forcing_compute_fid_reruns_only_the_distances_and_what_follows(finished):
    plan = finished.planned("-R", "compute_fid", config=finished.config)
    assert set(plan) == {"compute_fid"} | AFTERWARDS
    assert len({Path(path).parent for path in plan["compute_fid"]}) == 4


def test_another_experiment_takes_the_reference_from_the_cache(finished):
    plan = finished.planned(config=finished.write_config(small_config(name="other", seed=1), "other.yaml"))
    assert "generate_shard" in plan
    assert not {"reference_features", "reference_statistics", "list_reference_images"} & set(plan)


def test_images_do_not_depend_on_batch_size_or_shard_size(finished, new_workflow):
    """The same arms again, five to a shard and three to a batch: the same image for every prompt."""
    workflow = finished_copy(finished, new_workflow)
    resources = small_config()["resources"] | {"generation_batch_size": 3}
    config = workflow.write_config(
        small_config(shard_size=5, sample_sizes=[10], resources=resources, guidance_scales=[3])
    )
    arm = arm_name(finished, "base-cfg3")
    shutil.rmtree(workflow.folder / "results/small/images")  # Else they would be taken from there.
    targets = [f"results/small/images/{arm}/{rows}.json" for rows in ("000000-000005", "000005-000010")]
    workflow.snakemake(*targets, "--quiet", "rules", config=config)
    split = {}
    for target in targets:
        split |= json.loads((workflow.folder / target).read_text())["sha256"]
    whole = json.loads((finished.results / "images" / arm / "000000-000010.json").read_text())["sha256"]
    assert split == whole


def test_a_shard_killed_in_mid_work_gives_the_same_bytes(finished, new_workflow):
    """The shard's own program, the real miniature, SIGKILL after its first image, then again."""
    workflow, arm, rows = new_workflow("killed"), arm_name(finished, "finetuned-cfg3"), "000000-000010"
    key = next(finished.results.glob("prompts-*.parquet")).stem.removeprefix("prompts-")
    paths = ExperimentPaths(workflow.folder / "results/small", workflow.folder / "resources", key)
    before = ExperimentPaths(finished.results, finished.folder / "resources", key)
    for ours, theirs in (
        (paths.prompts, before.prompts),
        (paths.model_record("finetuned"), before.model_record("finetuned")),
    ):
        ours.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(theirs, ours)
    command = [
        sys.executable, str(workflow.folder / "scripts/generate_shard.py"), "--config", str(finished.config),
        "--arm", arm, "--rows", rows, "--batch-size", "8",
    ]  # fmt: skip
    process = subprocess.Popen(command)
    partial = paths.partial(arm, rows)
    while not list(partial.glob("[0-9]*.json")) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the shard ended before it was killed: the test proves nothing"
    assert 0 < len(list(partial.glob("[0-9]*.json"))) < 10
    subprocess.run(command, check=True)
    assert paths.archive(arm, rows).read_bytes() == before.archive(arm, rows).read_bytes()
    assert json.loads(paths.manifest(arm, rows).read_text())["attempts"][0]["reason"] == KILLED


def test_after_a_kill_of_snakemake_itself_the_documented_recovery_works_without_a_profile(finished, new_workflow):
    """Its job ends after it, so that there is an output that nobody has looked at."""
    workflow = new_workflow("unlock")
    workflow.take_over(finished.folder)
    table, started = workflow.folder / "results/small/fid.csv", workflow.folder / "started"
    table.unlink()
    script = workflow.folder / "scripts/collect.py"
    script.write_text(f"open({str(started)!r}, 'w'); import time; time.sleep(1)\n" + script.read_text())
    call = [sys.executable, "-m", "snakemake", "--configfile", str(finished.config), "-c", "1", "results/small/fid.csv"]
    driver = subprocess.Popen(call, cwd=workflow.folder, stderr=subprocess.DEVNULL)
    while not started.exists() and driver.poll() is None:
        time.sleep(0.01)
    driver.kill()
    assert driver.wait() == -signal.SIGKILL, "it ended before it was killed: the test proves nothing"
    while not table.exists():
        time.sleep(0.01)
    locked = workflow.snakemake("results/small/fid.csv", config=finished.config, check=False)
    assert "Directory cannot be locked" in locked.stdout
    workflow.snakemake("--unlock", config=finished.config)
    assert "1 of 1 steps (100%) done" in workflow.snakemake("results/small/fid.csv", config=finished.config).stdout
    assert table.read_bytes() == (finished.results / "fid.csv").read_bytes()


# -- what a user can get wrong, through the front door ---------------------------------------------------------------


def broken(**changes):
    return lambda: small_config(**changes)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (broken(modles=[]), "modles: unknown key; did you mean 'models'?"),
        (broken(prompts={"captions": "no/such.json", "images": "demo/data/images"}), "prompts: captions: no such file"),
        (broken(reference={"images": "no/such/folder"}), "reference: images: no such file or folder"),
    ],
)
def test_a_wrong_config_is_one_line_and_no_traceback(new_workflow, config, said):
    workflow = new_workflow()
    result = workflow.snakemake(config=workflow.write_config(config()), check=False)
    assert result.returncode == 1
    assert said in result.stdout
    assert "Traceback" not in result.stdout
    assert not (workflow.folder / "results").exists()


def test_more_images_than_prompts_and_a_broken_model_are_found_before_anything_is_drawn(new_workflow):
    workflow = new_workflow()
    config = workflow.write_config(small_config(sample_sizes=[10, 5000]))
    result = workflow.snakemake("check", config=config, check=False)
    assert result.returncode == 1
    assert "sample_sizes: N = 5,000 is more than the 600 prompts of the dataset" in result.stdout
    empty = {"name": "base", "generator": "emu3", "checkpoint": {"path": "demo/data"}}
    result = workflow.snakemake(config=workflow.write_config(small_config(models=[empty])), check=False)
    assert "has no config.json, so it is no checkpoint folder" in result.stdout
    assert "Traceback" not in result.stdout
    assert not (workflow.folder / "results/small/images").exists()


def test_single_settings_on_the_command_line_are_refused_not_ignored(new_workflow):
    workflow = new_workflow()
    result = workflow.snakemake("--config", "seed=5", config=workflow.write_config(small_config()), check=False)
    assert result.returncode == 1
    assert "--config cannot change single settings" in result.stdout


def test_the_published_experiment_is_planned_without_network_gpu_or_dataset(new_workflow):
    workflow = new_workflow()
    plan = workflow.planned(config=workflow.folder / "config.yaml")
    assert len(plan["generate_shard"]) == (2 * 3 + 1) * 20  # the tokenizer is one arm more
    assert len({Path(path).parent for path in plan["compute_fid"]}) == 2 * 3 + 1
    assert {"download_coco", "download_model", "download_inception_weights"} <= set(plan)


def test_missing_weights_are_an_error_also_where_older_results_lie(finished):
    extractor = {"name": "inception", "weights": "no/such.pth"}
    config = finished.write_config(small_config(extractors=[extractor]), "weights.yaml")
    result = finished.snakemake("--dry-run", config=config, check=False)
    assert result.returncode == 1
    assert "extractors: weights: no such file or folder" in result.stdout


def test_ready_statistics_of_the_wrong_dimension_are_found_by_the_check(new_workflow, tmp_path):
    write_statistics(tmp_path / "other.npz", Statistics(np.zeros(192), np.eye(192), 10), {})
    extractor = small_config()["extractors"][0] | {"reference_statistics": str(tmp_path / "other.npz")}
    workflow = new_workflow()
    config = workflow.write_config(small_config(extractors=[extractor]))
    result = workflow.snakemake("check", config=config, check=False)
    assert result.returncode == 1
    assert "other.npz: mu has 192 dimensions, but the extractor has 64" in result.stdout


def test_a_model_that_was_replaced_since_it_was_checked_is_not_mixed_in(new_workflow, tmp_path):
    images = shutil.copytree(ROOT / "demo/data/images", tmp_path / "images")
    workflow = new_workflow()
    models = [{"name": "others", "generator": "folder", "images": str(images)}]
    workflow.snakemake("check", "--quiet", "rules", config=workflow.write_config(small_config(models=models)))
    first, second = sorted(images.iterdir())[:2]
    for path in sorted(images.iterdir()):
        shutil.copy(second if path != second else first, path)
    result = workflow.snakemake(config=workflow.write_config(small_config(models=models)), check=False)
    assert result.returncode == 1
    assert "others: its files have changed since check_model validated them" in result.stdout
    assert not list((workflow.folder / "results/small/images").glob("*/*.tar"))


# -- real photographs ------------------------------------------------------------------------------------------------


def test_worse_photographs_are_farther_from_the_real_ones(coco, new_workflow, tmp_path):
    """79 COCO photographs as reference; folder arms made of them: intact, JPEG quality 10, blurred."""
    from PIL import Image, ImageFilter

    folders = {name: tmp_path / name for name in ("intact", "jpeg", "blur")}
    for folder in folders.values():
        folder.mkdir()
    for path in sorted((coco / "val2017").glob("*.jpg")):
        image = Image.open(path).convert("RGB")
        shutil.copy(path, folders["intact"] / path.name)
        image.save(folders["jpeg"] / path.name, quality=10)
        image.filter(ImageFilter.GaussianBlur(8)).save(folders["blur"] / f"{path.stem}.png")
    config = small_config(
        name="photographs",
        prompts={"captions": str(coco / "captions_val2017_79.json"), "images": str(coco / "val2017")},
        models=[{"name": name, "generator": "folder", "images": str(folder)} for name, folder in folders.items()],
        sample_sizes=[40, 79],
        shard_size=79,
        extractors=[{"name": "inception-random", "dims": 192}],
        reference={"images": "dataset", "selection": "same"},
    )
    workflow = new_workflow("photographs")
    made = "results/photographs/fid.csv"
    workflow.snakemake(made, "--quiet", "rules", config=workflow.write_config(config))
    table = pd.read_csv(workflow.folder / made).set_index(["model", "n"])["fid"]
    for n in (40, 79):
        assert abs(table["intact", n]) < 1e-6, "the same images are no distance apart"
        assert 0.01 < table["jpeg", n] < table["blur", n]
