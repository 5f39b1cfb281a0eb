"""Back ends, made ready: joblib's own, Ray's actors and Dask's client; connected to their cluster, and told what a worker needs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from superbatch.errors import UserError
from superbatch.extras import require_packages
from superbatch.jobs.on_ray import Crew, UnitLost
from superbatch.options.jobs import JobsSettings

log = logging.getLogger(__name__)
PACKAGES = {"ray": ("ray",), "dask": ("distributed", "dask")}  # of a back end, which is its extra's name too
LOCAL = "local"  # as an address: a cluster on this machine, only for this work
RETRIES = 2  # how often Ray gives a unit to another worker before it says that one died
TOKEN = "it asks for Ray's token: set RAY_AUTH_MODE=token, with the same ~/.ray/auth_token on every machine"
SEPARATOR = "-unit-"  # in the keys of Dask's tasks
POLL, NO_WORKER = (
    0.1,
    120.0,
)  # seconds between two looks at Dask's results, and without any worker after which waiting ends


@dataclass(frozen=True)
class Needs:
    """What a worker needs: `cores` that it computes on, and a GPU where the cluster has some."""

    cores: int = 1
    gpu: bool = False


@dataclass(frozen=True)
class Backend:
    """A back end, ready for use.

    Attributes:
        name: joblib's.
        workers: how many.
        died: exceptions that tell of a worker that died.
        arguments: what joblib hands on to the back end.
        stream: for an engine that is asked without joblib: given a function and, by number, what it is called with, it yields results as they come.
        killer: the number of the unit that such an exception names, or None.
    """

    name: str
    workers: int
    died: tuple[type[BaseException], ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    stream: Callable[[Callable[..., Any], dict[int, tuple[Any, ...]]], Iterator[Any]] | None = None
    killer: Callable[[BaseException], int | None] = lambda error: None


def require_backend(jobs: JobsSettings) -> None:
    """Make sure that a back end's packages are installed.

    Raises:
        UserError: one that is not.
    """
    require_packages("jobs.backend", jobs.backend, *PACKAGES.get(jobs.backend, ()))


def opened(jobs: JobsSettings, needs: Needs) -> AbstractContextManager[Backend]:
    """Return the back end of some settings as a context, at whose end a connection that was made for it ends.

    Raises:
        UserError: its package is not installed, or its cluster cannot be reached.
    """
    found: dict[str, Callable[[JobsSettings, Needs], AbstractContextManager[Backend]]] = {"ray": _ray, "dask": _dask}
    return found.get(jobs.backend, _one_machine)(jobs, needs)


@contextmanager
def _one_machine(jobs: JobsSettings, needs: Needs) -> Iterator[Backend]:
    from joblib import cpu_count
    from joblib.externals.loky import BrokenProcessPool

    workers = 1 if jobs.backend == "sequential" else jobs.workers or cpu_count()
    yield Backend(jobs.backend, workers, (BrokenProcessPool,))


@contextmanager
def _ray(jobs: JobsSettings, needs: Needs) -> Iterator[Backend]:
    require_backend(jobs)
    import ray

    ours = not ray.is_initialized()
    if ours:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        with _reached(jobs):
            ray.init(address=jobs.address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        workers, resources = _room([node["Resources"] for node in ray.nodes() if node["Alive"]], needs)
        crew = Crew(min(workers, jobs.workers or workers), resources, RETRIES)
        yield Backend(
            "ray", crew.workers, (UnitLost,), stream=crew.stream, killer=lambda error: getattr(error, "number", None)
        )
    finally:
        if ours:
            ray.shutdown()


def _room(nodes: list[dict[str, float]], needs: Needs) -> tuple[int, dict[str, int]]:
    """Return how many workers fit on a Ray cluster, and what each reserves.

    Args:
        nodes: the resources of each machine.
        needs: of a worker.

    Raises:
        UserError: no machine of it has a core, as where only its head is there yet.
    """
    total, largest = (int(of([node.get("CPU", 0) for node in nodes] or [0])) for of in (sum, max))
    if not largest:
        remedy = "start workers, and give the same command again"
        raise UserError("jobs.address", "the cluster of ray has no CPUs yet", remedy)
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if needs.gpu and gpus:
        return min(gpus, total), {"num_gpus": 1, "num_cpus": 1}
    cores = max(1, min(needs.cores, largest))
    if cores < needs.cores:
        log.warning("jobs: workers compute with %s threads, and no machine of the cluster has more than %s cores", needs.cores, cores)  # fmt: skip
    return sum(int(node.get("CPU", 0)) // cores for node in nodes), {"num_cpus": cores}


@contextmanager
def _dask(jobs: JobsSettings, needs: Needs) -> Iterator[Backend]:
    require_backend(jobs)
    import dask
    import distributed

    address = jobs.address or dask.config.get("scheduler-address", None)
    alone = {"n_workers": jobs.workers, "threads_per_worker": 1, "dashboard_address": None}
    with _reached(jobs):
        client = distributed.Client(**alone) if address in (None, LOCAL) else distributed.Client(address)
    died = (distributed.KilledWorker, distributed.comm.CommClosedError)
    with client:
        yield Backend("dask", sum(client.ncores().values()), died, stream=_dask_stream(client), killer=_dask_killer)


def _dask_stream(client: Any) -> Callable[[Callable[..., Any], dict[int, tuple[Any, ...]]], Iterator[Any]]:
    """Return a runner that uses Dask directly: with joblib's back end, a unit that kills its worker may leave the caller waiting forever."""
    from uuid import uuid4

    from distributed import as_completed

    def stream(call: Callable[..., Any], arguments: dict[int, tuple[Any, ...]]) -> Iterator[Any]:
        name = uuid4().hex
        futures = [
            client.submit(call, *given, key=f"{name}{SEPARATOR}{number}", pure=False)
            for number, given in arguments.items()
        ]
        done, waited = as_completed(futures, with_results=True), 0.0
        try:
            while done.count():
                if done.has_ready():
                    waited = 0.0
                    yield next(done)[1]
                else:
                    time.sleep(POLL)
                    waited = 0.0 if client.ncores() else waited + POLL
                    _require_workers(waited)
        finally:
            client.cancel(futures)

    return stream


def _require_workers(waited: float) -> None:
    """Give up on a cluster that has had no worker for some seconds: Dask itself would wait forever."""
    if waited > NO_WORKER:
        what = f"the cluster of dask has had no worker for {NO_WORKER:.0f} seconds"
        raise UserError("jobs.address", what, "start workers, and give the same command again")


def _dask_killer(error: BaseException) -> int | None:
    number = str(getattr(error, "task", "")).rpartition(SEPARATOR)[2]
    return int(number) if number.isdecimal() else None


@contextmanager
def _reached(jobs: JobsSettings) -> Iterator[None]:
    try:
        yield
    except (OSError, ConnectionError, ValueError, RuntimeError) as error:
        what = f"no cluster of {jobs.backend} can be reached ({error})"
        remedy = TOKEN if _wants_token(error) else "start it, or correct the address"
        raise UserError("jobs.address", what, remedy) from None


def _wants_token(error: BaseException | None) -> bool:
    """Whether Ray's cluster asked for a token that was not given, which its own error does not say."""
    while error is not None:
        if type(error).__name__ == "AuthenticationError":
            return True
        error = error.__cause__ or error.__context__
    return False
