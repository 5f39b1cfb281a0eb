"""Settings of where work over shards and blocks of rows is done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from superbatch.bounds import Count, Settings, require

CLUSTERS = ("ray", "dask")  # back ends whose workers may be on other machines


@dataclass(frozen=True)
class JobsSettings(Settings, section="jobs"):
    """By which of joblib's back ends `ingest`, `curate` and `embed` work. It changes no byte of what they write."""

    backend: Literal["loky", "threading", "sequential", "ray", "dask"] = "loky"
    workers: Count | None = None  # None: on one machine as many as the stage says, on a cluster as many as it has cores
    address: str | None = None  # of the cluster; None: what its environment variable says, else one of this machine

    @classmethod
    def of(cls, jobs: int | JobsSettings) -> JobsSettings:
        """Return settings as they are, and of a number those of as many processes here; -1: one a core."""
        return jobs if isinstance(jobs, JobsSettings) else cls(workers=jobs if jobs > 0 else None)

    def check(self) -> None:
        """Refuse an address where there is no cluster."""
        what = f"{self.address!r}, and {self.backend} works on this machine alone"
        require(self.address is None or self.on_cluster, "jobs.address", what, "set jobs.backend to ray or dask")

    @property
    def on_cluster(self) -> bool:
        """Whether workers may be on other machines."""
        return self.backend in CLUSTERS

    def of_stage(self, workers: int) -> JobsSettings:
        """Return these settings with the workers that a stage asks for, where none are set; a cluster gives what it has."""
        return self if self.on_cluster or self.workers is not None else replace(self, workers=workers)

    def threads(self) -> JobsSettings:
        """Return the settings of work that waits for disks: on a cluster as they are, else by threads."""
        return self if self.on_cluster or self.backend == "sequential" else replace(self, backend="threading")

    def here(self) -> JobsSettings:
        """Return the settings of work that takes a whole machine: on a cluster as they are, else one after the other."""
        return self if self.on_cluster else JobsSettings("sequential")
