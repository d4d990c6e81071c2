"""A throw-away SLURM cluster on this machine: real daemons, fake A100s, no systemd, nothing left behind.

    python tests/slurm/cluster.py up [--accounting]     # prints its folder, and how to use it
    python tests/slurm/cluster.py down FOLDER

One CPU node (partition cpu) and two GPU nodes of two A100s: partition gpu, and on the same nodes urgent, which preempts it,
and whole, which gives out whole nodes. The fake GPUs are links to /dev/null: SLURM counts and assigns them, nothing
can compute on them.

Each cluster has a folder and ports of its own and leaves /etc/slurm alone, so it runs beside another one, or on a node of a real
cluster. Job steps drop SLURM_CONF, so the commands that are called (sbatch, squeue, ...) are small scripts which set it.
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

RUN = Path("/run")
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scontrol", "scancel")
ACCOUNTING_COMMANDS = ("slurmdbd", "sacct", "sacctmgr", "mariadbd", "mariadb-install-db")
CLIENTS = ("sbatch", "srun", "squeue", "sinfo", "scontrol", "scancel", "sacct", "sacctmgr")
NODES = ("cpu1", "gpu1", "gpu2")
ACCOUNT = "drift"
FIRST_PORT, PORTS, MOST_CLUSTERS = 17000, 10, 100

SLURM_CONF = """
ClusterName=ci
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port[0]}
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
NodeName=cpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port[1]}
NodeName=gpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port[2]} Gres=gpu:a100:2
NodeName=gpu2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port[3]} Gres=gpu:a100:2
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=1440 DefMemPerCPU=1000
PartitionName=gpu Nodes=gpu[1-2] MaxTime=1440 DefMemPerCPU=1000 PriorityTier=1
PartitionName=urgent Nodes=gpu[1-2] MaxTime=1440 DefMemPerCPU=1000 PriorityTier=10 PreemptMode=OFF
PartitionName=whole Nodes=gpu[1-2] MaxTime=1440 DefMemPerCPU=1000 PriorityTier=1 OverSubscribe=EXCLUSIVE
"""
NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none"
ACCOUNTING = """AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port[4]}
AccountingStoragePass={room}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment"""
SLURMDBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={room}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port[4]}
SlurmUser=root
LogFile={room}/log/slurmdbd.log
PidFile={room}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={port[5]}
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
    return ""


@contextlib.contextmanager
def own_cluster(accounting: bool = False) -> Iterator["Cluster"]:
    """A cluster that lasts as long as the block, and whose commands are those that are found in PATH meanwhile."""
    sweep()
    cluster, path = Cluster(claimed_room()), os.environ["PATH"]
    with open(cluster.room / "owner", "w") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        try:
            cluster.start(accounting)
            os.environ["PATH"] = f"{cluster.room}/bin{os.pathsep}{path}"
            yield cluster
        finally:
            os.environ["PATH"] = path
            cluster.stop()


def claimed_room() -> Path:
    """A new folder, whose number gives the ports; none of them is in use."""
    for number in range(MOST_CLUSTERS):
        room = RUN / f"emudrift-slurm-{number}"
        with contextlib.suppress(FileExistsError):
            room.mkdir()
            if all(map(is_free, ports_of(room))):
                return room
            room.rmdir()
    raise RuntimeError(f"no free ports between {FIRST_PORT} and {FIRST_PORT + PORTS * MOST_CLUSTERS}")


def ports_of(room: Path) -> range:
    first = FIRST_PORT + PORTS * int(room.name.rpartition("-")[2])
    return range(first, first + PORTS)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def sweep() -> None:
    """Stops the clusters whose owner, a test run, was killed. A cluster without an owner was started by hand, and stays."""
    for file in [*RUN.glob("emudrift-slurm-*/owner")]:
        try:
            with open(file) as owner:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                Cluster(file.parent).stop()
        except (BlockingIOError, FileNotFoundError):  # its owner is alive, or has just removed it
            continue


class Cluster:
    """The running cluster, and what tests do to it."""

    def __init__(self, room: Path) -> None:
        self.room, self.etc = room, room / "etc"
        self.environment = os.environ | {"SLURM_CONF": str(self.etc / "slurm.conf")}

    def start(self, accounting: bool) -> None:
        for name in ("etc", "bin", "state", "log"):
            (self.room / name).mkdir()
        for index in (0, 1):
            (self.room / f"gpu{index}").symlink_to("/dev/null")
        for client in filter(shutil.which, CLIENTS):
            script = self.room / "bin" / client
            script.write_text(f'#!/bin/sh\nSLURM_CONF={self.etc}/slurm.conf exec {shutil.which(client)} "$@"\n')
            script.chmod(0o755)
        self._write_config("slurm.conf", SLURM_CONF, accounting=ACCOUNTING if accounting else NO_ACCOUNTING)
        self._write_config("gres.conf", "NodeName=gpu[1-2] Name=gpu Type=a100 File={room}/gpu[0-1]\n")
        key = self.room / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))
        self.run(
            "munged", f"--key-file={key}", f"--socket={self.room}/munge.socket", f"--pid-file={self.room}/munged.pid",
            f"--seed-file={self.room}/munged.seed", f"--log-file={self.room}/log/munged.log",
        )  # fmt: skip
        if accounting:
            self._start_database()
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        wait_until(
            lambda: set(self.output("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"}, 30, "all nodes to be idle"
        )

    def _write_config(self, name: str, text: str, accounting: str = "") -> None:
        values = {"room": self.room, "port": ports_of(self.room), "host": socket.gethostname().split(".")[0]}
        file = self.etc / name
        file.touch(0o600)
        file.write_text(text.format(accounting=accounting.format(**values), **values))

    def _start_database(self) -> None:
        folder, socket_ = self.room / "db", self.room / "mysql.sock"
        self.run(
            "mariadb-install-db", "--no-defaults", f"--datadir={folder}", "--user=root", "--skip-test-db",
            "--auth-root-authentication-method=normal",
        )  # fmt: skip
        # Starts in the background like the other daemons; its own pid file tells stop() whom to end.
        with open(self.room / "log/mariadbd.log", "w") as log:
            subprocess.Popen(
                [
                    "mariadbd", "--no-defaults", f"--datadir={folder}", f"--socket={socket_}", "--user=root",
                    f"--pid-file={self.room}/mariadbd.pid", "--bind-address=127.0.0.1",
                    f"--port={ports_of(self.room)[5]}",
                    "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--innodb-lock-wait-timeout=900",
                    "--innodb-flush-log-at-trx-commit=2",
                ],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        client = ("--no-defaults", f"--socket={socket_}", "--user=root")
        wait_until(lambda: self.succeeds("mariadb-admin", *client, "ping"), 60, "mariadb to answer")
        self.run("mariadb", *client, f"--execute={DATABASE}")
        self._write_config("slurmdbd.conf", SLURMDBD_CONF)
        self.start_accounting()
        self.run("sacctmgr", "-i", "-Q", "add", "cluster", "ci")
        self.run("sacctmgr", "-i", "-Q", "add", "account", ACCOUNT, "Description=ci", "Organization=ci")
        self.run("sacctmgr", "-i", "-Q", "add", "user", "root", f"Account={ACCOUNT}")  # its default stays "root"

    def start_accounting(self) -> None:
        self.run("slurmdbd")
        wait_until(lambda: self.succeeds("sacctmgr", "-n", "show", "cluster"), 60, "slurmdbd to answer")

    def start_controller(self) -> None:
        self.run("slurmctld")

    def start_node(self, node: str) -> None:
        self.run("slurmd", "-N", node)

    def pid(self, daemon: str) -> int:
        """Process id of slurmctld, slurmdbd or slurmd-<node>."""
        return int((self.room / f"{daemon}.pid").read_text())

    def kill(self, daemon: str) -> None:
        """Ends a daemon at once, as a crash does."""
        pid = self.pid(daemon)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), 10, f"{daemon} to be gone")

    def jobs(self) -> list[dict[str, str]]:
        """Every job that the controller knows, finished ones included: JobId, JobState, Partition, Comment, ..."""
        shown = self.output("scontrol", "show", "jobs", "--detail")
        return [fields(block) for block in shown.split("\n\n") if "JobId=" in block]

    def cancel_all(self) -> None:
        """Ends what is queued or running, so that no test meets another's jobs."""
        ids = self.output("squeue", "-h", "-o", "%A").split()
        if ids:
            self.run("scancel", *ids)
            wait_until(lambda: not self.output("squeue", "-h", "-o", "%A").split(), 60, "all jobs to be gone")

    def stop(self) -> None:
        """Ends its daemons, and what their jobs left running; removes its files."""
        with contextlib.suppress(subprocess.SubprocessError, RuntimeError, OSError):  # it may have come up by half
            self.cancel_all()
        # The controller first, so that it makes nothing of the others going away.
        for names in ("slurmctld.pid", "slurmd-*.pid", "slurmdbd.pid", "mariadbd.pid", "munged.pid"):
            for file in self.room.glob(names):
                pid = file.read_text().strip()
                if pid and self.is_ours(int(pid)):
                    end(int(pid))
        shutil.rmtree(self.room, ignore_errors=True)

    def is_ours(self, pid: int) -> bool:
        """Whether a daemon was started for this cluster: a dead one's number may have gone to another process."""
        try:
            told = [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        except FileNotFoundError:
            return False
        return any(f"{self.room}/".encode() in each for each in told)

    def run(self, *command: str) -> None:
        # Daemons keep an inherited pipe open, so their output goes to a file and not to a pipe that would be waited for.
        with open(self.room / "log/commands.log", "a+") as log:
            result = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=120, env=self.environment
            )
            if result.returncode:
                log.seek(0)
                raise RuntimeError(f"{' '.join(command)} ended with {result.returncode}: {log.read()[-2000:]}")

    def output(self, *command: str) -> str:
        return subprocess.run(
            command,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=60,
            env=self.environment,
        ).stdout

    def succeeds(self, *command: str) -> bool:
        return not subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, env=self.environment
        ).returncode


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    up = commands.add_parser("up")
    up.add_argument("--accounting", action="store_true", help="with slurmdbd and MariaDB, so that sacct answers")
    commands.add_parser("down").add_argument("folder", type=Path, help="as `up` said")
    arguments = parser.parse_args()
    if arguments.what == "down":
        if not (arguments.folder / "etc/slurm.conf").exists():
            sys.exit(
                f"error: {arguments.folder} is no throw-away cluster; there are: {[*RUN.glob('emudrift-slurm-*')]}"
            )
        Cluster(arguments.folder).stop()
        return
    if reason := why_not(arguments.accounting):
        sys.exit(f"error: no throw-away SLURM cluster here: {reason}")
    cluster = Cluster(claimed_room())
    cluster.start(arguments.accounting)
    print(f"{cluster.room} is up. To use it: export PATH={cluster.room}/bin:$PATH")


if __name__ == "__main__":
    main()
