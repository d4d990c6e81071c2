"""A full disk: a clear message, nothing half-written that counts as done, and the next run goes on."""

import os
import shutil
import subprocess

import pytest
from conftest import archives, arm_name, small_config


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of its own, and how to give that another size."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder]).returncode:
        pytest.skip("needs to mount a tmpfs, which only root may")

    def resize(kilobytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", folder], check=True)

    try:
        yield folder, resize
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_shard_on_a_full_disk_fails_clearly_and_goes_on_when_there_is_space(finished, new_workflow, small_disk):
    """Full in the middle of the images, then in the middle of the archive, then no longer."""
    disk, resize = small_disk
    workflow = new_workflow("full")
    results = workflow.folder / "results/small"
    shutil.copytree(finished.results, results, ignore=shutil.ignore_patterns("images", "features", "fid*"))
    (results / "images").symlink_to(disk)
    arm = arm_name(finished, "base-cfg3")
    target = f"results/small/images/{arm}/000000-000010.json"
    config = workflow.write_config(small_config())

    for kilobytes in (64, 180):
        resize(kilobytes)
        result = workflow.snakemake(target, config=config, check=False)
        assert result.returncode != 0
        assert "no space left on device; free some space and run again" in result.stdout
        assert "Traceback" not in result.stdout
        assert not list(disk.glob("*/*.tar")), "half an archive counts as done"
        assert not list(disk.glob("*/0*.json"))
        assert not list(disk.rglob(".tmp-*")), "what was begun takes space for nothing"
    resize(8192)
    workflow.snakemake(target, "--quiet", "rules", config=config)
    assert archives(results) == {path: data for path, data in archives(finished.results).items() if path[:-4] in target}
