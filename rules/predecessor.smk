"""On a cluster, before anything is submitted: jobs that a Snakemake which was killed has left are cancelled if they wait, waited for
if they run, and taken over if they completed. Nothing happens on one machine, in a dry run, and inside of jobs.
"""

from snakemake.logging import logger

from emudrift.runtime import slurm_runs

GPU_RULES = ("generate_shard", "extract_features", "reference_features", "embed_captions")


onstart:
    run = getattr(
        workflow.scheduler._executor, "run_uuid", None
    )  # The name of all jobs that the SLURM plugin submits.
    if run is not None and not all(job.is_local for job in workflow.dag.needrun_jobs()):
        from snakemake_executor_plugin_slurm.utils import get_job_wildcards

        try:
            dead = slurm_runs.dead_runs(paths.runs)
            completed = slurm_runs.settle(dead.keys(), logger.warning) if dead else set()
        except InputError as error:
            fail(str(error))
        # Only what the path names completely, and where nothing before it changed.
        taken_over = [
            job
            for job in workflow.dag.needrun_jobs()
            if job.name in GPU_RULES
            and f"rule_{job.name}_wildcards_{get_job_wildcards(job)}" in completed
            and all(map(os.path.exists, job.output))
            and not any(map(workflow.dag.needrun, workflow.dag.dependencies[job]))
        ]
        for job in taken_over:
            workflow.async_run(workflow.persistence.finished(job))
        for file in sum(dead.values(), []):
            file.unlink(missing_ok=True)
        if taken_over:
            # The plan was made before. What runs now makes a new one, in the same process.
            logger.warning(f"an earlier run's jobs completed, {len(taken_over)} of them unseen; planning again")
            workflow.persistence.unlock()
            os.execv(sys.executable, sys.orig_argv)
        slurm_runs.begin(paths.runs, run)
