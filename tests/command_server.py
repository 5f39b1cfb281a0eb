"""Imports what is slow to import when it is first asked, and forks a command for whoever asks (command_client).

Run as `python -m tests.command_server READY SOCKET`, ready for `kedro` (and for IPython with it) or for `dvc`; it ends when its
standard input does, hence with the process that started it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import inspect
import json
import os
import select
import signal
import socket
import sys
import traceback
from functools import partial

# Kedro's framework reads conf/logging.yml of the folder it is imported in: this project's, of which all others are copies.
KEDRO = [
    "IPython.terminal.ipapp",
    "PIL.JpegImagePlugin",
    "great_expectations.expectations.core.expect_column_values_to_be_between",
    "kedro.config",
    "kedro.framework.cli.cli",
    "kedro.framework.context",
    "kedro.framework.session",
    "kedro.io",
    "kedro.runner",
    "kedro.validation.parameter_validator",
    "kedro_datasets.matplotlib.matplotlib_dataset",
    "kedro_datasets.pandas.csv_dataset",
    "kedro_datasets.partitions",
    "kedro_telemetry.plugin",
    "kedro_viz.integrations.kedro.hooks",
    "kedro_viz.integrations.kedro.run_hooks",
    "kedro_viz.launchers.cli.main",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "open_clip",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.pandas_compat",
    "superbatch.cli",
    "superbatch.commands",
    "superbatch.data.ingest",
    "superbatch.datasets.aside",
    "superbatch.evaluation.run",
    "superbatch.evaluation.results",
    "superbatch.pipelines.compare.grid",
    "superbatch.reporting.page",
    "superbatch.settings",
    "superbatch.simweb",
    "superbatch.tasks.check",
    "superbatch.tasks.contrastive",
    "superbatch.tasks.jobs",
    "torch.utils.flop_counter",
]
DVC = [
    "dulwich.ignore",
    "dulwich.worktree",
    "dvc.cachemgr",
    "dvc.cli.parser",
    "dvc.fs",
    "dvc.repo.experiments",
    "dvc.repo.experiments.executor.local",
    "dvc.repo.experiments.queue.celery",
    "dvc.repo.graph",
    "dvc.repo.index",
    "dvc.repo.params.diff",
    "dvc.repo.plots",
    "dvc.repo.stage",
    "dvc.scm",
    "dvc.stage.run",
    "dvc.utils.strictyaml",
    "dvc_data.fs",
    "networkx",
    "pygit2",
    "pyparsing",
    "ruamel.yaml",
    "tabulate",
]
MAIN = {"kedro": "kedro.framework.cli.cli:main", "ipython": "IPython:start_ipython", "dvc": "dvc.cli:main"}


def serve(ready: str, place: str) -> None:
    """Answer until standard input ends; returns in the forked command, once it is to become it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who answered
    loaded = False
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{place}.new")
        server.listen(64)
        os.rename(f"{place}.new", place)  # who sees it may connect
        while server in select.select([server, sys.stdin], [], [])[0]:
            connection, _ = server.accept()
            if not loaded:
                preload(ready)
                loaded = True
            if os.fork() == 0:
                server.close()
                answer(connection)
                return
            connection.close()
    os._exit(0)


def answer(connection: socket.socket) -> None:
    """Fork the command and say its process, then its exit code; returns in the command alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    with connection, connection.makefile("rw") as said:
        request = json.loads(said.readline())
        process = os.fork()
        if process:
            with contextlib.suppress(BrokenPipeError):  # nobody waits any more
                print(process, file=said, flush=True)
                print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), file=said, flush=True)
            os._exit(0)
    for descriptor, stream in enumerate(streams):
        os.dup2(stream, descriptor)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = [request["program"], *request["arguments"]]


def become(program: str) -> int:
    """Run the command; returns its exit code."""
    module, function = MAIN[program].split(":")
    try:
        sys.exit(getattr(importlib.import_module(module), function)())
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            return left.code or 0
        print(left.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1


def preload(ready: str) -> None:
    """Import what commands need, and build what is kept from then on."""
    gc.disable()
    for name in KEDRO if ready == "kedro" else DVC:
        importlib.import_module(name)
    if ready == "kedro":
        build()
    # Kedro's settings ask which files are on the stack; their source lines, which nobody reads, cost a third of a command.
    inspect.stack = partial(inspect.stack, 0)
    inspect.stack()  # it notes where all modules lie, once for all commands
    gc.freeze()  # what is shared stays shared
    gc.enable()


def build() -> None:
    """Make pipelines' modules and the checks of settings."""
    from superbatch.config import SECTIONS, read
    from superbatch.errors import UserError
    from superbatch.pipeline_registry import register_pipelines

    list(register_pipelines().values())
    for section, kind in SECTIONS.items():
        with contextlib.suppress(UserError):  # some settings have no default
            read(kind, {}, section)


if __name__ == "__main__":
    serve(*sys.argv[1:])
    code = become(sys.argv[0])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # taking down all that was imported takes longer than most commands
