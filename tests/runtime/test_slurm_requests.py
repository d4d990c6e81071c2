"""What a cluster would refuse, in one line for each request. tests/slurm asks a real SLURM."""

import pytest

from emudrift.runtime.slurm_requests import refusals

SBATCH = """#!/bin/sh
case "$*" in
  *h100*) echo "allocation failure: Requested node configuration is not available" >&2; exit 1;;
  *--test-only*--wrap\\ true) echo "sbatch: Job 5 to start at 2026-11-21T19:06:55" >&2;;
  *) exit 3;;
esac
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    for name, text in (
        ("sbatch", SBATCH),
        ("sinfo", "#!/bin/sh\nprintf 'gpu|1-12:00:00\\ncpu|30:00\\nlong|infinite\\n'\n"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (" -p gpu -t 2160 --gpus=a100:1", None),
        (" -p gpu -t 2161 --gpus=a100:1", "partition gpu allows 2160 minutes, and they ask for 2161"),
        (" -p cpu -t 31", "partition cpu allows 30 minutes, and they ask for 31"),
        (" -p long -t 99999", None),
        (" -t 99999", None),  # the default partition: sbatch knows which
        (" -p gpu -t 60 --gpus=h100:1", "Requested node configuration is not available"),
    ],
)
def test_what_would_be_refused_is_one_line_with_rules_reason_and_remedy(cluster, options, reason):
    expected = (
        f"the cluster would refuse jobs of generate_shard, plot: {reason} (sbatch{options}); "
        "change the block at the top of the SLURM profile"
    )
    assert refusals({options: ["generate_shard", "plot"]}) == ([] if reason is None else [expected])


def test_a_cluster_without_an_answer_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (said,) = refusals({" -p gpu": ["plot"]})
    assert "sbatch does not answer" in said
