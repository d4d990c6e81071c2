"""A throw-away SLURM cluster on this machine: real daemons, fake A100s, no systemd, nothing left behind.

    python tests/slurm/cluster.py up [--accounting] | down

One CPU node (partition cpu) and two GPU nodes of two A100s (partitions gpu and, to preempt it, urgent). The fake GPUs are links
to /dev/null: SLURM counts and assigns them, nothing can compute on them. The configuration must lie in /etc/slurm, because
job steps drop SLURM_CONF; a configuration that is not ours is never touched.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ETC = Path("/etc/slurm")
ROOM = Path("/run/emudrift-slurm")
LOCK = Path("/run/emudrift-slurm.lock")
OURS = "# Made by emudrift's tests/slurm/cluster.py\n"
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
ACCOUNTING_COMMANDS = ("slurmdbd", "sacct", "sacctmgr", "mariadbd", "mariadb-install-db")
NODES = ("cpu1", "gpu1", "gpu2")
ACCOUNT = "drift"

SLURM_CONF = """
ClusterName=ci
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={room}/munge.socket,cred_expire=5
StateSaveLocation={room}/state
SlurmdSpoolDir={room}/spool-%n
SlurmctldPidFile={room}/slurmctld.pid
SlurmdPidFile={room}/slurmd-%n.pid
SlurmctldLogFile={room}/log/slurmctld.log
SlurmdLogFile={room}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
GresTypes=gpu
JobAcctGatherType=jobacct_gather/none
MinJobAge=3600
SlurmctldTimeout=30
MessageTimeout=4
SlurmdTimeout=20
KillWait=2
PropagateResourceLimits=NONE
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{accounting}
NodeName=DEFAULT Sockets=1 CoresPerSocket=32 ThreadsPerCore=1 RealMemory=256000 State=UNKNOWN
NodeName=cpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17001
NodeName=gpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17011 Gres=gpu:a100:2
NodeName=gpu2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17012 Gres=gpu:a100:2
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=1440 DefMemPerCPU=1000
PartitionName=gpu Nodes=gpu[1-2] MaxTime=1440 DefMemPerCPU=1000 PriorityTier=1
PartitionName=urgent Nodes=gpu[1-2] MaxTime=1440 DefMemPerCPU=1000 PriorityTier=10 PreemptMode=OFF
"""
NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none"
ACCOUNTING = """AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoragePass={room}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment"""
SLURMDBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={room}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
LogFile={room}/log/slurmdbd.log
PidFile={room}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=13306
StorageUser=slurm
StoragePass=ci
StorageLoc=slurm_acct_db
"""
DATABASE = """CREATE DATABASE slurm_acct_db;
CREATE USER slurm@'127.0.0.1' IDENTIFIED BY 'ci'; GRANT ALL ON slurm_acct_db.* TO slurm@'127.0.0.1';
CREATE USER slurm@localhost IDENTIFIED BY 'ci'; GRANT ALL ON slurm_acct_db.* TO slurm@localhost;"""


def why_not(accounting: bool = False) -> str:
    """Why no cluster can be started here; empty if one can."""
    if os.geteuid():
        return "needs root"
    commands = COMMANDS + (ACCOUNTING_COMMANDS if accounting else ())
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        return f"missing commands: {', '.join(missing)}; tests/slurm/install.sh installs them on Debian and Ubuntu"
    if (ETC / "slurm.conf").exists() and not (ETC / "slurm.conf").read_text().startswith(OURS):
        return f"{ETC}/slurm.conf exists and is not ours: this machine belongs to a real cluster, which stays untouched"
    return ""


@contextlib.contextmanager
def alone(wait: float = 1200) -> Iterator[None]:
    """One throw-away cluster per machine: waits until another test run has taken its own down."""
    with open(LOCK, "w") as file:
        wait_until(lambda: _locked(file), wait, f"{LOCK} to be free: another test run holds the cluster")
        yield


