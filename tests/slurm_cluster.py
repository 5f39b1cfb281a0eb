"""A Slurm cluster of two "machines" on this one: Slurm's own daemons, a network namespace with a host name for each machine."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.namespaces import Machine, two_machines

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "unshare", "nsenter")
NAMES = ("first", "second")
GPUS = 1  # of a machine, as Slurm counts them: it is told so, and torch finds none
CONFIGURATION = """
ClusterName=superbatch
SlurmctldHost=first({first})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=first NodeAddr={first} CPUs=2 Gres=gpu:{gpus}
NodeName=second NodeAddr={second} CPUs=2 Gres=gpu:{gpus}
PartitionName=all Nodes=ALL Default=YES State=UP
"""
# A host name and a hosts file of its own, then the command.
AS_HOST = 'mount --bind "$1" /etc/hosts && hostname "$2" && shift 2 && exec "$@"'


@dataclass(frozen=True)
class Cluster:
    """A cluster in a folder: commands of Slurm's are given on its first machine."""

    folder: Path
    machines: tuple[Machine, Machine]

    def on(self, number: int, *arguments: str) -> list[str]:
        """Return a command as it is started on a machine."""
        # Not `ip netns exec`: it mounts a /sys without cgroups, which slurmd looks for.
        network = f"--net=/run/netns/{self.machines[number].prefix[-1]}"
        isolated = ("unshare", "--mount", "--uts", "sh", "-ec", AS_HOST, "sh", str(self.folder / "hosts"))
        return ["nsenter", network, *isolated, NAMES[number], *arguments]

    def run(self, *arguments: str, cwd: Path | None = None, **environment: str) -> str:
        """Run a command on the first machine, and return what it said."""
        done = subprocess.run(
            self.on(0, *arguments),
            cwd=cwd,
            env=os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def facts(self, job: str) -> dict[str, str]:
        """Return what Slurm knows of a job, such as its JobState."""
        words = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)


@contextmanager
def slurm_cluster() -> Iterator[Cluster]:
    """Start one, and end it; skips the test where Slurm is not installed, or where namespaces are not allowed."""
    path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and Slurm's own programs; not found: {', '.join(missing) or 'none'}")
    with ExitStack() as stack:
        # Sockets need short paths, which others may enter.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sb-slurm")))
        folder.chmod(0o755)
        cluster = Cluster(folder, stack.enter_context(two_machines()))
        _configure(cluster)
        started = [_daemon(cluster, 0, path, *_munged(folder))]
        stack.callback(_end, started)
        _until(lambda: (folder / "munge.socket").exists(), cluster)
        started.append(_daemon(cluster, 0, path, "slurmctld", "-D"))
        started += [_daemon(cluster, number, path, "slurmd", "-D", "-N", name) for number, name in enumerate(NAMES)]
        _until(lambda: _idle(cluster), cluster)
        yield cluster


def _munged(folder: Path) -> list[str]:
    named = {"key-file": "key", "socket": "munge.socket", "pid-file": "munge.pid", "seed-file": "seed"}
    return ["munged", "--foreground", "--force", *(f"--{option}={folder / name}" for option, name in named.items())]


def _configure(cluster: Cluster) -> None:
    folder, addresses = cluster.folder, {name: one.address for name, one in zip(NAMES, cluster.machines, strict=True)}
    for name in NAMES:
        (folder / name).mkdir()
    hosts = [f"{address} {name}\n" for name, address in addresses.items()]
    (folder / "hosts").write_text("".join(["127.0.0.1 localhost\n", *hosts]))
    (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, gpus=GPUS, **addresses))
    (folder / "gres.conf").write_text(f"NodeName=first,second Name=gpu Count={GPUS} File=/dev/null\n")
    (folder / "key").write_bytes(secrets.token_bytes(1024))
    (folder / "key").chmod(0o600)


def _daemon(cluster: Cluster, number: int, path: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"SLURM_CONF": str(cluster.folder / "slurm.conf"), "PATH": path}
    with open(cluster.folder / "daemons.log", "ab") as log:
        return subprocess.Popen(cluster.on(number, *arguments), env=environment, stdout=log, stderr=log)


def _idle(cluster: Cluster) -> bool:
    done = subprocess.run(
        cluster.on(0, "sinfo", "--noheader", "--format=%D %t"),
        env=os.environ | {"SLURM_CONF": str(cluster.folder / "slurm.conf")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split() == ["2", "idle"]


def _until(there, cluster: Cluster) -> None:  # type: ignore[no-untyped-def]
    until = time.monotonic() + 60
    while not there():
        assert time.monotonic() < until, (cluster.folder / "daemons.log").read_text()
        time.sleep(0.2)


def _end(started: list[subprocess.Popen[bytes]]) -> None:
    for daemon in reversed(started):
        daemon.terminate()
        daemon.wait(timeout=60)
