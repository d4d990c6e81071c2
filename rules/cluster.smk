"""On a SLURM cluster, before anything is submitted; in a dry run, on one machine and inside of jobs nothing happens.

1. Every kind of request is shown to sbatch: what the cluster would refuse is an error now, and not after hours.
2. Jobs that a Snakemake which was killed has left are cancelled if they wait, waited for if they run, and taken over if they
   completed.
"""

from types import SimpleNamespace

from snakemake.exceptions import WorkflowError
from snakemake.iocontainers import InputFiles, Wildcards
from snakemake.logging import logger

from emudrift.runtime import slurm_requests, slurm_runs

GPU_RULES = (
    "generate_shard",
    "generate_on_node",
    "answer_shard",
    "extract_features",
    "reference_features",
    "embed_captions",
    "select_prompts_by_clip",
    "annotate_prompts_by_clip",
)


def submitted(each, attempt, executor):
    """The options of sbatch with which the plugin submits a rule's jobs; None if it refuses to."""
    from snakemake_executor_plugin_slurm.submit_string import get_submit_command
    from snakemake_executor_plugin_slurm.utils import set_gres_string

    resources = each.expand_resources(Wildcards(), InputFiles(), attempt)
    job = SimpleNamespace(resources=resources, threads=resources._cores)
    names = dict(run_uuid="test", slurm_logfile=os.devnull, comment_str="test", workdir=None)
    account = next(executor.get_account_arg(job)) if resources.get("slurm_account") else ""
    partition = f"-p {resources.slurm_partition}" if resources.get("slurm_partition") else ""
    command = get_submit_command(
        job, names | dict(account=account, partition=partition), settings=workflow.executor_settings
    )
    return command.split(" --comment test ")[1] + set_gres_string(job)


def check_requests(names, executor):
    """Exits with what the cluster would refuse of these rules: the first attempt, and the last, which asks for most."""
    requests = {}
    try:
        for each in workflow.rules:
            if each.name in names and not workflow.is_local(each):
                for attempt in {1, 1 + each.restart_times}:
                    requests.setdefault(submitted(each, attempt, executor), []).append(each.name)
    except WorkflowError as error:
        fail(f"the cluster would refuse jobs of {each.name}: {' '.join(str(error).split())}")
    if refused := slurm_requests.refusals({options: sorted({*rules}) for options, rules in requests.items()}):
        fail("\n".join(refused))


def take_over():
    """Settles what dead runs have left. Starts Snakemake again, in the same process, if its plan has become wrong by that."""
    from snakemake_executor_plugin_slurm.utils import get_job_wildcards

    dead = slurm_runs.dead_runs(paths.runs)
    completed = slurm_runs.settle(dead.keys(), logger.warning) if dead else set()
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
        logger.warning(f"an earlier run's jobs completed, {len(taken_over)} of them unseen; planning again")
        workflow.persistence.unlock()
        os.execv(sys.executable, sys.orig_argv)


onstart:
    run = getattr(
        workflow.scheduler._executor, "run_uuid", None
    )  # The name of all jobs that the SLURM plugin submits.
    planned = {job.name for job in workflow.dag.needrun_jobs()}
    submits = not all(job.is_local for job in workflow.dag.needrun_jobs())
    if run is not None and (submits or "check" in planned):
        everything = {each.name for each in workflow.rules} - {"generate_on_node"}
        check_requests(everything if "check" in planned else planned, workflow.scheduler._executor)
    if run is not None and submits:
        try:
            take_over()
            slurm_runs.begin(paths.runs, run)
        except InputError as error:
            fail(str(error))