class Cluster:
    """The running cluster, and what tests do to it."""

    def __init__(self, accounting: bool = False) -> None:
        self.accounting = accounting

    def start(self) -> None:
        stop()
        host = socket.gethostname().split(".")[0]
        for folder in (ETC, ROOM, ROOM / "state", ROOM / "log"):
            folder.mkdir(parents=True, exist_ok=True)
        for index in (0, 1):
            (ROOM / f"gpu{index}").symlink_to("/dev/null")
        accounting = (ACCOUNTING if self.accounting else NO_ACCOUNTING).format(room=ROOM)
        (ETC / "slurm.conf").write_text(OURS + SLURM_CONF.format(host=host, room=ROOM, accounting=accounting))
        (ETC / "gres.conf").write_text(f"{OURS}NodeName=gpu[1-2] Name=gpu Type=a100 File={ROOM}/gpu[0-1]\n")
        key = ROOM / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))
        run(
            "munged", f"--key-file={key}", f"--socket={ROOM}/munge.socket", f"--pid-file={ROOM}/munged.pid",
            f"--seed-file={ROOM}/munged.seed", f"--log-file={ROOM}/log/munged.log",
        )  # fmt: skip
        if self.accounting:
            self._start_database(host)
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        wait_until(lambda: set(output("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"}, 30, "all nodes to be idle")

    def _start_database(self, host: str) -> None:
        folder, socket_ = ROOM / "db", ROOM / "mysql.sock"
        run(
            "mariadb-install-db", "--no-defaults", f"--datadir={folder}", "--user=root", "--skip-test-db",
            "--auth-root-authentication-method=normal",
        )  # fmt: skip
        # Starts in the background like the other daemons; its own pid file tells stop() whom to end.
        with open(ROOM / "log/mariadbd.log", "w") as log:
            subprocess.Popen(
                [
                    "mariadbd", "--no-defaults", f"--datadir={folder}", f"--socket={socket_}", "--user=root",
                    f"--pid-file={ROOM}/mariadbd.pid", "--bind-address=127.0.0.1", "--port=13306",
                    "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--innodb-lock-wait-timeout=900",
                    "--innodb-flush-log-at-trx-commit=2",
                ],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        client = ("--no-defaults", f"--socket={socket_}", "--user=root")
        wait_until(lambda: succeeds("mariadb-admin", *client, "ping"), 60, "mariadb to answer")
        run("mariadb", *client, f"--execute={DATABASE}")
        config = ETC / "slurmdbd.conf"
        config.touch(0o600)
        config.write_text(OURS + SLURMDBD_CONF.format(host=host, room=ROOM))
        self.start_accounting()
        run("sacctmgr", "-i", "-Q", "add", "cluster", "ci")
        run("sacctmgr", "-i", "-Q", "add", "account", ACCOUNT, "Description=ci", "Organization=ci")
        run("sacctmgr", "-i", "-Q", "add", "user", "root", f"Account={ACCOUNT}")  # its default stays "root"

    def start_accounting(self) -> None:
        run("slurmdbd")
        wait_until(lambda: succeeds("sacctmgr", "-n", "show", "cluster"), 60, "slurmdbd to answer")

    def start_controller(self) -> None:
        run("slurmctld")

    def start_node(self, node: str) -> None:
        run("slurmd", "-N", node)

    def pid(self, daemon: str) -> int:
        """Process id of slurmctld, slurmdbd or slurmd-<node>."""
        return int((ROOM / f"{daemon}.pid").read_text())

    def kill(self, daemon: str) -> None:
        """Ends a daemon at once, as a crash does."""
        pid = self.pid(daemon)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), 10, f"{daemon} to be gone")

    def jobs(self) -> list[dict[str, str]]:
        """Every job that the controller knows, finished ones included: JobId, JobState, Partition, Comment, ..."""
        shown = output("scontrol", "show", "jobs", "--detail")
        return [fields(block) for block in shown.split("\n\n") if "JobId=" in block]

    def cancel_all(self) -> None:
        """Ends what is queued or running, so that no test meets another's jobs."""
        ids = output("squeue", "-h", "-o", "%A").split()
        if ids:
            run("scancel", *ids)
            wait_until(lambda: not output("squeue", "-h", "-o", "%A").split(), 60, "all jobs to be gone")


def stop() -> None:
    """Ends the daemons of our cluster, and what their jobs left running; removes its files. Does nothing where none is."""
    if (ETC / "slurm.conf").exists() and (ETC / "slurm.conf").read_text().startswith(OURS):
        with contextlib.suppress(subprocess.SubprocessError):
            Cluster().cancel_all()
        # The controller first, so that it makes nothing of the others going away.
        for names in ("slurmctld.pid", "slurmd-*.pid", "slurmdbd.pid", "mariadbd.pid", "munged.pid"):
            pids = [int(path.read_text()) for path in ROOM.glob(names) if path.read_text().strip()]
            for pid in pids:
                end(pid)
        for name in ("slurm.conf", "gres.conf", "slurmdbd.conf"):
            (ETC / name).unlink(missing_ok=True)
    shutil.rmtree(ROOM, ignore_errors=True)


def end(pid: int) -> None:
    """SIGTERM, ten seconds to obey, SIGKILL."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: not is_alive(pid), 10, "")
            return


def is_alive(pid: int) -> bool:
    """Zombies count as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def fields(block: str) -> dict[str, str]:
    """The key=value pairs of one job as scontrol shows it."""
    return dict(word.split("=", 1) for word in block.split() if "=" in word and not word.endswith("=(null)"))


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Raises TimeoutError if the condition does not come true in time."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.1)


def run(*command: str) -> None:
    # Daemons keep an inherited pipe open, so their output goes to a file and not to a pipe that would be waited for.
    with open(ROOM / "log/commands.log", "a+") as log:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=120)
        if result.returncode:
            log.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {result.returncode}: {log.read()[-2000:]}")


def output(*command: str) -> str:
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60).stdout


def succeeds(*command: str) -> bool:
    return not subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60).returncode


def _locked(file) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("up", "down"))
    parser.add_argument("--accounting", action="store_true", help="with slurmdbd and MariaDB, so that sacct answers")
    arguments = parser.parse_args()
    reason = why_not(arguments.accounting)
    if reason:
        sys.exit(f"error: no throw-away SLURM cluster here: {reason}")
    Cluster(arguments.accounting).start() if arguments.what == "up" else stop()


if __name__ == "__main__":
    main()
