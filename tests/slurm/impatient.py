"""`python -m snakemake` with the SLURM plugin as it is, but asking for its jobs every three seconds.

After each question without news the plugin waits ten seconds longer for the next one, up to three minutes.
"""

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

SECONDS = 3

if __name__ == "__main__":
    Executor.next_seconds_between_status_checks = property(lambda self: SECONDS, lambda self, value: None)
    main()
