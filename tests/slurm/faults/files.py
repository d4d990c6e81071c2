"""Faults of files, disks, accounts and drivers on the throw-away cluster. docs/slurm-faults.md says how they ended.

    python tests/slurm/faults/files.py FAULT

As slow.py does. `full` and `read-only` mount a small file system for the images, which only root may.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(folder) for folder in Path(__file__).resolve().parents[:3]]

import cluster as throwaway  # noqa: E402
from cluster import wait_until  # noqa: E402
from conftest import Workflow  # noqa: E402
from drive import Driver, freeze_in_mid_work, payloads, prepare  # noqa: E402
from slow import HANGS, Scene, main  # noqa: E402

from emudrift.config.experiment import Experiment  # noqa: E402

ACCOUNT = "late"


def say(driver: Driver) -> None:
    """What a user sees of errors."""
    lines = [re.sub(r"^[\d:]+ ", "", line.strip()) for line in driver.said().splitlines()]
    told = [line for line in lines if re.match(r"error|Error|LockException|SLURM sbatch", line)]
    for line in dict.fromkeys(told):
        print(f"    {line[:300]}", flush=True)


def again(scene: Scene, driver: Driver, *arguments: str) -> Driver:
    """The next run, if that one failed."""
    if driver.process.wait(HANGS) == 0:
        return driver
    print(f"the driver ended with {driver.process.returncode}; the same command again", flush=True)
    say(driver)
    return scene.drive(*arguments)


def copied(scene: Scene) -> Driver:
    """Finished results are copied without their times into a fresh clone, with manifests older than what they were made of."""
    scene.drive().finish(HANGS)
    clone = prepare(Workflow(scene.room / "clone"))
    shutil.copytree(scene.workflow.results, clone.results, copy_function=shutil.copyfile)
    hour_ago = time.time() - 3600
    for path in clone.results.glob("images/*/*.json"):
        os.utime(path, (hour_ago, hour_ago))
    print(clone.snakemake("plan", "--quiet", "all", config="test.yaml").stdout, flush=True)
    scene.workflow = clone
    return scene.drive()


def cut(scene: Scene) -> Driver:
    """An archive is cut in half after it was done. What reads it says so; verify names the command; only what is lost is made."""
    scene.drive().finish(HANGS)
    archive = scene.workflow.folder / scene.targets[0].replace(".json", ".tar")
    os.truncate(archive, archive.stat().st_size // 2)
    experiment = Experiment.load(scene.workflow.folder / "test.yaml")
    (features,) = experiment.extracted_files(experiment.extractor_names[0], scene.arm, experiment.shards())
    driver = scene.drive(str(features.relative_to(experiment.paths.results.parents[1])), "--retries", "0")
    assert driver.process.wait(HANGS) != 0
    say(driver)
    found = scene.workflow.snakemake("verify", "--quiet", "all", config="test.yaml", check=False)
    assert found.returncode
    print(found.stdout, flush=True)
    assert f"-c 1 -f {scene.targets[0]}" in found.stdout
    return scene.drive("-f", scene.targets[0])


def own_disk(scene: Scene, kilobytes: int) -> Path:
    """A small file system for the images."""
    folder = scene.workflow.results / "images"
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", folder], check=True)
    scene.mounted.append(folder)
    return folder


def read_only(scene: Scene) -> Driver:
    """The images' file system is read-only for a minute, in mid-shard."""
    folder = own_disk(scene, 16_000)
    driver = scene.drive()
    scene.mid_work()
    # Refused while a file is open for writing.
    wait_until(
        lambda: not subprocess.run(["mount", "-o", "remount,ro", folder], stderr=subprocess.DEVNULL).returncode,
        30,
        "the file system to be read-only",
    )
    time.sleep(60)
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
    return again(scene, driver)


def full(scene: Scene) -> Driver:
    """The disk is full under three shards at once."""
    folder = own_disk(scene, 256)
    driver = scene.drive("--retries", "0", *scene.targets)
    at_once = 0
    while driver.process.poll() is None:
        at_once = max(at_once, len(payloads(scene.workflow)))
        time.sleep(0.5)
    print(f"{at_once} shards at once; the driver ended with {driver.process.returncode}", flush=True)
    say(driver)
    assert driver.process.returncode
    assert not list(folder.glob("*/*.tar"))
    assert not list(folder.rglob(".tmp-*"))
    subprocess.run(["mount", "-o", "remount,size=16000k", folder], check=True)
    return scene.drive()


def drivers(scene: Scene) -> Driver:
    """A second driver is started beside a living one, as a user does by mistake; a third one is told not to mind."""
    first = scene.drive()
    _, pid = freeze_in_mid_work(scene.cluster, scene.workflow)
    second = scene.drive()
    assert second.process.wait(HANGS) != 0
    say(second)
    known = {job["JobId"] for job in scene.cluster.jobs()}
    third = scene.drive("--nolock", *scene.targets)
    wait_until(lambda: payloads(scene.workflow).keys() - known, HANGS, "a job of the third driver")
    os.kill(pid, signal.SIGCONT)
    first.finish(HANGS)
    return third


def account(scene: Scene) -> Driver:
    """The last stage is charged to an account that does not exist; then to one that is closed while shards are generated."""
    profile = scene.workflow.folder / "profiles/slurm/config.yaml"
    shipped = profile.read_text()
    text = shipped.replace('account = "" ', f'account = "{throwaway.ACCOUNT}" ')
    text = text.replace("  plot: ?cpu_time(10)", f"  plot: ?cpu_time(10) | dict(slurm_account=repr('{ACCOUNT}'))")
    assert f"'{ACCOUNT}'" in text
    profile.write_text(text)
    driver = scene.drive("all")
    assert driver.process.wait(HANGS) != 0
    say(driver)
    assert not scene.cluster.jobs(), "something was queued"

    def open_account() -> None:
        scene.cluster.run("sacctmgr", "-i", "-Q", "add", "account", ACCOUNT, "Description=ci", "Organization=ci")
        scene.cluster.run("sacctmgr", "-i", "-Q", "add", "user", "root", f"Account={ACCOUNT}")

    open_account()
    driver = scene.drive("all")
    scene.mid_work()
    scene.cluster.run("sacctmgr", "-i", "-Q", "delete", "user", "root", f"Account={ACCOUNT}")
    scene.cluster.run("sacctmgr", "-i", "-Q", "delete", "account", ACCOUNT)
    assert driver.process.wait(2 * HANGS) != 0
    print("the account was closed during the run, which ended with an error", flush=True)
    say(driver)
    open_account()
    return scene.drive("all")


FAULTS = {
    "copied": copied,
    "cut": cut,
    "read-only": read_only,
    "full": full,
    "drivers": drivers,
    "account": account,
}

if __name__ == "__main__":
    main(FAULTS, {"full": {"sample_sizes": [10, 30]}}, {"account"})
